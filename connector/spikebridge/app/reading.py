"""The spikes stage over a log, and over all logs of one spool: the live one, and each recording that was not read to its end yet."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from spikebridge import metrics as numbers
from spikebridge.app.networks import ReadyRevisions
from spikebridge.errors import LogMissing
from spikebridge.limits import SECOND
from spikebridge.logs.recording import Recording
from spikebridge.mapping.evidence import Identity
from spikebridge.pipeline import SpikesStage
from spikebridge.store import record_letter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.app.logs import Runtime
    from spikebridge.logs import Revisions
    from spikebridge.logs.spool import Input, Spool
    from spikebridge.mapping.engine import DeadRecord, Taken
    from spikebridge.metrics import Metrics

LOOK_EVERY_NS = SECOND // 5
"""How often a recording that was just sent is looked for."""

EMPTY_S = 10.0
"""Offsets at a log's end from which nothing came for so long hold no record: the end of a transaction has an offset of its own."""

COUNTED = {
    "duplicates": numbers.DUPLICATES,
    "retimed": numbers.RETIMED,
    "crowded": numbers.CROWDED,
    "detected": numbers.DETECTED,
    "unfit": numbers.UNFIT,
    "undetected": numbers.UNDETECTED,
    "markers_ignored": numbers.MARKERS_IGNORED,
}

_ELEMENT = re.compile(r"\[\d+\]")

_log = logging.getLogger(__name__)


class Watcher:
    """Counts what the stages do, and keeps refused records in the store before the position moves past them."""

    def __init__(self, runtime: Runtime) -> None:
        """Count into the metrics of the service."""
        self._runtime = runtime
        self._counted: dict[tuple[str, int, str], int] = {}

    def opened(self, stage: SpikesStage) -> None:
        """Begin counting at what the replay has counted: that was counted before."""
        for name in COUNTED:
            self._counted[stage.identity.log, stage.identity.partition, name] = stage.counters.get(name, 0)

    def batch(self, stage: SpikesStage, records: int, taken: Taken) -> None:
        """Count a batch."""
        log, metrics = stage.identity.log, self._runtime.metrics
        metrics.inc(numbers.RECORDS, records, log=log)
        metrics.inc(numbers.SPIKES, taken.spikes, log=log)
        for raised in taken.alerts:
            metrics.inc(numbers.ALERTS, severity=raised.alert.rule.severity)
            metrics.inc(numbers.SUPPRESSED, raised.alert.suppressed_before)
        for name, metric in COUNTED.items():
            total = stage.counters.get(name, 0)
            metrics.inc(metric, total - self._counted.get((log, stage.identity.partition, name), 0), log=log)
            self._counted[log, stage.identity.partition, name] = total

    def dead(self, log: str, partition: int, records: Sequence[DeadRecord]) -> None:
        """Bury them under ids that come from where they lie, so that a restart buries them once."""
        now_ns = self._runtime.clock()
        self._runtime.store.bury(
            [record_letter(log, partition, dead.offset, dead.part, (dead.reason, dead.raw), now_ns) for dead in records]
        )
        for dead in records:
            self._runtime.metrics.inc(numbers.REFUSED, reason=refused_key(dead.reason))


def refused_key(reason: str) -> str:
    """Return the key that a reason is about, `record` for all of it: without the numbers of elements, which a sender chooses."""
    return _ELEMENT.sub("", reason.partition(":")[0]).removeprefix(".") or "record"


class _Rest(NamedTuple):
    """A stage that finds nothing: where it is, how much the log says is left, and since when."""

    position: int
    lag: int
    since: float


