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
from spikebridge.app.clustered import Clustered
from spikebridge.app.embedded import Embedded
from spikebridge.app.logs import Route, Runtime
from spikebridge.app.parts import Parts, Stages
from spikebridge.app.status import StageStatus, Status, write_status
from spikebridge.errors import SpikebridgeError
from spikebridge.filter import Filter
from spikebridge.health import HealthServer
from spikebridge.limits import SECOND
from spikebridge.metrics import Metrics
from spikebridge.store import SinkLetters, Store
from spikebridge.units import counted

if TYPE_CHECKING:
    from types import TracebackType

    from spikebridge.app.logs import Courier, Logs
    from spikebridge.app.worker import Worker
    from spikebridge.config import Config
    from spikebridge.logs.spool import Spool

WAIT_S = 0.005
STATUS_EVERY_S = 1.0
TRIM_EVERY_S = 60.0

_log = logging.getLogger(__name__)


class Service:
    """
    A configuration, running, for a `with` block.

    `run` goes on until told to stop; `drain` reads the logs to their end, waits for every sink and returns.
    What one stage suffers never touches another: each catches its own errors, says them once and tries again.
    """

    def __init__(self, config: Config, stages: Stages | None = None, parts: Parts | None = None) -> None:
        """Open logs and store, take the stages' locks, publish mappings and inventory where that is this process's work."""
        self.config = config
        self.stages = stages or Stages.parse("", config.sinks)
        self.metrics = Metrics()
        self._parts = parts or Parts()
        self._started_ns = self._parts.clock()
        self._ending = Event()
        with ExitStack() as opening:
            self.store = opening.enter_context(Store(config.data))
            self._told = self._given_up()
            self.logs = self._open_logs()
            opening.callback(self.logs.close)
            self._compose()
            self._serve_health(opening)
            self._audit("start", {"version": __version__, "stages": self.stages.names})
            self._open = opening.pop_all()

    @property
    def spool(self) -> Spool:
        """The spool that the service lives on, where it does."""
        if not isinstance(self.logs, Embedded):
            raise SpikebridgeError("this configuration has a log of its own in place of the spool")
        return self.logs.spool

    def run(self, stop: Event) -> None:
        """Go on until told to stop; then every stage finishes the batch in hand and commits."""
        self._start()
        stop.wait()

    def drain(self, stop: Event) -> None:
        """Go on until the logs are read to their end and every sink has what it wants, or until told to stop."""
        self.logs.check()
        self._start()
        for workers in (self._readers, self._correlators):
            began_ns = time.monotonic_ns()
            while not stop.is_set() and not all(worker.idle_ns >= began_ns for worker in workers):
                stop.wait(WAIT_S)
            _end(workers)
        while not stop.is_set() and not all([courier.drained() for courier in self.couriers]):  # noqa: C419 -- each begins to look when asked
            stop.wait(WAIT_S)

    def errors(self) -> list[StageStatus]:
        """Return every stage with what its last attempt failed with."""
        return self._failures() + [StageStatus(name=one.reader, error=one.health().error) for one in self.couriers]

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

    def _open_logs(self) -> Logs:
        runtime = Runtime(
            config=self.config,
            store=self.store,
            metrics=self.metrics,
            letters=SinkLetters(self.store, self._parts.clock),
            clock=self._parts.clock,
            random=self._parts.random,
            ending=self._ending,
        )
        if self.config.source is None:
            return Embedded(runtime, self.stages, self._parts.spool(self.config), self._audit)
        return Clustered(runtime, self.config.source, self._parts.client)

    def _compose(self) -> None:
        """Make every stage of this process; nothing runs yet."""
        self._readers = self.logs.readers() if self.stages.spikes else []
        self._correlators = self.logs.correlators() if self.stages.incidents else []
        self.couriers = [self._courier(name) for name in self.stages.sinks]
        self._threads = [Thread(target=courier.run, name=courier.reader, daemon=True) for courier in self.couriers]
        self._threads.append(Thread(target=self._keep_house, name="housekeeping", daemon=True))
        self._threads.append(Thread(target=self.logs.watch, args=(self._ending,), name="mappings", daemon=True))
        self.metrics.before_render(self._measure)

    def _courier(self, name: str) -> Courier:
        sink = self.config.sinks[name]
        where = Filter(severity=sink.filter.severity or "Low", sites=tuple(sink.filter.site), kinds=tuple(sink.filter.kind))
        return self.logs.courier(Route(name, self._parts.sink(sink, self.config), where))

    def _serve_health(self, opening: ExitStack) -> None:
        """Serve metrics and health where they are configured."""
        self.health = HealthServer(self.config.metrics, self.metrics, self._troubles) if self.config.metrics else None
        if self.health:
            opening.callback(self.health.close)

    def _failures(self) -> list[StageStatus]:
        """Return every stage but the sinks with what its last attempt failed with."""
        stages = [StageStatus(name=worker.name, error=worker.error) for worker in (*self._readers, *self._correlators)]
        return stages + self.logs.troubles()

    def _troubles(self) -> list[str]:
        """Say what keeps us from being ready: a stage that fails at once, a sink once that lasts."""
        now_ns = self._parts.clock()
        sinks = [StageStatus(name=one.reader, error=one.health().trouble(now_ns)) for one in self.couriers]
        return [f"{stage.name}: {stage.error}" for stage in self._failures() + sinks if stage.error]

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
                    self.logs.keep_house()
                    self._tell_what_was_given_up()
            except (SpikebridgeError, OSError) as error:
                _log.warning("housekeeping: %s", error)

    def _given_up(self) -> dict[str, int]:
        """Return what the store gave up for newer ones since it was made."""
        return {"finding": self.store.findings_lost(), "record": self.store.letters_lost()}

    def _tell_what_was_given_up(self) -> None:
        """Say what the store gave up since this was last said."""
        before, self._told = self._told, self._given_up()
        for what, number in self._told.items():
            if number > before[what]:
                _log.warning("the store gave up %s that came first, for newer ones", counted(number - before[what], what))

    def _say(self, *, running: bool) -> None:
        status = Status(
            pid=os.getpid(),
            started_ns=self._started_ns,
            running=running,
            version=__version__,
            stages=self.errors(),
            revision=self.logs.revision(),
            refused=self.logs.refused(),
        )
        write_status(self.config.data, self.stages.names, status)

    def _measure(self) -> None:
        """Set what is not counted as it happens: how far behind the stages are, and what the store gave up."""
        self.logs.measure()
        for what, number in self._given_up().items():
            self.metrics.set(numbers.GIVEN_UP, number, what=what)
        failing = {stage.name for stage in self.errors() if stage.error}
        for name in {stage.name for stage in self.errors()}:
            self.metrics.set(numbers.STAGE_UP, int(name not in failing), stage=name)
        for courier in self.couriers:
            health = courier.health()
            age_ns = 0 if health.oldest_ns is None else max(0, self._parts.clock() - health.oldest_ns)
            self.metrics.set(numbers.SINK_LAG, health.lag, sink=health.name)
            self.metrics.set(numbers.SINK_OLDEST, age_ns / SECOND, sink=health.name)

    def _audit(self, event: str, detail: dict[str, Any]) -> None:
        self.store.record(self._parts.clock(), f"run:{os.getpid()}", event, detail)


def _end(workers: list[Worker]) -> None:
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join()
