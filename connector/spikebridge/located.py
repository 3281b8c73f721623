"""
YAML with positions, and bounds that make a hostile file cheap to refuse.

The parser's events are read one by one, so a file is refused at the event that breaks a bound, before anything is built of it.
Scalars read as in YAML 1.2: `no` and `2026-11-21` are texts, `true` is a truth value.
Anchors and aliases work within a small count; an alias costs as many nodes as what it repeats.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from spikebridge.errors import ContentError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

Path = tuple[str | int, ...]
"""Where a value lies in a document: keys and list positions from the top."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONSTANTS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
_MAX_DIGITS = 18
_SHOWN_LETTERS = 60


class Bounds(NamedTuple):
    """What a file may be at most: bytes, nested collections, nodes after aliases are written out, aliases."""

    size: int = 1 << 20
    depth: int = 32
    nodes: int = 50_000
    aliases: int = 20


INVENTORY_BOUNDS = Bounds(size=16 << 20, nodes=1_000_000)
"""An inventory is the one file that grows with the fleet."""


class Place(NamedTuple):
    """A place in a file, as editors count: from 1."""

    file: str
    line: int
    column: int


@dataclass(slots=True)
class Node:
    """
    One value of a document and where it begins.

    `raw` is a scalar as it was written unless it reads as text, `size` counts the nodes in it; a `secret` is never shown.
    """

    place: Place
    value: str | int | float | bool | None = None
    raw: str = ""
    items: list[Node] | None = None
    entries: dict[str | int, Node] | None = None
    keys: dict[str | int, Place] = field(default_factory=dict)
    size: int = 1
    secret: bool = False

    def plain(self) -> Any:
        """Return what this node says as plain data."""
        if self.entries is not None:
            return {key: node.plain() for key, node in self.entries.items()}
        if self.items is not None:
            return [node.plain() for node in self.items]
        return self.value

    def child(self, part: str | int) -> Node | None:
        """Return the value under a key or at a list position."""
        if self.entries is not None:
            return self.entries.get(part)
        if self.items is not None and isinstance(part, int) and 0 <= part < len(self.items):
            return self.items[part]
        return None

    def shown(self) -> str:
        """Say in an error what was found here."""
        if self.secret:
            return "a secret"
        if self.entries is not None:
            return "a mapping" if self.entries else "an empty mapping"
        if self.items is not None:
            return "a list" if self.items else "an empty list"
        if isinstance(self.value, str) and not self.raw:
            return quoted(self.value)
        return self.raw if self.value is not None else "nothing"


