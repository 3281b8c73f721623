"""The service: stages in threads, an orderly start and end."""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self

from spikebridge import __version__
from spikebridge import metrics as numbers
from spikebridge.app.content import Content
from spikebridge.app.incidents import Correlating
from spikebridge.app.parts import Parts, Stages
from spikebridge.app.reading import Around, LiveLog, Recordings
from spikebridge.app.status import StageStatus, Status, write_status
from spikebridge.app.worker import Worker
from spikebridge.correlate import IncidentStage
from spikebridge.delivery import Delivery, Filter, Surroundings
from spikebridge.errors import SpikebridgeError
from spikebridge.health import HealthServer
from spikebridge.limits import SECOND
from spikebridge.metrics import Metrics
from spikebridge.store import SinkLetters, Store

if TYPE_CHECKING:
    from types import TracebackType

    from spikebridge.config import Config

WAIT_S = 0.005
STATUS_EVERY_S = 1.0
TRIM_EVERY_S = 60.0
CORRELATE_IDLE_S = 0.02

_log = logging.getLogger(__name__)


class Service:
    """
    A configuration, running, for a `with` block.

    `run` goes on until told to stop; `drain` reads the logs to their end, waits for every sink and returns.
    What one stage suffers never touches another: each catches its own errors, says them once and tries again.
    """

    def __init__(self, config: Config, stages: Stages | None = None, parts: Parts | None = None) -> None:
        """Open spool and store, take the stages' locks, publish mappings and inventory if this process reads spikes."""
        self.config = config
        self.stages = stages or Stages.parse("", config.sinks)
        self.metrics = Metrics()
        self._parts = parts or Parts()
        self._started_ns = self._parts.clock()
        self._ending = Event()
        with ExitStack() as opening:
            self.spool = opening.enter_context(self._parts.spool(config))
            self.store = opening.enter_context(Store(config.data))
            for stage in self.stages.names:
                opening.enter_context(self.spool.claim(stage))
            self._content = Content(config, self.spool, self.metrics, self._audit)
            if self.stages.spikes:
                self._content.begin()
            self._compose()
            self._serve_health(opening)
            self._warn_of_readers_without_a_sink()
            self._audit("start", {"version": __version__, "stages": self.stages.names})
            self._open = opening.pop_all()

    def run(self, stop: Event) -> None:
        """Go on until told to stop; then every stage finishes the batch in hand and commits."""
        self._start()
        stop.wait()

    def drain(self, stop: Event) -> None:
        """Go on until the logs are read to their end and every sink has what it wants, or until told to stop."""
        self._start()
        for workers in (self._readers, self._correlators):
            began_ns = time.monotonic_ns()
            while not stop.is_set() and not all(worker.idle_ns >= began_ns for worker in workers):
                stop.wait(WAIT_S)
            _end(workers)
        while not stop.is_set() and any(delivery.health().lag for delivery in self.deliveries):
            stop.wait(WAIT_S)

    def errors(self) -> list[StageStatus]:
        """Return every stage with what its last attempt failed with."""
        stages = [StageStatus(name=worker.name, error=worker.error) for worker in (*self._readers, *self._correlators)]
        return stages + [StageStatus(name=one.reader, error=one.health().error) for one in self.deliveries]

    def close(self) -> None:
        """Stop every stage, those that fill the alert log first, and let go of files and locks; twice does nothing."""
        if self._ending.is_set():
            return
        for workers in (self._readers, self._correlators):
            _end(workers)
        self._ending.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        try:
            self._say(running=False)
            self._audit("stop", {})
            _log.info("stopped: every stage has committed what it had in hand")
        finally:
            self._open.close()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _compose(self) -> None:
        """Make every stage of this process; nothing runs yet."""
        parts, config = self._parts, self.config
        around = Around(config.tenant, self.spool, self.store, self.metrics, parts.clock)
        self._live = LiveLog(around)
        self._readers = [Worker("spikes", self._live), Worker("recordings", Recordings(around))] if self.stages.spikes else []
        correlating = Correlating(lambda: IncidentStage(config.tenant, self.spool, self.spool, self.metrics, parts.clock))
        self._correlators = [Worker("incidents", correlating, CORRELATE_IDLE_S)] if self.stages.incidents else []
        letters = SinkLetters(self.store, parts.clock)
        surroundings = Surroundings(
            dead_letters=letters,
            metrics=self.metrics,
            clock=parts.clock,
            wait=self._ending.wait,
            random=parts.random,
        )
        self.deliveries = [self._deliver(name, surroundings) for name in self.stages.sinks]
        self._threads = [Thread(target=delivery.run, name=delivery.reader, daemon=True) for delivery in self.deliveries]
        self._threads.append(Thread(target=self._keep_house, name="housekeeping", daemon=True))
        if self.stages.spikes:
            self._threads.append(Thread(target=self._content.watch, args=(self._ending,), name="mappings", daemon=True))
        self.metrics.before_render(self._measure)

    def _deliver(self, name: str, surroundings: Surroundings) -> Delivery:
        sink = self.config.sinks[name]
        where = Filter(severity=sink.filter.severity or "Low", sites=tuple(sink.filter.site), kinds=tuple(sink.filter.kind))
        delivery = Delivery(name, self._parts.sink(sink, self.config), self.spool, surroundings, where)
        self.metrics.before_render(delivery.measure)
        return delivery

    def _warn_of_readers_without_a_sink(self) -> None:
        """Tell of cursors that a sink left behind which is no longer configured: retention waits for them."""
        for reader in self.spool.cursors():
            kind, _, name = reader.partition(":")
            if kind == "deliver" and name not in self.config.sinks:
                text = "%s has no sink in this configuration, and alerts are kept for it; give it up with `spikebridge forget %s`"
                _log.warning(text, reader, reader)

    def _serve_health(self, opening: ExitStack) -> None:
        """Serve metrics and health where they are configured."""
        self.health = HealthServer(self.config.metrics, self.metrics, self._troubles) if self.config.metrics else None
        if self.health:
            opening.callback(self.health.close)

    def _troubles(self) -> list[str]:
        return [f"{stage.name}: {stage.error}" for stage in self.errors() if stage.error]

    def _start(self) -> None:
        _log.info("running: %s", ", ".join(self.stages.names) or "no stage")
        for worker in (*self._readers, *self._correlators):
            worker.start()
        for thread in self._threads:
            thread.start()

    def _keep_house(self) -> None:
        """Say how things are, and let go of what is old."""
        trimmed_at = time.monotonic()
        while not self._ending.wait(STATUS_EVERY_S):
            try:
                self._say(running=True)
                if time.monotonic() - trimmed_at >= TRIM_EVERY_S:
                    trimmed_at = time.monotonic()
                    gone = self.spool.trim()
                    _log.debug("let go of %d records and %d entries of the alert log", *gone)
            except (SpikebridgeError, OSError) as error:
                _log.warning("housekeeping: %s", error)

    def _say(self, *, running: bool) -> None:
        stage = self._live.stage
        status = Status(
            pid=os.getpid(),
            started_ns=self._started_ns,
            running=running,
            version=__version__,
            stages=self.errors(),
            revision=stage.revision.number if stage else None,
            refused=[str(problem) for problem in self._content.refused],
        )
        write_status(self.config.data, status)

    def _measure(self) -> None:
        """Set the gauges that say how far behind the spikes stage is."""
        log, stage = self.spool.id, self._live.stage
        self.metrics.set(numbers.APPEND_AHEAD, self.spool.ahead_ns() / SECOND, log=log)
        if stage:
            self.metrics.set(numbers.LAG, stage.lag, log=log, partition=str(self.spool.partition))
            self.metrics.set(numbers.REVISION, stage.revision.number, log=log)

    def _audit(self, event: str, detail: dict[str, Any]) -> None:
        self.store.record(self._parts.clock(), f"run:{os.getpid()}", event, detail)


def _end(workers: list[Worker]) -> None:
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join()