class Reading:
    """
    One log under its stage.

    After an error it goes on where it was, unless that left part of a batch in memory, or the log lacks what is asked for: then the stage
    is thrown away and rewound. `stage` is None before the first step and after such an error.
    """

    def __init__(
        self,
        build: Callable[[], SpikesStage],
        watcher: Watcher,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is read before the first step."""
        self.stage: SpikesStage | None = None
        self._build = build
        self._watcher = watcher
        self._metrics = metrics
        self._monotonic = monotonic
        self._rest: _Rest | None = None
        self._replayed = 0
        self._began = 0.0

    def step(self) -> int:
        """Rewind, or replay a batch in silence, if that is due, else match one; return how many records there were, or are left."""
        stage = self.stage
        rest, self._rest = self._rest, None  # after an error the time begins anew
        if stage is None:
            stage = self._build()
            stage.rewind()
            self.stage, self._replayed, self._began = stage, 0, self._monotonic()
            if not stage.replaying:
                self._opened(stage)
            return 1
        if stage.replaying:
            return self._replay(stage)
        began = time.perf_counter()
        records = self._kept(stage, stage.step)
        if records:
            self._metrics.observe(numbers.BATCH_SECONDS, time.perf_counter() - began)
            return records
        return self._left(stage, rest)

    def close(self) -> None:
        """Commit the position; one that still replays has none of its own."""
        stage, self.stage = self.stage, None
        if stage is not None and not stage.replaying:
            stage.close()

    def _left(self, stage: SpikesStage, rest: _Rest | None) -> int:
        """Return what is still to come, nothing once that has not come for long and nothing was added: then it is no record."""
        now, lag = self._monotonic(), stage.lag
        if rest is None or (rest.position, rest.lag) != (stage.position, lag):
            rest = _Rest(stage.position, lag, now)
        self._rest = rest
        return lag if now - rest.since < EMPTY_S else 0

    def _replay(self, stage: SpikesStage) -> int:
        self._replayed += self._kept(stage, stage.replay)
        if not stage.replaying:
            self._opened(stage)
        return 1

    def _kept(self, stage: SpikesStage, step: Callable[[], int]) -> int:
        """Do it, and keep the stage after an error that touched nothing of it: a broker that is away must not cost a replay."""
        try:
            return step()
        except Exception as error:
            # What is missing while a batch is settled is where it is to go.
            if stage.spoiled or (isinstance(error, LogMissing) and not stage.pending):
                self.stage = None
            raise

    def _opened(self, stage: SpikesStage) -> None:
        self._watcher.opened(stage)
        _log.info(
            "log %s, partition %d: %d records replayed in %.1f s, reading from record %d with revision %d",
            *(stage.identity.log, stage.identity.partition, self._replayed, self._monotonic() - self._began),
            *(stage.position, stage.revision.number),
        )


class LiveLog(Reading):
    """The live log of a spool."""

    def __init__(self, runtime: Runtime, spool: Spool, revisions: Revisions) -> None:
        """Nothing is read before the first step."""
        watcher = Watcher(runtime)
        identity = Identity(runtime.config.tenant, spool.id, spool.partition)
        super().__init__(
            lambda: SpikesStage(identity, spool, spool, ReadyRevisions(revisions), watcher, runtime.clock),
            watcher,
            runtime.metrics,
        )


class Recordings:
    """The recordings of a spool, one after the other, each as a log of its own."""

    def __init__(self, runtime: Runtime, spool: Spool, revisions: Revisions) -> None:
        """Nothing is read before the first step."""
        self._runtime = runtime
        self._spool = spool
        self._revisions = revisions
        self._watcher = Watcher(runtime)
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
            self._spool.drained(recording.number)
            _log.info("recording %s (%s) was read to its end", recording.name, recording.id[:12])
            self._current, self._looked_ns = None, 0
        return records or 1

    def close(self) -> None:
        """Commit the position."""
        if self._current is not None:
            self._current[1].close()

    def _next(self) -> tuple[Input, Reading] | None:
        waiting = next((one for one in self._spool.recordings() if not one.drained), None)
        if waiting is None:
            return None
        runtime, spool, watcher = self._runtime, self._spool, self._watcher

        def build() -> SpikesStage:
            log = Recording(waiting.path, waiting.added_ns)
            identity = Identity(runtime.config.tenant, log.id, log.partition, live=False)
            revisions = ReadyRevisions(self._revisions)
            return SpikesStage(identity, log, spool.alert_log(waiting.number), revisions, watcher, runtime.clock)

        return waiting, Reading(build, watcher, runtime.metrics)