@dataclass(slots=True)
class Document:
    """A file as plain data and positions."""

    file: str
    root: Node

    def find(self, path: Path) -> Node | None:
        """Return the node at a path."""
        node: Node | None = self.root
        for part in path:
            node = node.child(part) if node else None
        return node

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Return where the value (or its key) begins; for what is not there, the place of what encloses it."""
        node = self.root
        for at, part in enumerate(path):
            if key and at == len(path) - 1 and part in node.keys:
                return node.keys[part]
            child = node.child(part)
            if child is None:
                break
            node = child
        return node.place

    def problem(self, path: Path, message: str, *, key: bool = False, level: Literal["error", "warning"] = "error") -> Problem:
        """Make a finding about the value (or the key) at a path."""
        place = self.place(path, key=key)
        return Problem(place.file, place.line, place.column, where(path), message, level)


def where(path: Path) -> str:
    """Name a path for people; the list and position that begin it are what the line number is for."""
    rest = path[2:] if len(path) > 1 and isinstance(path[1], int) else path
    text = ""
    for part in rest:
        text += f"[{part}]" if isinstance(part, int) else f".{printable(part)}"
    return text.removeprefix(".")


def quoted(text: str) -> str:
    """Show a text that someone else wrote: one line, no control characters, not too long."""
    cut = text if len(text) <= _SHOWN_LETTERS else text[:_SHOWN_LETTERS] + "..."
    return f'"{printable(cut)}"'


def printable(text: str) -> str:
    """Escape what must not reach a terminal."""
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


def read_yaml(content: bytes | str, file: str, bounds: Bounds = Bounds()) -> Document:  # noqa: B008 -- immutable
    """Read one document; `ContentError` names every problem, or the first one after which reading on makes no sense."""
    text = _decoded(content, file, bounds)
    reader = _Reader(file, bounds)
    try:
        root = reader.read(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise ContentError([*reader.problems, _syntax_problem(error, text, file)]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ContentError([*reader.problems, Problem(file, 1, 1, "", f"not YAML: {printable(str(error))}")]) from None
    if reader.problems:
        raise ContentError(reader.problems)
    return Document(file, root)


def plain_scalar(text: str) -> tuple[str | int | float | bool | None, str]:
    """Read a text without quotes, and say what is wrong with it; texts that look like nothing else stay texts."""
    if text in _CONSTANTS:
        return _CONSTANTS[text], ""
    if _INT.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            return 0, f"expected a number of at most {_MAX_DIGITS} digits, found {len(text)}; put a text in quotes"
        return int(text), ""
    if _NOT_FINITE.fullmatch(text):
        return 0, f"expected a finite number, found {text}"
    if _FLOAT.fullmatch(text) and not _LEADING_ZERO.fullmatch(text):
        value = float(text)
        return (value, "") if math.isfinite(value) else (0, f"expected a finite number, found {text[:_SHOWN_LETTERS]}")
    return text, ""


def _decoded(content: bytes | str, file: str, bounds: Bounds) -> str:
    if len(content) > bounds.size:
        raise ContentError([Problem(file, 1, 1, "", f"expected at most {bounds.size:,} bytes, found {len(content):,}")])
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        place = (before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        raise ContentError(
            [Problem(file, *place, "", f"expected UTF-8, found the byte 0x{error.object[error.start]:02x}")]
        ) from None
    if found := _CONTROL.search(text):
        before_text = text[: found.start()]
        place = (before_text.count("\n") + 1, found.start() - (before_text.rfind("\n") + 1) + 1)
        letter = f"U+{ord(found[0]):04X}"
        raise ContentError([Problem(file, *place, "", f"expected no control characters, found {letter}")])
    return text


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.split("\n", line + 1)
    if line < len(lines) and lines[line][column : column + 1] == "\t":
        return Problem(file, line + 1, column + 1, "", "not YAML: found a tab; indent with spaces")
    reasons = [printable(reason) for reason in (error.context, error.problem) if reason]
    return Problem(file, line + 1, column + 1, "", f"not YAML: {', '.join(reasons)}")


class _Stop(Exception):  # noqa: N818 -- control flow inside this module: nothing more can be read
    """A bound is broken."""


class _Reader:
    """Builds nodes of events, without recursion."""

    def __init__(self, file: str, bounds: Bounds) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._bounds = bounds
        self._nodes = 0
        self._aliases = 0
        self._anchors: dict[str, Node] = {}
        self._open: list[tuple[Node, str | None]] = []
        self._key: list[tuple[str | int, Place] | None] = []
        self._root: Node | None = None

    def read(self, events: Iterator[yaml.Event]) -> Node:
        try:
            for event in events:
                self._take(event)
        except _Stop:
            raise ContentError(self.problems) from None
        return self._root or Node(Place(self._file, 1, 1))

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event)
            self._finish(self._scalar(event), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._refuse_tag(event)
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            node, anchor = self._open.pop()
            self._key.pop()
            self._finish(node, anchor)
        elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
            self._stop(event, "expected one document, found a second one (`---`)")

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._open) >= self._bounds.depth:
            self._stop(event, f"expected at most {self._bounds.depth} levels of nesting")
        node = Node(self._place(event))
        if isinstance(event, yaml.MappingStartEvent):
            node.entries = {}
        else:
            node.items = []
        self._count(event, 1)
        self._open.append((node, event.anchor))
        self._key.append(None)

    def _alias(self, event: yaml.AliasEvent) -> None:
        self._aliases += 1
        if self._aliases > self._bounds.aliases:
            self._stop(event, f"expected at most {self._bounds.aliases} aliases")
        name = str(event.anchor)
        node = self._anchors.get(name)
        if node is None:
            self._stop(event, f"found the alias *{printable(name)}, but no finished anchor of that name before it")
        else:
            self._count(event, node.size)
            self._add(event, node)

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        self._count(event, 1)
        text = event.value
        node = Node(self._place(event), text)
        if event.implicit[0]:
            node.value, fault = plain_scalar(text)
            node.raw = "" if isinstance(node.value, str) else printable(text[:_SHOWN_LETTERS])
            if fault:
                self._add_problem(event, fault)
        return node

    def _finish(self, node: Node, anchor: str | None) -> None:
        self._add(None, node)
        if anchor is not None:
            self._anchors[anchor] = node

    def _add(self, event: yaml.Event | None, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent, _ = self._open[-1]
        place = self._place(event) if event else node.place
        parent.size += node.size
        if parent.items is not None:
            parent.items.append(node)
        elif parent.entries is not None:
            self._entry(parent, parent.entries, node, place)

    def _entry(self, parent: Node, entries: dict[str | int, Node], node: Node, place: Place) -> None:
        key = self._key[-1]
        if key is None:
            self._key[-1] = (self._as_key(node, place), place)
            return
        self._key[-1] = None
        name, key_place = key
        if name in entries:
            first = parent.keys[name].line
            self.problems.append(Problem(*key_place, "", f"the key {quoted(str(name))} is already given in line {first}"))
            return
        entries[name] = node
        parent.keys[name] = key_place

    def _as_key(self, node: Node, place: Place) -> str | int:
        if isinstance(node.value, (str, int)) and not isinstance(node.value, bool):
            return node.value
        if node.entries is not None or node.items is not None or node.value is None:
            self.problems.append(Problem(*place, "", f"expected a text as key, found {node.shown()}"))
        return node.raw

    def _count(self, event: yaml.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > self._bounds.nodes:
            self._stop(event, f"expected at most {self._bounds.nodes:,} values")

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            self._add_problem(event, f"expected plain YAML, found the tag {quoted(event.tag)}")

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file, 1, 1)

    def _add_problem(self, event: yaml.Event, message: str) -> None:
        self.problems.append(Problem(*self._place(event), "", message))

    def _stop(self, event: yaml.Event, message: str) -> None:
        self._add_problem(event, message)
        raise _Stop
