"""Who was given which partition for a sink, when, and where it went on reading: noted by each instance, read by the judge."""

from __future__ import annotations

import json
from bisect import bisect
from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILE = "takeovers"


class Takeover(NamedTuple):
    """`position` is what the group had committed, as it was asked at `at_s` of the monotonic clock, which all processes of a machine share."""

    at_s: float
    sink: str
    partition: int
    position: int


def note(directory: Path, takeover: Takeover) -> None:
    """Add one to an instance's file, in one write: a kill leaves it out or whole."""
    with (directory / FILE).open("a") as file:
        file.write(f"{json.dumps(takeover)}\n")


def read(directory: Path, sink: str) -> dict[int, list[Takeover]]:
    """Return an instance's for a sink, by partition and in order of time."""
    found: dict[int, list[Takeover]] = defaultdict(list)
    file = directory / FILE
    for line in file.read_text().splitlines() if file.exists() else ():
        takeover = Takeover(*json.loads(line))
        if takeover.sink == sink:
            found[takeover.partition].append(takeover)
    return found


def latest(takeovers: Sequence[Takeover], at_s: float) -> Takeover | None:
    """Return the last one until then."""
    before = bisect(takeovers, at_s, key=attrgetter("at_s"))
    return takeovers[before - 1] if before else None
