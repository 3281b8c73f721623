"""What a rule says, and what a rule is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from spikebridge_detectors.rules.clock import Piece
    from spikebridge_detectors.rules.threshold import Budget


class Finding(NamedTuple):
    """An alarm of a rule, before it is known whose."""

    time_ns: int
    kind: str
    score: float


class Watch(Protocol):
    """What a rule holds of one device between pieces: of bounded size, whatever comes."""

    def advance(self, piece: Piece) -> list[Finding]:
        """Return what is found in a piece, in constant work for each packet."""

    def wait(self, second: int) -> list[Finding]:
        """Return what is found because nothing came up to a second."""


class Rule(Protocol):
    """What was learned of one device."""

    @classmethod
    def learn(cls, piece: Piece, budget: Budget) -> Self:
        """Learn from days of a device's packets."""

    def begin(self) -> Watch:
        """Return what watches the packets to come."""
