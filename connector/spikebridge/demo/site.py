"""
The spikes of the demonstration's site, made up: a rhythm for each device, and episodes on top; of two devices raw ones, for a network.

Pure: a plan and the number of a time slot give the same records every time, in whatever order they are asked for.
Live, binary frames and JSON lie side by side in the log, as they do where devices of several makers meet; a recording holds frames.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count, groupby
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from spikebridge.demo.episodes import HOUR, HOURS, LIVE, MS, Episode
from spikebridge.demo.sensed import KINDS, Placed, heard
from spikebridge.limits import MINUTE, SECOND
from spikebridge.spikes.batch import ROLE_INPUT, SUMMARY
from spikebridge.spikes.frame import Head, encode_counts, encode_events, encode_window
from spikebridge.spikes.layout import WORD_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

THERMOSTAT, LOCK, GATEWAY = "thermostat-7", "lock-1", "gateway-1"
PERIOD_NS, JITTER_NS = 300 * SECOND, 1_200 * MS
"""The thermostat reports every 300 s, give or take 1.2 s."""

HEARTBEAT_NS = MINUTE
SUMMARY_NS = 30 * SECOND

_STEP_NS = 1_000
_SUMMARY_LAYER = 3
_DENSITY = 0.1


class Rhythm(NamedTuple):
    """What a device says all the time: about `rate` spikes a second of neurons below `neurons`, none of which means a threat."""

    device: str
    kind: Literal["events", "window", "count"]
    layer: int
    neurons: int
    rate: int


RHYTHMS = (
    Rhythm("robot-arm-3", "window", 1, 16, 400),
    Rhythm("camera-2", "window", 0, 32, 900),
    Rhythm("charger-4", "count", 1, 8, 60),
    Rhythm("gateway-1", "events", 0, 24, 40),
)


class Plan(NamedTuple):
    """
    What happens from `begin_ns` on, cut into slots; `happenings` begin so much later, and come again every `repeat_ns` unless 0.

    The devices named in `json` write JSON, all others frames.
    """

    seed: int
    begin_ns: int
    slot_ns: int
    happenings: tuple[tuple[int, Episode], ...] = ()
    repeat_ns: int = 0
    json: frozenset[str] = frozenset()

    def starts(self, slot: int) -> int:
        """Return when a slot begins."""
        return self.begin_ns + slot * self.slot_ns

    def during(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, Episode]]:
        """Yield the episodes that may touch a stretch of time, with their beginnings."""
        for after_ns, episode in self.happenings:
            begin_ns = self.begin_ns + after_ns
            while begin_ns < end_ns:
                if start_ns <= begin_ns + episode.length_ns:
                    yield begin_ns, episode
                if not self.repeat_ns:
                    break
                begin_ns += self.repeat_ns

    def begun(self, slot: int) -> list[str]:
        """Return the names of the episodes that begin in a slot."""
        start_ns, end_ns = self.starts(slot), self.starts(slot + 1)
        return [episode.name for begin_ns, episode in self.during(start_ns, end_ns) if begin_ns >= start_ns]


class Spike(NamedTuple):
    """One spike of an episode."""

    device: str
    layer: int
    time_ns: int
    neuron: int
    peer: str


def live(seed: int, begin_ns: int, every_ns: int, *, repeats: bool) -> Plan:
    """Plan live seconds: the first episode after a second, the next ones at even distances."""
    placed = tuple((SECOND + at * every_ns, episode) for at, episode in enumerate(LIVE))
    return Plan(seed, begin_ns, 100 * MS, placed, len(LIVE) * every_ns if repeats else 0, frozenset({THERMOSTAT, LOCK, GATEWAY}))


def night(seed: int, end_ns: int, hours: int = 6) -> Plan:
    """Plan the hours up to a time, for a recording."""
    return Plan(seed, end_ns - hours * HOUR, 30 * SECOND, HOURS)


def records(plan: Plan, slot: int) -> list[bytes]:
    """Return what the site says in a slot, as records of a spike log."""
    start_ns, end_ns = plan.starts(slot), plan.starts(slot + 1)
    happening = list(plan.during(start_ns, end_ns))
    muted = {
        mute.device
        for begin_ns, episode in happening
        for mute in episode.mutes
        if begin_ns + mute.from_ns < end_ns and start_ns < begin_ns + mute.to_ns
    }
    numbers = count(slot * 64)
    values = list(_chatter(plan, slot, numbers, muted))
    spikes = sorted(_spikes(happening, start_ns, end_ns))
    for (device, layer), own in groupby(spikes, lambda spike: spike[:2]):
        head = Head(device=device, start_ns=start_ns, layer=layer, boot=plan.begin_ns, seq=next(numbers))
        values.append(_burst(head, list(own), json=device in plan.json))
    return values + list(_raw(plan, start_ns, numbers))


def _raw(plan: Plan, start_ns: int, numbers: Iterator[int]) -> Iterator[bytes]:
    """Yield what sensors hear of the devices whose network runs in the service, and each minute that they live."""
    for device in KINDS:
        attacks = [
            Placed(after_ns + one.at_ns, one.kind, one.lasts_ns)
            for after_ns, episode in plan.happenings
            for one in episode.attacks
            if one.device == device
        ]
        found = heard(device, start_ns - plan.begin_ns, plan.slot_ns, plan.repeat_ns, attacks)
        head = Head(device=device, start_ns=start_ns, role=ROLE_INPUT, boot=plan.begin_ns, seq=next(numbers))
        if len(found.line) or -start_ns % HEARTBEAT_NS < plan.slot_ns:
            yield encode_events(head, found.line, found.after_ns // _STEP_NS)


def _spikes(happening: list[tuple[int, Episode]], start_ns: int, end_ns: int) -> Iterator[Spike]:
    """Yield the spikes of episodes that fall into a stretch of time."""
    for begin_ns, episode in happening:
        for burst in episode.bursts:
            step_ns = max(1, burst.step_ns)
            first = max(0, -(-(start_ns - begin_ns - burst.at_ns) // step_ns))
            last = min(burst.n, -(-(end_ns - begin_ns - burst.at_ns) // step_ns))
            for at in range(first, last):
                yield Spike(burst.device, burst.layer, begin_ns + burst.at_ns + at * step_ns, burst.neuron, burst.peer)


def _burst(head: Head, spikes: list[Spike], *, json: bool) -> bytes:
    """Write the spikes of one device and layer as that device writes them."""
    if json:
        return _json([_event(spike) for spike in spikes])
    steps = [(spike.time_ns - head.start_ns) // _STEP_NS for spike in spikes]
    return encode_events(head, [spike.neuron for spike in spikes], steps, [spike.peer or None for spike in spikes])


def _event(spike: Spike) -> dict[str, str | int]:
    event: dict[str, str | int] = {"device_id": spike.device, "neuron_id": spike.neuron, "time": spike.time_ns}
    return event | {"peer": spike.peer} if spike.peer else event


def _json(events: list[dict[str, str | int]]) -> bytes:
    return msgspec.json.encode(events if len(events) > 1 else events[0])


def _chatter(plan: Plan, slot: int, numbers: Iterator[int], muted: set[str]) -> Iterator[bytes]:
    """Yield what the devices say while nothing happens."""
    start_ns, end_ns = plan.starts(slot), plan.starts(slot + 1)
    head = Head(device=GATEWAY, start_ns=start_ns, boot=plan.begin_ns)
    for at, rhythm in enumerate(RHYTHMS):
        if rhythm.device not in muted:
            own = replace(head, device=rhythm.device, layer=rhythm.layer, seq=next(numbers))
            yield _frame(rhythm, own, plan.slot_ns, np.random.default_rng((plan.seed, at, slot)))
    if THERMOSTAT not in muted:
        for time_ns in _reports(plan.seed, start_ns, end_ns):
            own = replace(head, device=THERMOSTAT, seq=next(numbers))
            yield _burst(own, [Spike(THERMOSTAT, 0, time_ns, 3, "")], json=THERMOSTAT in plan.json)
    if LOCK not in muted and -start_ns % HEARTBEAT_NS < plan.slot_ns:
        yield encode_events(replace(head, device=LOCK, seq=next(numbers)), [], [])
    if -start_ns % SUMMARY_NS < plan.slot_ns:
        if GATEWAY in plan.json:
            yield _json([{"device_id": GATEWAY, "spike_count": 5, "neuron_layer": "output_3", "time": start_ns}])
        else:
            yield encode_counts(replace(head, layer=_SUMMARY_LAYER, seq=next(numbers)), [SUMMARY], [0], [5])


def _reports(seed: int, start_ns: int, end_ns: int) -> Iterator[int]:
    """Yield when the thermostat reports in a stretch of time."""
    for report in range(start_ns // PERIOD_NS - 1, end_ns // PERIOD_NS + 1):
        time_ns = report * PERIOD_NS + int(np.random.default_rng((seed, report)).integers(0, 2 * JITTER_NS))
        if start_ns <= time_ns < end_ns:
            yield time_ns


def _frame(rhythm: Rhythm, head: Head, slot_ns: int, rng: np.random.Generator) -> bytes:
    """Write a slot of a device's rhythm."""
    mean = rhythm.rate * slot_ns / SECOND
    if rhythm.kind == "window":
        density = min(_DENSITY, mean / (rhythm.neurons * WORD_STEPS))
        bits = rng.random((rhythm.neurons, WORD_STEPS)) < density
        words = np.packbits(bits, axis=1, bitorder="little").view("<u4")
        return encode_window(replace(head, step_ns=slot_ns // WORD_STEPS), np.arange(rhythm.neurons), words)
    n = int(rng.poisson(mean))
    if rhythm.kind == "count":
        counts = rng.multinomial(n, [1 / rhythm.neurons] * rhythm.neurons)
        return encode_counts(head, np.arange(rhythm.neurons), np.zeros(rhythm.neurons, np.int64), counts)
    times = np.sort(rng.integers(0, slot_ns // _STEP_NS, n))
    return encode_events(head, rng.integers(0, rhythm.neurons, n), times)
