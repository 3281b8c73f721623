"""What a detector says, and what a detector of traffic is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from spikebridge_detectors.capture.columns import Packets

State = TypeVar("State")


class Alarm(NamedTuple):
    """One alarm. `score` is what was seen in multiples of what sets it off."""

    time_ns: int
    device: int
    kind: str
    score: float


class Detector(Protocol[State]):
    """Learns what is normal for one device from packets of its own, then finds what is not."""

    def learn(self, packets: Packets) -> State:
        """Return what was learned of the packets of one device, three days of them at least."""

    def scan(self, packets: Packets, state: State, until_ns: int | None = None) -> list[Alarm]:
        """Return the alarms in packets of one device, in the order of time; `until_ns` says up to when no more came."""
