"""`timing.spike`: the network of timing as generated locks teach it together, for `sense` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge_detectors.model.header import Training
from spikebridge_detectors.timing import learning
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.timing.model import About, modelled
from spikebridge_detectors.traffic.days import VERSION, generated

if TYPE_CHECKING:
    from spikebridge_detectors.timing.learning import Learned

KIND = "lock"
TRAINED = range(100, 110)
DAYS = 5
_ABOUT = (
    "What comes, or stays away, at times that the habits of locks don't explain. It learned from generated traffic alone; "
    "what a device teaches of itself is better."
)


def learned() -> Learned:
    """Return what the devices teach together, thresholds by days held back."""
    days = learning.cut([generated(KIND, DAYS, seed, 0) for seed in TRAINED])
    return learning.learned(days, [learning.judged(days, part) for part in range(learning.parts(days))], Budget())


def timing_file() -> bytes:
    """Return `timing.spike`."""
    training = Training(
        data=f"{DAYS} generated days of {len(TRAINED)} locks",
        generator=f"spikebridge_detectors.traffic version {VERSION}",
        seed=TRAINED.start,
    )
    return modelled(learned(), About("timing", 1, _ABOUT, (KIND,), training))
