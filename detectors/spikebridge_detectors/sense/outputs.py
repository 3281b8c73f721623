"""What sensing says: alarms by the neurons that mappings know, and proofs of life."""

from __future__ import annotations

from typing import NamedTuple

from spikebridge_detectors.timing import model as timing

WIRE_LAYERS = {"timing": 48, "rules": 53, "power": 63, "rf": 83, "vibration": 92}
"""The number of each layer in a frame: that of its first neuron."""

NEURONS = {
    **{("timing", name): number for name, number in timing.NEURONS.items()},
    ("rules", "rate"): 53,
    ("rules", "silence"): 54,
    ("rules", "peers"): 55,
    ("rules", "ewma"): 56,
}


_FURTHEST_NS = (1 << 62) - 1


def within(time_ns: int) -> int:
    """Return the nearest time that a frame can have."""
    return min(max(time_ns, 0), _FURTHEST_NS)


class Told(NamedTuple):
    """
    What is said of a device at one time; without a kind it is that the device lives.

    `digest` is that of what was learned, and `evidence` what the alarm can be found in again, where there is any.
    """

    device: str
    time_ns: int
    layer: str = "timing"
    kind: str = ""
    score: float = 0.0
    digest: bytes = b""
    evidence: bytes = b""

    @property
    def neurons(self) -> list[int]:
        """Return the neuron that fired, or none."""
        return [NEURONS[self.layer, self.kind]] if self.kind else []
