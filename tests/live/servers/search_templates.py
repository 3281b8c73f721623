"""Templates as the product ships them, made loadable for the test distribution of Elasticsearch, which lacks some field types and all lifecycles."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple


class _Substitute(NamedTuple):
    type: str
    dropped: tuple[str, ...] = ()
    """Parameters that only the original knows."""


SUBSTITUTES = {
    "constant_keyword": _Substitute("keyword", ("value",)),
    "match_only_text": _Substitute("text"),
    "scaled_float": _Substitute("float", ("scaling_factor",)),
    "wildcard": _Substitute("keyword"),
}
MISSING_COMPONENTS = ("ecs@mappings",)
MISSING_SETTINGS = "index.lifecycle."


class Loadable(NamedTuple):
    """A template, and in words what was changed, so that a test can say what it didn't show."""

    template: dict[str, Any]
    changes: list[str]


def loadable(template: dict[str, Any]) -> Loadable:
    """Take an index template, a component template or the body of a new index, and return what Elasticsearch 9.5.3 and 8.19.21 load here."""
    template, changes = deepcopy(template), list[str]()
    body = template.get("template", template)
    _substitute(body.get("mappings"), "mappings", changes)
    _drop_settings(body.get("settings"), "", changes)
    for name in set(template.get("composed_of", ())).intersection(MISSING_COMPONENTS):
        template["composed_of"].remove(name)
        changes.append(f"composed_of: {name} dropped")
    return Loadable(template, changes)


def _substitute(node: Any, path: str, changes: list[str]) -> None:
    if isinstance(node, list):
        for index, item in enumerate(node):
            _substitute(item, f"{path}[{index}]", changes)
    if not isinstance(node, dict):
        return
    kind = node.get("type")
    if isinstance(kind, str) and kind in SUBSTITUTES:  # a field that is called "type" has a definition there
        substitute = SUBSTITUTES[kind]
        node["type"] = substitute.type
        dropped = [name for name in substitute.dropped if node.pop(name, None) is not None]
        changes.append(f"{path}: {kind} became {substitute.type}{' without ' * bool(dropped)}{', '.join(dropped)}")
    for name, child in node.items():
        if name != "_meta":
            _substitute(child, f"{path}.{name}", changes)


def _drop_settings(settings: Any, prefix: str, changes: list[str]) -> None:
    """Drop the lifecycle; settings are nested or dotted, and may leave out the first part of their names."""
    if not isinstance(settings, dict):
        return
    for name, value in list(settings.items()):
        full = prefix + name
        full = full if full.partition(".")[0] == "index" else f"index.{full}"
        if f"{full}.".startswith(MISSING_SETTINGS):
            del settings[name]
            changes.append(f"settings: {full} dropped")
        else:
            _drop_settings(value, f"{full}.", changes)
