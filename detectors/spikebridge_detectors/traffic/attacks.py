"""
Attacks put into a device's packets, loud and quiet ones. The device doesn't react to them, and nothing else changes.

    burst         its commonest packet each 10 ms        scan       ports at 20 to 40 a second, most of them closed
    flood         connections opened at 200 a second     slow_scan  a port each half minute
    beacon        a call at even intervals of 45 to 90 s exfiltration  a packet of 512 bytes a second
    silence       nothing is sent or received            regular    the device's own packets at even distances
    shuffle       the device's own gaps in another order
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.traffic.days import Flow, occasions
from spikebridge_detectors.traffic.kinds import ACK, PUSH, RST, SYN, called
from spikebridge_detectors.traffic.packets import kept, made, put_together

if TYPE_CHECKING:
    from numpy.typing import NDArray

LASTS_S = {
    "burst": 30, "flood": 20, "scan": 60, "slow_scan": 3600, "beacon": 3600, "exfiltration": 600,
    "silence": 1800, "regular": 3600, "shuffle": 3600,
}  # fmt: skip
"""The attacks, and how many seconds each lasts."""

_PEER = 99
_HTTPS = 443
_LEAST_CHANGED = 4
_CLOSED = 0.85


def attacked(packets: Packets, kind: str, start_ns: int, luck: np.random.Generator) -> Packets:
    """Return a device's packets with an attack in them from `start_ns` on."""
    if kind not in LASTS_S:
        raise ModelError(f'attack: expected one of {", ".join(LASTS_S)}, found "{kind}"')
    if kind in _SENT:
        return put_together([packets, _SENT[kind](packets, start_ns, luck)])
    length_ns = LASTS_S[kind] * SECOND_NS
    inside = (packets.time_ns >= start_ns) & (packets.time_ns < start_ns + length_ns)
    rest, own = kept(packets, ~inside), kept(packets, inside)
    count = len(own.time_ns)
    if count < _LEAST_CHANGED:
        raise ModelError(f"{kind}: expected {_LEAST_CHANGED} packets or more to change, found {count}")
    if kind == "silence":
        return rest
    if kind == "regular":
        time_ns = start_ns + (np.arange(1, count + 1) * length_ns) // (count + 1)
    else:
        time_ns = start_ns + np.cumsum(luck.permutation(np.diff(own.time_ns, prepend=start_ns)))
    return put_together([rest, own._replace(time_ns=time_ns)])


def _evenly(start_ns: int, kind: str, every_s: tuple[float, float], luck: np.random.Generator) -> NDArray[np.int64]:
    """Return times with gaps between two lengths, for as long as the attack lasts."""
    gaps = luck.uniform(*every_s, int(LASTS_S[kind] / every_s[0]) + 1)
    after = np.cumsum(gaps)
    return start_ns + (after[after < LASTS_S[kind]] * SECOND_NS).astype(np.int64)


def _burst(packets: Packets, start_ns: int, luck: np.random.Generator) -> Packets:
    """Say the device's commonest packet again and again."""
    own = kept(packets, packets.outgoing)
    if not len(own.time_ns):
        raise ModelError("burst: expected a packet that the device sent, found none")
    kinds = (own.transport.astype(np.int64) << 32) | own.length
    found, count = np.unique(kinds, return_counts=True)
    first = int(np.flatnonzero(kinds == found[count.argmax()])[0])
    time_ns = _evenly(start_ns, "burst", (0.008, 0.012), luck)
    same = {name: getattr(own, name)[first] for name in Packets._fields if name != "time_ns"}
    return made(time_ns, **same)


def _flood(_: Packets, start_ns: int, luck: np.random.Generator) -> Packets:
    time_ns = _evenly(start_ns, "flood", (0.004, 0.006), luck)
    return _tcp(time_ns, luck.integers(1024, 60_000, len(time_ns)), _HTTPS, 60, SYN)


def _scan(_: Packets, start_ns: int, luck: np.random.Generator) -> Packets:
    time_ns = _evenly(start_ns, "scan", (0.025, 0.05), luck)
    return _tried(time_ns, luck)


def _slow_scan(_: Packets, start_ns: int, luck: np.random.Generator) -> Packets:
    return _tried(_evenly(start_ns, "slow_scan", (28, 32), luck), luck)


def _tried(time_ns: NDArray[np.int64], luck: np.random.Generator) -> Packets:
    """Try a port at each time; most of them are closed."""
    count = len(time_ns)
    ours, theirs = luck.integers(33_000, 60_000, count), luck.permutation(10_000)[np.arange(count) % 10_000] + 1
    asks = _tcp(time_ns, ours, theirs, 60, SYN)
    closed = luck.random(count) < _CLOSED
    after_ns = (luck.uniform(0.001, 0.004, count) * SECOND_NS).astype(np.int64)
    says = made(
        (time_ns + after_ns)[closed], peer=_PEER, transport=Transport.TCP, source_port=theirs[closed], target_port=ours[closed],
        length=60, flags=RST | ACK,
    )  # fmt: skip
    return put_together([asks, says])


def _beacon(_: Packets, start_ns: int, luck: np.random.Generator) -> Packets:
    every = luck.uniform(45, 90)
    begins = np.arange(luck.uniform(0, every), LASTS_S["beacon"], every)
    begins += luck.normal(0, 0.02 * every, len(begins)).clip(-0.06 * every, 0.06 * every)
    own = occasions(begins.clip(0), called(260, 190), Flow(Transport.TCP, _HTTPS, _PEER), luck)
    return own._replace(time_ns=own.time_ns + start_ns)


def _exfiltration(_: Packets, start_ns: int, luck: np.random.Generator) -> Packets:
    time_ns = _evenly(start_ns, "exfiltration", (0.95, 1.05), luck)
    return _tcp(time_ns, 50_123, _HTTPS, 512, ACK | PUSH)


def _tcp(time_ns: NDArray[np.int64], ours: object, theirs: object, length: int, flags: int) -> Packets:
    """Return packets that the device sends."""
    return made(
        time_ns, outgoing=True, peer=_PEER, transport=Transport.TCP, source_port=np.asarray(ours), target_port=np.asarray(theirs),
        length=length, flags=flags,
    )  # fmt: skip


_SENT = {
    "burst": _burst, "flood": _flood, "scan": _scan, "slow_scan": _slow_scan, "beacon": _beacon, "exfiltration": _exfiltration,
}  # fmt: skip
