"""What is laid over the file: environment variables, and the values of secrets by reference."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.errors import ContentError, Problem, SecretError
from spikebridge.located import Document, Node, Place, plain_scalar, quoted, read_yaml
from spikebridge.validation import closest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

PREFIX = "SPIKEBRIDGE_"
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_MAX_SECRET_BYTES = 64 * 1024


class Overlay(NamedTuple):
    """What the environment says, and what it could not say."""

    problems: list[Problem]
    warnings: list[Problem]


def lay_environment(document: Document, environ: Mapping[str, str], sections: Collection[str]) -> Overlay:
    """
    Set what `SPIKEBRIDGE_SECTION__KEY` variables say.

    A first part that is no section is only a warning: a platform that names variables after a service called spikebridge does no harm.
    """
    overlay = Overlay([], [])
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == f"{PREFIX}CONFIG":
            continue
        parts = [part.lower() for part in name.removeprefix(PREFIX).split("__")]
        if parts[0] not in sections:
            mean = closest(parts[0], sections)
            overlay.warnings.append(Problem(name, 1, 1, "", f"no part of the configuration, ignored{mean}", "warning"))
            continue
        try:
            _set(document.root, parts, _value(name, environ[name]))
        except ContentError as error:
            overlay.problems.extend(error.problems)
    return overlay


def _value(name: str, text: str) -> Node:
    if text[:1] in ("[", "{", '"', "'"):
        return read_yaml(text, name).root
    place = Place(name, 1, 1)
    value, fault = plain_scalar(text)
    if fault or any(not letter.isprintable() for letter in text):
        raise ContentError([Problem(*place, "", fault or "expected no control characters")])
    return Node(place, value, raw="" if isinstance(value, str) else text)


def _set(root: Node, parts: list[str], value: Node) -> None:
    node = root
    for at, part in enumerate(parts):
        if node.entries is None:
            if node.items is not None or node.value is not None:
                message = f"can't set this: {'.'.join(parts[:at])} is not a mapping"
                raise ContentError([Problem(*value.place, "", message)])
            node.entries = {}
        key = _key(node.entries, part)
        if at == len(parts) - 1:
            node.entries[key] = value
            node.keys[key] = value.place
            return
        node.keys.setdefault(key, value.place)
        node = node.entries.setdefault(key, Node(value.place, entries={}))


def _key(entries: Mapping[str | int, Node], part: str) -> str | int:
    """Return the key that a variable means: names of sinks may have capitals and `-`, variables can't."""
    alike = (key for key in entries if isinstance(key, str) and key.lower().replace("-", "_") == part)
    return part if part in entries else next(alike, part)


def lay_secrets(document: Document, environ: Mapping[str, str], directory: Path) -> list[Problem]:
    """Replace `${env:NAME}` and `${file:PATH}` in every text; from then on such a text is never shown."""
    problems: list[Problem] = []
    _reveal(document.root, (), environ, directory, problems)
    return problems


def _reveal(
    node: Node, path: tuple[str | int, ...], environ: Mapping[str, str], directory: Path, problems: list[Problem]
) -> None:
    children = node.entries.items() if node.entries is not None else enumerate(node.items or ())
    for key, child in children:
        _reveal(child, (*path, key), environ, directory, problems)
    if not isinstance(node.value, str) or "${" not in node.value or node.secret:
        return
    try:
        text = _REFERENCE.sub(lambda found: secret(found[1], environ, directory), node.value)
    except SecretError as error:
        problems.append(Problem(*node.place, ".".join(map(str, path)), str(error)))
    else:
        node.value, node.secret = text, True


def secret(reference: str, environ: Mapping[str, str], directory: Path) -> str:
    """Return the value of `env:NAME` or `file:PATH`; `SecretError` never holds it."""
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        if name not in environ:
            raise SecretError(f"the environment variable {quoted(name)} is not set")
        return environ[name]
    if kind == "file" and name:
        try:
            with (directory / name).open("rb") as file:
                content = file.read(_MAX_SECRET_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise SecretError(f"the file {quoted(name)} can't be read: {reason}") from None
        return _secret_text(name, content)
    raise SecretError(f"expected ${{env:NAME}} or ${{file:PATH}}, found {quoted('${' + reference + '}')}")


def _secret_text(name: str, content: bytes) -> str:
    if len(content) > _MAX_SECRET_BYTES:
        raise SecretError(f"the file {quoted(name)} is larger than {_MAX_SECRET_BYTES:,} bytes")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretError(f"the file {quoted(name)} is not UTF-8") from None
