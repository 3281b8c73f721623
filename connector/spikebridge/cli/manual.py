"""
The parts of the manual that are made from the code.

A README asks for a block with two comments, `<!-- generated: NAME -->` and `<!-- /generated -->`; what stands between them is
written by `spikebridge docs` and never by hand.
"""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Any, Literal

from spikebridge import cli, registry
from spikebridge.cli import schema
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

PAGES = ("README.md", "connector/README.md", "connector/manual/models.md", "detectors/README.md", "mappings/README.md")
SCHEMAS = {
    "connector/config.schema.json": "config",
    "mappings/inventory.schema.json": "inventory",
    "mappings/schema.json": "mapping",
}

MANUAL = "connector/manual"
PAGED: tuple[Literal["logs", "sinks"], ...] = ("logs", "sinks")
"""Kinds whose components have a page each."""

_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
_EXAMPLE = re.compile(r"^::\n\n((?:    .*\n?|\n(?=    ))+)", re.MULTILINE)
"""What a docstring shows as it is written: an indented block after a line of two colons."""


def render(root: Path) -> dict[Path, str]:
    """Return every file of a checkout that has generated parts, as it should be."""
    pages = {root / name: fill((root / name).read_text(encoding="utf-8")) for name in PAGES if (root / name).exists()}
    pages |= {root / MANUAL / kind / f"{name}.md": _page(kind, name) for kind in PAGED for name in registry.names(kind)}
    return pages | {root / name: schema.render(kind) for name, kind in SCHEMAS.items()}


def fill(page: str) -> str:
    """Write a page's generated blocks anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{_block(found[2])}\n{found[3]}", page)


def _block(name: str) -> str:
    if name not in BLOCKS:
        raise SpikebridgeError(f'generated: expected one of {", ".join(sorted(BLOCKS))}, found "{name}"')
    return "\n".join(BLOCKS[name]()).strip() + "\n"


def commands() -> Iterator[str]:
    """Every command with its arguments and its example."""
    tree = cli.build_parser(*cli.COMMANDS)
    for name, parser in _children(tree):
        yield f"### `spikebridge {name}`\n"
        yield f"{parser.description}\n"
        yield from _arguments(parser)
        yield f"```\n{inspect.cleandoc(cli.load(name).EXAMPLE).strip()}\n```\n"


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows = [(f"`{_spelling(action)}`", _help(action)) for action in _actions(parser)]
    told = {choice.dest: choice.help or "" for choice in _choices(parser)}
    for name, child in _children(parser):
        rows += [(f"`{name}`", told[name])]
        rows += [(f"`{name} {_spelling(action)}`", _help(action)) for action in _actions(child)]
    yield from table(("argument", "meaning"), rows)


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    own = (argparse._HelpAction, argparse._SubParsersAction)  # noqa: SLF001 -- argparse has no public list of its arguments
    return [action for action in parser._actions if not isinstance(action, own)]  # noqa: SLF001 -- as above


def _children(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001 -- as above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- as above
            return [(name, child) for name, child in action.choices.items() if name not in cli.UNLISTED]
    return []


def _choices(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001 -- as above
    return [choice for action in nested for choice in action._choices_actions]  # noqa: SLF001 -- as above


def _spelling(action: argparse.Action) -> str:
    value = str(action.metavar or "") or "|".join(map(str, action.choices or ())) or action.dest.upper()
    if not action.option_strings:
        return {"*": f"[{value}...]", "+": f"{value}...", "?": f"[{value}]"}.get(str(action.nargs), value)
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}"


def _help(action: argparse.Action) -> str:
    return (action.help or "") % vars(action)


def formats() -> Iterator[str]:
    """Every format: what its module says of itself."""
    for name in registry.names("formats"):
        yield f"### `{name}`\n"
        yield f"{_EXAMPLE.sub(_fenced, registry.describe('formats', name))}\n"


def index(kind: Literal["logs", "sinks"]) -> Callable[[], Iterator[str]]:
    """Every component of a kind, with its page."""

    def block() -> Iterator[str]:
        told = ((f"[`{name}`](manual/{kind}/{name}.md)", _first(registry.describe(kind, name))) for name in registry.names(kind))
        yield from table((kind.removesuffix("s"), "what it is"), told)

    return block


def _first(text: str) -> str:
    """Return the first paragraph in one line."""
    return " ".join(text.partition("\n\n")[0].split())


def _page(kind: Literal["logs", "sinks"], name: str) -> str:
    """Return the page of a log or a sink: what its module and class say, and its settings."""
    from spikebridge.config.load import configurable

    lines = [f"# The {kind.removesuffix('s')} `{name}`\n", f"{_EXAMPLE.sub(_fenced, registry.describe(kind, name))}\n"]
    if kind == "sinks":
        lines += ["## What it promises\n", f"{inspect.getdoc(registry.load(kind, name))}\n"]
    if name in configurable(kind):
        lines += ["## Settings\n", *table(("key", "value", "meaning"), _settings_of(kind, name))]
    lines.append("This page is made from the code by `make docs`.")
    return "\n".join(lines) + "\n"


def _fenced(found: re.Match[str]) -> str:
    return f"```\n{textwrap.dedent(found[1]).strip()}\n```\n"


def _settings_of(kind: Literal["sinks", "logs"], name: str) -> Iterator[tuple[str, str, str]]:
    """Yield the keys that only this sink or log has; those of every sink stand with the configuration."""
    from spikebridge.config.load import settings_model

    own = settings_model(kind, name).model_json_schema(by_alias=True)
    yield from _keys(own, own.get("$defs", {}), "")


def metrics() -> Iterator[str]:
    """Every metric that is declared."""
    from spikebridge.metrics import METRICS

    rows = ((f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.text) for one in METRICS)
    yield from table(("metric", "kind", "labels", "meaning"), rows)


def settings() -> Iterator[str]:
    """Every key of the configuration, from its JSON Schema; what only one kind of sink has stands with that sink."""
    from spikebridge.config.model import ConfigModel

    whole = ConfigModel.model_json_schema(by_alias=True)
    yield from table(("key", "value", "meaning"), _keys(whole, whole.get("$defs", {}), ""))


def sections(kind: str) -> Callable[[], Iterator[str]]:
    """Every mapping inside a kind of file, outermost first, with its keys; a key that was told already is only named."""

    def block() -> Iterator[str]:
        whole = schema.KINDS[kind]()
        definitions = whole.get("$defs", {})
        waiting: list[tuple[str, dict[str, Any]]] = [("", whole)]
        told: set[tuple[str, str]] = set()
        for path, node in waiting:
            if path:
                yield f"#### {path}\n"
            yield f"{node['description']}\n"
            keys = {name: _row(name, found, node, definitions) for name, found in node["properties"].items()}
            new = [row for row in keys.values() if (row[0], row[2]) not in told]
            yield from table(("key", "value", "meaning"), new)
            if again := [f"`{name}`" for name, row in keys.items() if row not in new]:
                yield f"And, as above: {', '.join(again)}.\n"
            told |= {(row[0], row[2]) for row in new}
            for name, found in node["properties"].items():
                known = [definition for _, definition in waiting]
                waiting += [(_title(path, name, one), one) for one in _inside(found, definitions) if one not in known]

    return block


def _row(name: str, found: dict[str, Any], owner: dict[str, Any], definitions: dict[str, Any]) -> tuple[str, str, str]:
    need = " (required)" if name in owner.get("required", []) else ""
    return f"`{name}`", _value(_resolve(found, definitions), definitions) + need, found.get("description", "")


def _inside(node: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the mappings with keys of their own that may stand somewhere in a value."""
    if "$ref" in node:
        found = definitions[node["$ref"].rpartition("/")[2]]
        return [found] if "properties" in found else []
    parts = [node.get("items"), node.get("additionalProperties"), *node.get("anyOf", []), *node.get("oneOf", [])]
    return [one for part in parts if isinstance(part, dict) for one in _inside(part, definitions)]


