"""Learning one device from its rows on disk, or adapting to it what its class knows; at once or beside all else."""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.sense.rows import newest
from spikebridge_detectors.sense.watch import Watch
from spikebridge_detectors.timing import learning
from spikebridge_detectors.timing.calibrate import Budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.sense.rows import Rows
    from spikebridge_detectors.timing import learning as timing

MOST_LEARNED_S = 30 * 86_400
WARM_S = 7200
"""The network begins as after so many seconds of the device's packets."""


class UnreadableError(ModelError):
    """Rows that nobody wrote."""


class Learned(NamedTuple):
    """What watches the device from here on, from how many packets, and how long it took."""

    watch: Watch
    packets: int
    seconds: float


class Adapted(NamedTuple):
    """What a class knows with thresholds of the device's own, or as it was and why."""

    known: timing.Learned
    why_not: str = ""


Result = Learned | Adapted | Exception


def taught(rows: Rows, *, with_rules: bool) -> Result:
    """Learn from rows that are on the disk, or say why not."""
    began = time.monotonic()
    try:
        kept = rows.read()
    except ModelError as error:
        return UnreadableError(str(error))
    packets = newest(kept, MOST_LEARNED_S)
    try:
        watch = Watch.learn(packets, with_rules=with_rules)
    except ModelError as error:
        return error
    watch.warm(newest(packets, WARM_S))
    return Learned(watch, len(packets.time_ns), time.monotonic() - began)


def adapted(kept: Packets, known: timing.Learned) -> Adapted:
    """Adapt what a class knows to a device of which whole days were kept."""
    try:
        return Adapted(learning.adapted(known, newest(kept, MOST_LEARNED_S), Budget()))
    except ModelError as error:
        return Adapted(known, str(error))


class Teacher:
    """Learns one device at a time in a thread; what isn't done when the process ends is begun again by the next."""

    def __init__(self) -> None:
        """Learn nothing yet."""
        self._thread: Thread | None = None

    def begin(self, lesson: Callable[[], Result]) -> list[Result] | None:
        """Return where the result will be; nothing while another device is learned."""
        if self._thread is not None and self._thread.is_alive():
            return None
        result: list[Result] = []

        def learn() -> None:
            try:
                result.append(lesson())
            except Exception as error:  # noqa: BLE001 -- raised again by who takes the result
                result.append(error)

        self._thread = Thread(target=learn, name="learning", daemon=True)
        self._thread.start()
        return result
