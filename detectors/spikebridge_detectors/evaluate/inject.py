"""Quiet attacks put into a clean capture at places drawn by luck: known peers, normal rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.evaluate.data import joined, some

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Rhythm = Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """Says when the steps of an attack come instead, in seconds since it began."""

KINDS = {"scan": 3600, "beacon": 3600, "exfiltration": 600, "silence": 1200, "regular": 3600, "shuffle": 3600}
"""The kinds and how many seconds each lasts."""

_JITTER = 6.0
_LEAST_SILENCED, _LEAST_MOVED = 4, 40
_HTTPS = 443
_CONNECTION = np.array(
    [  # seconds, sent by the device, length, flags
        (0.0, 1, 74, 0x02),
        (0.02, 0, 74, 0x12),
        (0.0205, 1, 66, 0x10),
        (0.021, 1, 350, 0x18),
        (0.041, 0, 66, 0x10),
        (0.06, 0, 900, 0x18),
        (0.0603, 1, 66, 0x10),
        (0.08, 1, 120, 0x18),
        (0.1, 0, 66, 0x10),
        (0.101, 1, 66, 0x11),
        (0.12, 0, 66, 0x11),
        (0.1203, 1, 66, 0x10),
    ]
)


def inject(packets: Packets, kind: str, start_ns: int, luck: np.random.Generator, rhythm: Rhythm | None = None) -> Packets | None:
    """Return a device's packets with an attack in them, or nothing where too few packets are there to be changed."""
    end_ns = start_ns + KINDS[kind] * SECOND_NS
    inside = (packets.time_ns >= start_ns) & (packets.time_ns < end_ns)
    if kind in _SENT:
        every, sent = _SENT[kind]
        steps = np.arange(0.0, KINDS[kind], every)
        return joined([packets, sent(start_ns, steps if rhythm is None else rhythm(steps), luck)])
    if inside.sum() < (_LEAST_SILENCED if kind == "silence" else _LEAST_MOVED):
        return None
    rest = some(packets, ~inside)
    if kind == "silence":
        return rest
    moved = some(packets, inside)
    if kind == "regular":
        steps = np.linspace(0.0, KINDS[kind], len(moved.time_ns) + 2)[1:-1]
        time_ns = _at(start_ns, steps if rhythm is None else rhythm(steps))
    else:
        time_ns = start_ns + np.cumsum(luck.permutation(np.diff(moved.time_ns, prepend=start_ns)))
    return joined([rest, moved._replace(time_ns=time_ns)])


def _at(start_ns: int, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return start_ns + (seconds * SECOND_NS).astype(np.int64)


def _scan(start_ns: int, steps: NDArray[np.float64], luck: np.random.Generator) -> Packets:
    ports = luck.integers(33_000, 60_000, len(steps)), luck.integers(1, 10_000, len(steps))
    return _tcp(_at(start_ns, steps), outgoing=True, ports=ports, length=60, flags=2)


def _exfiltration(start_ns: int, steps: NDArray[np.float64], luck: np.random.Generator) -> Packets:
    time_ns = _at(start_ns, steps) + luck.integers(0, SECOND_NS // 20, len(steps))
    return _tcp(time_ns, outgoing=True, ports=(50_123, _HTTPS), length=512, flags=0x18)


def _beacon(start_ns: int, steps: NDArray[np.float64], luck: np.random.Generator) -> Packets:
    count = len(steps)
    begins = steps + luck.uniform(0, 2 * _JITTER, count)
    within = _CONNECTION[:, 0] * luck.uniform(0.8, 1.2, (count, 1))
    time_ns = _at(start_ns, (begins[:, None] + within).ravel())
    outgoing, length, flags = (np.tile(_CONNECTION[:, column], count).astype(np.int64) for column in (1, 2, 3))
    own = np.repeat(luck.integers(33_000, 60_000, count), len(_CONNECTION))
    ports = np.where(outgoing, own, _HTTPS), np.where(outgoing, _HTTPS, own)
    return _tcp(time_ns, outgoing=outgoing, ports=ports, length=length, flags=flags)


def _tcp(
    time_ns: NDArray[np.int64], *, outgoing: ArrayLike, ports: tuple[ArrayLike, ArrayLike], length: ArrayLike, flags: ArrayLike
) -> Packets:
    def column(value: ArrayLike, kind: type[np.generic]) -> NDArray[np.generic]:
        return np.broadcast_to(np.asarray(value), time_ns.shape).astype(kind)

    columns = (
        time_ns,
        column(0, np.int32),
        column(outgoing, np.bool_),
        column(1, np.int32),
        column(Transport.TCP, np.uint8),
        column(ports[0], np.uint16),
        column(ports[1], np.uint16),
        column(length, np.uint32),
        column(flags, np.uint8),
    )
    return Packets._make(columns)


_SENT = {"scan": (30, _scan), "beacon": (60, _beacon), "exfiltration": (1, _exfiltration)}
"""Attacks that send packets of their own: a step each so many seconds, and what makes the packets of all steps."""
