"""Days of one device as they always are, with what goes wrong without an attacker: outages, reconnections, repeats, a clock that drifts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.traffic.kinds import DAY_S, KINDS, RECONNECTS, SYN, Step, Stream
from spikebridge_detectors.traffic.packets import kept, made, put_together

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 1
"""Rises when the same seed gives other packets."""

MOST_DAYS = 31
BEGIN_NS = 1_767_571_200 * SECOND_NS
"""The first day is Monday, 5 January 2026."""

_OUTAGES, _RECONNECTS = 0.3, 0.7
_OUTAGE_S = 120, 1200
_REPEATED, _REPEAT_S = 0.002, (0.15, 0.6)
_DRIFT = 1e-4
_DAWN, _DUSK, _AT_NIGHT = 7 / 24, 23 / 24, 0.15


def generated(kind: str, days: int, seed: int, begin_ns: int = BEGIN_NS) -> Packets:
    """Return whole days of one device; a seed is one device, whose owner chose other intervals than those of another seed."""
    if kind not in KINDS:
        raise ModelError(f'kind of device: expected one of {", ".join(KINDS)}, found "{kind}"')
    if not 1 <= days <= MOST_DAYS:
        raise ModelError(f"days: expected 1 to {MOST_DAYS}, found {days}")
    luck = np.random.default_rng([VERSION, [*KINDS].index(kind), seed])
    own = [_streamed(number, stream, days, luck) for number, stream in enumerate(KINDS[kind])]
    away = _outages(days, luck)
    packets = put_together(own)
    for begin_s, end_s in away:
        packets = kept(packets, (packets.time_ns < begin_s * SECOND_NS) | (packets.time_ns >= end_s * SECOND_NS))
    back = np.concatenate(([end for _, end in away], luck.uniform(0, days * DAY_S, luck.poisson(_RECONNECTS * days))))
    packets = put_together([packets, _reconnected(back, luck), _repeated(packets, luck)])
    packets = kept(packets, (packets.time_ns >= 0) & (packets.time_ns < days * DAY_NS))
    return packets._replace(time_ns=packets.time_ns + begin_ns)


class Flow(NamedTuple):
    """Whom the device talks to, and how."""

    transport: Transport
    port: int
    peer: int


def occasions(begins_s: NDArray[np.float64], steps: tuple[Step, ...], flow: Flow, luck: np.random.Generator) -> Packets:
    """Return the packets of occasions that begin then, each at a pace of its own; those that open a connection have a port of their own."""
    after, outgoing, length, flags = (np.array(column) for column in zip(*steps, strict=True))
    count, each = len(begins_s), len(steps)
    time_s = begins_s[:, None] + after * luck.uniform(0.8, 1.25, (count, 1))
    own = luck.integers(33_000, 60_000, (count if steps[0].flags & SYN else 1, 1))
    ours = np.broadcast_to(own if flow.port else 0, (count, 1))
    sent = np.broadcast_to(outgoing, (count, each))
    return made(
        (time_s.ravel() * SECOND_NS).astype(np.int64),
        outgoing=sent.ravel(),
        peer=flow.peer,
        transport=flow.transport,
        source_port=np.where(sent, ours, flow.port).ravel(),
        target_port=np.where(sent, flow.port, ours).ravel(),
        length=np.tile(length, count),
        flags=np.tile(flags, count),
    )


def _streamed(number: int, stream: Stream, days: int, luck: np.random.Generator) -> Packets:
    """Return all occasions of a stream, those with more packets one by one."""
    begins = _begins(stream, days * DAY_S, luck)
    flow = Flow(stream.transport, stream.port, number)
    if not stream.more:
        return occasions(begins, stream.steps, flow, luck)
    times = luck.integers(stream.times[0], stream.times[1] + 1, len(begins))
    length = stream.more[-1].after_s * 1.02 + 0.001
    last = stream.steps[-1].after_s + 0.01
    more = np.repeat(begins, times) + last + length * (np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times))
    return put_together([occasions(begins, stream.steps, flow, luck), occasions(more, stream.more, flow, luck)])


def _begins(stream: Stream, until_s: float, luck: np.random.Generator) -> NDArray[np.float64]:
    """Return when the occasions begin."""
    if stream.jitter_s is not None:
        every = stream.every_s * luck.uniform(0.85, 1.15) * (1 + luck.normal(0, _DRIFT))
        even = np.arange(luck.uniform(0, every), until_s, every)
        return even + luck.normal(0, stream.jitter_s, len(even))
    count = luck.poisson(until_s / stream.every_s)
    begins = np.sort(luck.uniform(0, until_s, count))
    part = begins % DAY_S / DAY_S
    return begins[((part > _DAWN) & (part < _DUSK)) | (luck.random(count) < _AT_NIGHT)]


def _outages(days: int, luck: np.random.Generator) -> list[tuple[float, float]]:
    """Return from when to when the network is away."""
    begins = np.sort(luck.uniform(0, days * DAY_S, luck.poisson(_OUTAGES * days)))
    return [(begin, begin + luck.uniform(*_OUTAGE_S)) for begin in begins.tolist()]


def _reconnected(back_s: NDArray[np.float64], luck: np.random.Generator) -> Packets:
    """Return what follows an outage: who is there, what is its address, up to three tries to connect."""
    tries = np.repeat(back_s + 1.2, luck.integers(1, 4, len(back_s))) + luck.uniform(0, 8, 0 if not len(back_s) else 1)
    return put_together(
        [
            occasions(back_s, (Step(0, True, 42), Step(0.004, False, 60)), Flow(Transport.ARP, 0, 0), luck),
            occasions(back_s + 0.5, (Step(0, True, 78), Step(0.03, False, 142)), Flow(Transport.UDP, 53, 1), luck),
            occasions(tries + luck.uniform(0, 3, len(tries)), RECONNECTS, Flow(Transport.TCP, 443, 2), luck),
        ]
    )


def _repeated(packets: Packets, luck: np.random.Generator) -> Packets:
    """Return the few packets that are sent twice because the first was lost on the way."""
    again = kept(packets, (luck.random(len(packets.time_ns)) < _REPEATED) & (packets.transport == Transport.TCP))
    return again._replace(time_ns=again.time_ns + (luck.uniform(*_REPEAT_S, len(again.time_ns)) * SECOND_NS).astype(np.int64))
