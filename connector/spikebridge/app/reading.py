"""The spikes stage over all logs of one spool: the live log, and beside it each recording that was not read to its end yet."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from spikebridge import metrics as numbers
from spikebridge.limits import SECOND
from spikebridge.logs.recording import Recording
from spikebridge.mapping.evidence import Identity
from spikebridge.pipeline import SpikesStage
from spikebridge.store import record_letter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.logs.spool import Input, Spool
    from spikebridge.mapping.engine import DeadRecord, Taken
    from spikebridge.metrics import Metrics
    from spikebridge.store import Store

LOOK_EVERY_NS = SECOND // 5
"""How often a recording that was just sent is looked for."""

COUNTED = {
    "duplicates": numbers.DUPLICATES,
    "retimed": numbers.RETIMED,
    "crowded": numbers.CROWDED,
    "undetected": numbers.UNDETECTED,
    "markers_ignored": numbers.MARKERS_IGNORED,
}

_log = logging.getLogger(__name__)


class Around(NamedTuple):
    """What every stage is given; `clock` is the wall clock in ns."""

    tenant: str
    spool: Spool
    store: Store
    metrics: Metrics
    clock: Callable[[], int]


class Watcher:
    """Counts what the stages do, and keeps refused records in the store before the position moves past them."""

    def __init__(self, around: Around) -> None:
        """Count into the metrics of the service."""
        self._around = around
        self._counted: dict[tuple[str, str], int] = {}

    def opened(self, stage: SpikesStage) -> None:
        """Begin counting at what the replay has counted: that was counted before."""
        for name in COUNTED:
            self._counted[stage.identity.log, name] = stage.counters.get(name, 0)

    def batch(self, stage: SpikesStage, records: int, taken: Taken) -> None:
        """Count a batch."""
        log, metrics = stage.identity.log, self._around.metrics
        metrics.inc(numbers.RECORDS, records, log=log)
        metrics.inc(numbers.SPIKES, taken.spikes, log=log)
        for raised in taken.alerts:
            metrics.inc(numbers.ALERTS, severity=raised.alert.rule.severity)
            metrics.inc(numbers.SUPPRESSED, raised.alert.suppressed_before)
        for name, metric in COUNTED.items():
            total = stage.counters.get(name, 0)
            metrics.inc(metric, total - self._counted.get((log, name), 0), log=log)
            self._counted[log, name] = total

    def dead(self, log: str, partition: int, records: Sequence[DeadRecord]) -> None:
        """Bury them under ids that come from where they lie, so that a restart buries them once."""
        now_ns = self._around.clock()
        self._around.store.bury(
            [record_letter(log, partition, dead.offset, dead.part, (dead.reason, dead.raw), now_ns) for dead in records]
        )
        for dead in records:
            self._around.metrics.inc(numbers.REFUSED, reason=dead.reason.partition(":")[0])


class Reading:
    """
    One log under its stage.

    After an error it goes on with the batch that was matched; without one the stage is thrown away and rewound, so that what a failed
    step left in memory never counts. `stage` is None before the first step and after such an error.
    """

    def __init__(self, build: Callable[[], SpikesStage], watcher: Watcher, metrics: Metrics) -> None:
        """Nothing is read before the first step."""
        self.stage: SpikesStage | None = None
        self._build = build
        self._watcher = watcher
        self._metrics = metrics

    def step(self) -> int:
        """Rewind and replay if that is due, else match a batch; return how many records there were."""
        stage = self.stage
        if stage is None:
            stage = self._build()
            replayed = stage.open()
            self._watcher.opened(stage)
            _log.info(
                "log %s: %d records replayed, reading from record %d with revision %d",
                *(stage.identity.log, replayed, stage.position, stage.revision.number),
            )
            self.stage = stage
            return 1
        began = time.perf_counter()
        try:
            records = stage.step()
        except Exception:
            if not stage.pending:
                self.stage = None
            raise
        if records:
            self._metrics.observe(numbers.BATCH_SECONDS, time.perf_counter() - began)
        return records or stage.lag

    def close(self) -> None:
        """Commit the position."""
        stage, self.stage = self.stage, None
        if stage is not None:
            stage.close()


class LiveLog(Reading):
    """The live log of a spool."""

    def __init__(self, around: Around) -> None:
        """Nothing is read before the first step."""
        watcher = Watcher(around)
        spool = around.spool
        identity = Identity(around.tenant, spool.id, spool.partition)
        super().__init__(
            lambda: SpikesStage(identity, spool, spool, spool, watcher, around.clock),
            watcher,
            around.metrics,
        )


class Recordings:
    """The recordings of a spool, one after the other, each as a log of its own."""

    def __init__(self, around: Around) -> None:
        """Nothing is read before the first step."""
        self._around = around
        self._watcher = Watcher(around)
        self._current: tuple[Input, Reading] | None = None
        self._looked_ns = 0

    def step(self) -> int:
        """Match a batch of the oldest recording that isn't drained; note it when that was the last one."""
        if self._current is None:
            now_ns = time.monotonic_ns()
            if self._looked_ns and now_ns - self._looked_ns < LOOK_EVERY_NS:
                return 0
            self._looked_ns = now_ns
            self._current = self._next()
            return int(self._current is not None)
        recording, reading = self._current
        records = reading.step()
        if not records:
            reading.close()
            self._around.spool.drained(recording.number)
            _log.info("recording %s (%s) was read to its end", recording.name, recording.id[:12])
            self._current, self._looked_ns = None, 0
        return records or 1

    def close(self) -> None:
        """Commit the position."""
        if self._current is not None:
            self._current[1].close()

    def _next(self) -> tuple[Input, Reading] | None:
        waiting = next((one for one in self._around.spool.recordings() if not one.drained), None)
        if waiting is None:
            return None
        around, spool, watcher = self._around, self._around.spool, self._watcher

        def build() -> SpikesStage:
            log = Recording(waiting.path, waiting.added_ns)
            identity = Identity(around.tenant, log.id, log.partition, live=False)
            return SpikesStage(identity, log, spool.alert_log(waiting.number), spool, watcher, around.clock)

        return waiting, Reading(build, watcher, around.metrics)
