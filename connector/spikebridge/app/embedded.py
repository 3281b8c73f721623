"""A service on its own spool: one machine, nothing to install."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from spikebridge import metrics as numbers
from spikebridge.app.content import Content
from spikebridge.app.incidents import Correlating
from spikebridge.app.readable import ReadableRevisions, Refusals
from spikebridge.app.reading import LiveLog, Recordings
from spikebridge.app.worker import Worker
from spikebridge.correlate import IncidentStage
from spikebridge.delivery import Delivery, Surroundings
from spikebridge.limits import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from spikebridge.app.logs import Route, Runtime
    from spikebridge.app.parts import Stages
    from spikebridge.app.status import StageStatus
    from spikebridge.delivery import Health
    from spikebridge.logs.spool import Spool

CORRELATE_IDLE_S = 0.02

_log = logging.getLogger(__name__)


class SpoolCourier:
    """One sink's delivery from the spool."""

    def __init__(self, delivery: Delivery) -> None:
        """Nothing is read before `run`."""
        self.reader = delivery.reader
        self._delivery = delivery

    def run(self) -> None:
        """Deliver until the service ends."""
        self._delivery.run()

    def health(self) -> Health:
        """Say how the sink is."""
        return self._delivery.health()

    def drained(self) -> bool:
        """Say whether the cursor is at the end of the alert log, and no letter waits that was asked for."""
        delivery = self._delivery
        return not delivery.health().lag and not delivery.around.dead_letters.wanted(delivery.name, 1)


class Embedded:
    """Both logs in the spool of the data directory; mappings and inventory are watched and published by the spikes stage."""

    def __init__(self, runtime: Runtime, stages: Stages, spool: Spool, audit: Callable[[str, dict[str, Any]], None]) -> None:
        """Take the stages' locks; publish mappings and inventory if this process reads spikes."""
        self.spool = spool
        self._runtime = runtime
        self._revisions = ReadableRevisions(spool, Refusals(runtime.metrics))
        self._live: LiveLog | None = None
        self._content: Content | None = None
        with ExitStack() as opening:
            opening.callback(spool.close)
            for stage in stages.names:
                opening.enter_context(spool.claim(stage))
            if stages.spikes:
                self._content = Content(runtime.config, self._revisions, runtime.metrics, audit)
                self._content.begin()
            self._warn_of_readers_without_a_sink()
            self._open = opening.pop_all()

    def check(self) -> None:
        """Do nothing: a spool that could be opened is there."""

    def readers(self) -> list[Worker]:
        """Read the live log, and beside it each recording."""
        self._live = LiveLog(self._runtime, self.spool, self._revisions)
        recordings = Recordings(self._runtime, self.spool, self._revisions)
        return [Worker("spikes", self._live), Worker("recordings", recordings)]

    def correlators(self) -> list[Worker]:
        """Correlate the one alert log."""
        runtime, spool, known = self._runtime, self.spool, self._revisions
        correlating = Correlating(lambda: IncidentStage(runtime.config.tenant, spool, known, runtime.metrics, runtime.clock))
        return [Worker("incidents", correlating, CORRELATE_IDLE_S)]

    def courier(self, route: Route) -> SpoolCourier:
        """Deliver the one alert log."""
        runtime = self._runtime
        surroundings = Surroundings(
            dead_letters=runtime.letters,
            metrics=runtime.metrics,
            clock=runtime.clock,
            wait=runtime.ending.wait,
            random=runtime.random,
        )
        return SpoolCourier(Delivery(route.name, route.sink, self.spool, surroundings, route.where))

    def troubles(self) -> list[StageStatus]:
        """Return nothing: there is one partition, and its worker says what it fails with."""
        return []

    def watch(self, stop: Event) -> None:
        """Publish every good edit, if this process reads spikes."""
        if self._content:
            self._content.watch(stop)

    def revision(self) -> int | None:
        """Return the number of the revision in force in the live log."""
        stage = self._live.stage if self._live else None
        return stage.revision.number if stage and not stage.replaying else None

    def refused(self) -> list[str]:
        """Return the problems of the newest edit."""
        return [str(problem) for problem in self._content.refused] if self._content else []

    def keep_house(self) -> None:
        """Trim the spool."""
        gone = self.spool.trim()
        _log.debug("let go of %d records and %d entries of the alert log", *gone)

    def measure(self) -> None:
        """Set the gauges of the live log."""
        log, metrics, stage = self.spool.id, self._runtime.metrics, self._live.stage if self._live else None
        metrics.set(numbers.APPEND_AHEAD, self.spool.ahead_ns() / SECOND, log=log)
        if stage and not stage.replaying:
            metrics.set(numbers.LAG, stage.lag, log=log, partition=str(self.spool.partition))
            metrics.set(numbers.REVISION, stage.revision.number, log=log)

    def close(self) -> None:
        """Let go of the locks and the file."""
        self._open.close()

    def _warn_of_readers_without_a_sink(self) -> None:
        """Tell of cursors that a sink left behind which is no longer configured: retention waits for them."""
        for reader in self.spool.cursors():
            kind, _, name = reader.partition(":")
            if kind == "deliver" and name not in self._runtime.config.sinks:
                text = "%s has no sink in this configuration, and alerts are kept for it; give it up with `spikebridge forget %s`"
                _log.warning(text, reader, reader)
