"""Generated traffic for the tests of detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.evaluate.inject import inject

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def packets(time_ns: ArrayLike, **columns: ArrayLike) -> Packets:
    """Return packets of one device that are alike but for what is said."""
    times = np.asarray(time_ns, np.int64)
    same = {
        "device": np.int32(0),
        "outgoing": np.bool_(True),
        "peer": np.int32(0),
        "transport": np.uint8(Transport.TCP),
        "source_port": np.uint16(50_000),
        "target_port": np.uint16(1883),
        "length": np.uint32(85),
        "flags": np.uint8(0x18),
    }
    made = {
        name: np.broadcast_to(np.asarray(columns.get(name, value)), times.shape).astype(value.dtype)
        for name, value in same.items()
    }
    return Packets._make([times, *made.values()])


def poller(hours: int = 72, every: int = 60, seed: int = 1, answer: float = 0.07) -> Packets:
    """Return a device that asks each minute, is answered 70 ms later, and now and then says something else."""
    luck = np.random.default_rng(seed)
    asks = (np.arange(hours * 3600 // every) * every + luck.normal(0, 0.05, hours * 3600 // every)).clip(0)
    answers = asks + answer * luck.uniform(0.8, 1.25, len(asks))
    odd = np.sort(luck.uniform(0, hours * 3600, hours))
    times = np.concatenate((asks, answers, odd))
    order = np.argsort(times, kind="stable")
    kind = np.repeat((0, 1, 2), (len(asks), len(answers), len(odd)))[order]
    return packets(
        (times[order] * SECOND_NS).astype(np.int64),
        outgoing=kind != 1,
        transport=np.where(kind == 2, Transport.UDP, Transport.TCP),
        length=np.where(kind == 2, 200, 85),
    )


def attacked(hours: int, **attacks: int) -> Packets:
    """Return hours of a poller with attacks in them, each from the hour on that is given."""
    found = poller(hours=hours, seed=2)
    for kind, hour in attacks.items():
        more = inject(found, kind, hour * 3600 * SECOND_NS, np.random.default_rng(3))
        assert more is not None
        found = more
    return found


def some(found: Packets, first: int | None, last: int | None) -> Packets:
    """Return some of the packets."""
    return Packets._make(column[first:last] for column in found)
