"""Simple rules: too many packets, none, new peers, and minutes unlike those before. They ship beside the networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spikebridge_detectors.alarm import Alarm
from spikebridge_detectors.capture.columns import MOST_PACKETS, Packets
from spikebridge_detectors.elapsed import MOST_TIME_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.rules.clock import Clock
from spikebridge_detectors.rules.ewma import Ewma
from spikebridge_detectors.rules.peers import Peers
from spikebridge_detectors.rules.rate import Rate
from spikebridge_detectors.rules.silence import Silence
from spikebridge_detectors.rules.threshold import DAY, Budget

if TYPE_CHECKING:
    from spikebridge_detectors.rules.finding import Finding, Rule, Watch

RULES: dict[str, type[Rule]] = {"rate": Rate, "silence": Silence, "peers": Peers, "ewma": Ewma}

LEAST_DAYS, MOST_DAYS = 3, 31
MOST_LEARNED = 1 << 24


@dataclass(frozen=True, slots=True)
class Rules:
    """
    Some rules, or one, that together raise at most `per_day` alarms on an average day of training, the worst left out.

    `day_s` takes shorter pieces for days, where only minutes were recorded.
    """

    names: tuple[str, ...] = tuple(RULES)
    per_day: float = 0.2
    day_s: int = DAY

    def __post_init__(self) -> None:
        """Refuse rules that aren't there, and a budget that is none."""
        for name in self.names:
            if name not in RULES:
                raise ModelError(f'rules: expected some of {", ".join(RULES)}, found "{name}"')
        if not self.names or len(set(self.names)) < len(self.names):
            raise ModelError(f"rules: expected one at least and each once, found {', '.join(self.names) or 'none'}")
        if not 0 < self.per_day < DAY:
            raise ModelError(f"rules: per_day: expected a number above 0, found {self.per_day}")

    def learn(self, packets: Packets) -> tuple[Rule, ...]:
        """Return what was learned of one device, from three days of its packets at least."""
        if not 0 < len(packets.time_ns) <= MOST_LEARNED:
            raise ModelError(f"training: expected 1 to {MOST_LEARNED} packets of a device, found {len(packets.time_ns)}")
        piece = Clock().advance(packets)
        length = int(piece.second[-1]) + 1
        count = (length - 1) // self.day_s + 1
        if not LEAST_DAYS <= count <= MOST_DAYS:
            raise ModelError(f"training: expected packets of {LEAST_DAYS} to {MOST_DAYS} days, found {count}")
        budget = Budget(self.per_day * length / DAY / len(self.names), length / self.day_s, self.day_s)
        return tuple(RULES[name].learn(piece, budget) for name in self.names)

    def scan(self, packets: Packets, state: tuple[Rule, ...], until_ns: int | None = None) -> list[Alarm]:
        """Return the alarms in packets of one device, up to its last, or up to a time until which no more came."""
        return advance(Running.of(state), packets, until_ns)


@dataclass(slots=True)
class Running:
    """What is carried from piece to piece."""

    watches: tuple[Watch, ...]
    clock: Clock = field(default_factory=Clock)
    device: int = 0

    @classmethod
    def of(cls, learned: tuple[Rule, ...]) -> Running:
        """Return the rules of a device of which nothing came yet."""
        return cls(tuple(rule.begin() for rule in learned))


def advance(running: Running, packets: Packets, now_ns: int | None = None) -> list[Alarm]:
    """
    Return the alarms in packets of one device.

    `now_ns` says that no packet came up to then, so that a silence is heard while it lasts.
    """
    found: list[Finding] = []
    for first in range(0, len(packets.time_ns), MOST_PACKETS):
        some = Packets._make(column[first : first + MOST_PACKETS] for column in packets)
        running.device = int(some.device[0])
        piece = running.clock.advance(some)
        found += [finding for watch in running.watches for finding in watch.advance(piece)]
    if now_ns is not None and running.clock.last_ns is not None:
        second = running.clock.at(now_ns)
        found += [finding for watch in running.watches for finding in watch.wait(second)]
    return [Alarm(min(one.time_ns, MOST_TIME_NS), running.device, one.kind, one.score) for one in sorted(found)]
