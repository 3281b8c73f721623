"""
What MITRE ATT&CK says of the techniques that mappings name: names, tactics and matrix, from `attack.json`.

A mapping may name a technique that isn't in the list: documents then carry its id alone.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal, NamedTuple

import msgspec

Matrix = Literal["enterprise", "ics"]

FRAMEWORK = "MITRE ATT&CK"


class Tactic(NamedTuple):
    """Why an adversary does something."""

    id: str
    name: str


class Technique(NamedTuple):
    """How an adversary does it; `parent` is empty unless this is a sub-technique."""

    id: str
    name: str
    matrix: Matrix
    tactics: tuple[Tactic, ...]

    @property
    def parent(self) -> str:
        """Return the id of the technique that this one is a variant of."""
        return parent_of(self.id)


def technique(technique_id: str) -> Technique | None:
    """Return what is known of a technique, None when the list doesn't have it."""
    return techniques().get(technique_id)


def parent_of(technique_id: str) -> str:
    """Return the technique of a sub-technique's id, "" for a technique's own."""
    parent, dot, _ = technique_id.partition(".")
    return parent if dot else ""


def reference(technique_id: str) -> str:
    """Return the page that describes a technique."""
    return f"https://attack.mitre.org/techniques/{technique_id.replace('.', '/')}/"


@cache
def techniques() -> dict[str, Technique]:
    """Return all that is known, by id."""
    listed = _read(resources.files(__package__).joinpath("attack.json").read_bytes())
    tactics = {tactic_id: (matrix, name) for matrix, names in listed.matrices.items() for tactic_id, name in names.items()}
    return {
        entry.id: Technique(
            entry.id, entry.name, tactics[entry.tactics[0]][0], tuple(Tactic(key, tactics[key][1]) for key in entry.tactics)
        )
        for entry in listed.techniques
    }


class _Entry(msgspec.Struct):
    id: str
    name: str
    tactics: list[str]


class _File(msgspec.Struct):
    source: str
    matrices: dict[Matrix, dict[str, str]]
    techniques: list[_Entry]


_read = msgspec.json.Decoder(_File).decode