def _title(path: str, name: str, node: dict[str, Any]) -> str:
    kind = node["properties"].get("type", {}).get("const")
    own = f"`{name}` of type `{kind}`" if kind else f"`{name}`"
    return f"{own} in {path}" if path else own


def _keys(node: dict[str, Any], definitions: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    required = node.get("required", [])
    for name, found in node.get("properties", {}).items():
        value = _resolve(found, definitions)
        need = " (required)" if name in required else ""
        if "properties" in value:
            yield f"`{prefix}{name}`", "mapping" + need, found.get("description") or value.get("description", "")
            yield from _keys(value, definitions, f"{prefix}{name}.")
        elif "$ref" in value.get("additionalProperties", {}):
            yield f"`{prefix}{name}`", "mapping" + need, found.get("description", "")
            yield from _keys(_resolve(value["additionalProperties"], definitions), definitions, f"{prefix}{name}.NAME.")
        else:
            yield f"`{prefix}{name}`", _value(value, definitions) + need, found.get("description", "")


def _resolve(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow references, and what may be left out to what it is when it is there."""
    options = [one for one in node.get("anyOf", [node]) if one.get("type") != "null"]
    target = options[0] if len(options) == 1 else node
    return definitions[target["$ref"].rpartition("/")[2]] if "$ref" in target else target


def _value(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "const" in node:
        return f"`{str(node['const']).lower()}`"
    if "enum" in node:
        return ", ".join(f"`{one}`" for one in node["enum"])
    if "examples" in node:
        return f"such as {', '.join(f'`{one}`' for one in node['examples'][:2])}"
    if "anyOf" in node:
        options = [one for one in node["anyOf"] if one.get("type") != "null"]
        return " or ".join(_value(_resolve(one, definitions), definitions) for one in options)
    if node.get("type") == "array":
        return f"list of {_value(_resolve(node.get('items', {}), definitions), definitions)}"
    names = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "mapping"}
    return names.get(node.get("type", "object" if "oneOf" in node else ""), "any")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table and an empty one; nothing when there are no rows."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    if cells:
        for row in ([*header], ["---"] * len(header), *cells):
            yield f"| {' | '.join(row)} |"
        yield ""


BLOCKS: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "settings": settings,
    "metrics": metrics,
    "formats": formats,
    "logs": index("logs"),
    "sinks": index("sinks"),
    "mapping-keys": sections("mapping"),
    "inventory-keys": sections("inventory"),
    "model-keys": sections("model"),
}
