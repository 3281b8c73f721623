"""What an attacker changes of an attack so that its times don't give it away, more of it or less."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.evaluate.data import joined, some
from spikebridge_detectors.evaluate.inject import KINDS, inject

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.capture.columns import Packets

WAVE = 20
"""So many steps of an attack are one sine."""


class Rhythm(Protocol):
    """Changes when the steps of an attack come."""

    def __call__(self, seconds: NDArray[np.float64], amplitude: float, luck: np.random.Generator) -> NDArray[np.float64]:
        """Return other seconds since the attack began, none of them later than it ends, and maybe fewer."""


@dataclass(frozen=True, slots=True)
class Evasion:
    """One change, the kinds of attack that it can be made to, how much of it, and what that counts."""

    name: str
    unit: str
    kinds: tuple[str, ...]
    amplitudes: tuple[float, ...]
    rhythm: Rhythm | None = None

    def made(self, packets: Packets, kind: str, start_ns: int, amplitude: float, seed: list[int]) -> Packets | None:
        """Return a device's packets with an attack so changed; nothing where too few packets are there to be changed."""
        luck, other = np.random.default_rng(seed), np.random.default_rng([*seed, 1])
        if self.rhythm is not None:
            return inject(packets, kind, start_ns, luck, partial(self.rhythm, amplitude=amplitude, luck=other))
        attacked = inject(packets, kind, start_ns, luck)
        return None if attacked is None else _padded(packets, attacked, (start_ns, KINDS[kind] * SECOND_NS), amplitude, other)


def sine(seconds: NDArray[np.float64], amplitude: float, luck: np.random.Generator) -> NDArray[np.float64]:
    """Lengthen and shorten the gaps by turns, by a share of them."""
    at = np.arange(len(seconds) - 1) / WAVE + luck.random()
    return _spaced(seconds, 1 + amplitude * np.sin(2 * np.pi * at))


def jitter(seconds: NDArray[np.float64], amplitude: float, luck: np.random.Generator) -> NDArray[np.float64]:
    """Lengthen or shorten each gap by luck, by a share of it at most."""
    return _spaced(seconds, luck.uniform(1 - amplitude, 1 + amplitude, len(seconds) - 1))


def slower(seconds: NDArray[np.float64], amplitude: float, luck: np.random.Generator) -> NDArray[np.float64]:  # noqa: ARG001  as its siblings
    """Make the gaps so many times as long; what doesn't fit the attack's time any more isn't done."""
    return seconds[: max(int(np.ceil(len(seconds) / amplitude)), 1)] * amplitude


def _spaced(seconds: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return steps whose gaps are so many times as long, stretched so that they end when they did."""
    since = np.cumsum(np.diff(seconds) * factors)
    spaced: NDArray[np.float64] = seconds[0] + np.concatenate(([0.0], since * (seconds[-1] - seconds[0]) / since[-1]))
    return spaced


def _padded(packets: Packets, attacked: Packets, span: tuple[int, int], share: float, luck: np.random.Generator) -> Packets:
    """Add copies of the device's own earlier packets at times of luck: a share of the packets that the attack sends, takes or moves."""
    start_ns, length_ns = span
    inside = int(((packets.time_ns >= start_ns) & (packets.time_ns < start_ns + length_ns)).sum())
    count = round(share * (abs(len(attacked.time_ns) - len(packets.time_ns)) or inside))
    own = np.flatnonzero(packets.time_ns < start_ns)
    if not count or not len(own):
        return attacked
    copies = some(packets, luck.choice(own, count))
    return joined([attacked, copies._replace(time_ns=start_ns + luck.integers(0, length_ns, count))])


_SENT = ("scan", "beacon", "exfiltration")
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
EVASIONS = (
    Evasion("sine", "share of each gap", (*_SENT, "regular"), _SHARES, sine),
    Evasion("jitter", "share of each gap", (*_SENT, "regular"), _SHARES, jitter),
    Evasion("padding", "copies of own packets for each packet of the attack", tuple(KINDS), (0.0, 0.5, 1.0, 2.0, 4.0)),
    Evasion("slow-down", "times as slow", _SENT, (1.0, 2.0, 4.0, 8.0, 16.0), slower),
)
