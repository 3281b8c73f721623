"""Patterns: a line fires where its sequence of bytes ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from spikebridge_detectors.encode.signal import MOST_LINES, Encoded, bounded, by_sample, expect, samples
from spikebridge_detectors.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_OCTETS = 64
UNKNOWN = -1


class Patterns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One line for each pattern, in hexadecimal: `FF FF 41` or `0xFF 0xFF 0x41`.

    It fires with the byte that ends the pattern, also where it overlaps one before. One spike a byte and pattern at most.
    """

    patterns: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse patterns that can't be read."""
        expect("patterns", f"1 to {MOST_LINES} patterns", len(self.patterns), fits=1 <= len(self.patterns) <= MOST_LINES)
        for number, octets in enumerate(self.octets):
            expect(f"patterns: {number}", f"1 to {_MOST_OCTETS} bytes", len(octets), fits=1 <= len(octets) <= _MOST_OCTETS)

    @property
    def lines(self) -> int:
        """Return how many lines there are."""
        return len(self.patterns)

    @property
    def octets(self) -> tuple[bytes, ...]:
        """Return the patterns as bytes."""
        return tuple(_read(number, text) for number, text in enumerate(self.patterns))

    def spikes(self, octets: NDArray[np.uint8], before: NDArray[np.uint8] | None = None) -> Encoded:
        """Return the spikes of bytes, a step for each, and each device's last bytes, which a pattern may begin with."""
        bounded("patterns", octets, self.lines)
        begun = octets[..., :0] if before is None else before
        expect("patterns: before", f"the bytes of {octets.shape[:-1]}", begun.shape, fits=begun.shape[:-1] == octets.shape[:-1])
        held = max(map(len, self.octets)) - 1
        whole = np.concatenate((begun[..., max(begun.shape[-1] - held, 0) :], octets), axis=-1)
        fired = np.zeros((*octets.shape, self.lines), np.bool_)
        for line, pattern in enumerate(self.octets):
            ends = _ends(whole, pattern)[..., whole.shape[-1] - octets.shape[-1] :]
            fired[..., line] = ends
        return Encoded(by_sample(fired), whole[..., max(whole.shape[-1] - held, 0) :])

    def values(self, spikes: NDArray[np.bool_]) -> NDArray[np.int16]:
        """Return the bytes that spikes tell of, exact, and `UNKNOWN` for all others."""
        fired = samples("patterns", spikes, self.lines)
        found = np.full(fired.shape[:-1], UNKNOWN, np.int16)
        for line, pattern in enumerate(self.octets):
            for back, octet in enumerate(reversed(pattern)):
                at = fired[..., back:, line]
                found[..., : at.shape[-1]][at] = octet
        return found


def _read(number: int, text: str) -> bytes:
    try:
        return bytes.fromhex(" ".join(word.removeprefix("0x") for word in text.split()))
    except ValueError:
        raise ModelError(f'patterns: {number}: expected bytes in hexadecimal such as FF FF 41, found "{text}"') from None


def _ends(octets: NDArray[np.uint8], pattern: bytes) -> NDArray[np.bool_]:
    """Return at which bytes a pattern ends."""
    ends = np.zeros(octets.shape, np.bool_)
    count = octets.shape[-1] - len(pattern) + 1
    if count > 0:
        last = ends[..., len(pattern) - 1 :]
        last[...] = True
        for at, octet in enumerate(pattern):
            last &= octets[..., at : at + count] == octet
    return ends
