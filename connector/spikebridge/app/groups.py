"""Stages that live in consumer groups: joined when they first step, left at the end."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from spikebridge.app.worker import Worker
from spikebridge.delivery import Delivery, Health, Surroundings
from spikebridge.errors import LogBusy, LogError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from spikebridge.app.crew import Crew
    from spikebridge.app.logs import Route, Runtime
    from spikebridge.kafka.client import Partition
    from spikebridge.logs.kafka.alerts import AlertPartition

JOIN_S = 15.0
"""A group that gave us nothing for so long has nothing for us now."""

SLICE_S = 0.2
LOOK_EVERY_S = 2.0
SETTLED_S = 2.0
"""Who found nothing for so long is given no partition any more by those who left just now."""


class Grouped:
    """
    A crew with its life.

    One whose name another instance has taken stays out, and goes on saying so.
    """

    def __init__(self, name: str, join: Callable[[], Crew]) -> None:
        """Nothing is asked before the first step."""
        self.name = name
        self.crew: Crew | None = None
        self._join = join
        self._displaced: LogBusy | None = None
        self._joined_at = 0.0

    def step(self) -> int:
        """Join if that is due, else step through the partitions; return how much that was."""
        if self._displaced:
            raise self._displaced
        if self.crew is None:
            self.crew = self._join()
            self._joined_at = time.monotonic()
            return 1
        try:
            work = self.crew.step()
        except LogBusy as error:
            self._displaced = error
            self.close()
            raise
        return work or not self.settled()

    def settled(self) -> bool:
        """Say whether the group has had the time to give us what is ours."""
        crew = self.crew
        return crew is not None and (bool(crew.partitions) or time.monotonic() - self._joined_at >= JOIN_S)

    def trouble(self) -> str:
        """Return what partitions failed with at their last try."""
        crew = self.crew
        return crew.error if crew else ""

    def close(self) -> None:
        """Commit and leave."""
        crew, self.crew = self.crew, None
        if crew is not None:
            crew.close()


class GroupCourier:
    """
    One sink's deliveries from the partitions that its group gives to this instance, one after the other in one thread.

    A sink that is away is tried again without end; meanwhile its thread keeps the membership, so that no other instance takes over what
    it could not deliver either.
    """

    def __init__(self, route: Route, runtime: Runtime, join: Callable[[GroupCourier], Crew]) -> None:
        """Nothing is asked before `run`."""
        self.reader = f"deliver:{route.name}"
        self._route = route
        self._runtime = runtime
        self._grouped = Grouped(self.reader, lambda: join(self))
        self._worker = Worker(self.reader, self._grouped)
        # Those at work alone: what came of a partition before it was another's says nothing of now.
        self._steps: WeakValueDictionary[Partition, Delivering] = WeakValueDictionary()
        self._last_work = self._looked_at = time.monotonic()
        self._drain_at: float | None = None
        self._around = Surroundings(
            dead_letters=runtime.letters,
            metrics=runtime.metrics,
            clock=runtime.clock,
            wait=self._wait,
            random=runtime.random,
            linger=self._linger,
        )

    def deliver(self, partition: Partition, log: AlertPartition) -> Delivering:
        """Make the steps of a partition."""
        delivery = Delivery(self._route.name, self._route.sink, log, self._around, self._route.where, shared=True)
        self._steps[partition] = steps = Delivering(delivery, log, self._worked, self._runtime.ending)
        return steps

    def run(self) -> None:
        """Deliver until the service ends."""
        self._worker.start()
        self._runtime.ending.wait()
        self._worker.stop()
        self._worker.join()
        self._route.sink.close()

    def health(self) -> Health:
        """Say how the sink is, over all our partitions."""
        steps = self._ours()
        ours = [one.delivery.health() for one in steps]
        errors = [self._worker.error, *(one.error for one in ours), self._grouped.trouble()]
        waiting = [one.oldest_ns for one in ours if one.oldest_ns is not None]
        error = next((error for error in errors if error), "")
        return Health(
            self._route.name,
            not error,
            sum(one.position for one in ours),
            sum(one.left() for one in steps),
            min(waiting, default=None),
            error,
        )

    def drained(self) -> bool:
        """
        Say whether nothing came for a while and nothing waits, in every partition of ours as it was after this was first asked.

        Letters that were asked for go out beside a partition: who has none can't deliver them, and doesn't wait for them.
        """
        crew, ours = self._grouped.crew, self._ours()
        drain_at = self._drain_at = self._drain_at or time.monotonic()
        every = crew is not None and len(ours) == len(crew.partitions)
        done = all(one.log.asked_at() >= drain_at and not one.left() for one in ours)
        quiet = time.monotonic() - self._last_work >= SETTLED_S
        if not (self._grouped.settled() and every and done and quiet) or self.health().error:
            return False
        return not (ours and self._runtime.letters.wanted(self._route.name, 1))

    def _ours(self) -> list[Delivering]:
        crew = self._grouped.crew
        steps = (self._steps.get(partition) for partition in (crew.partitions if crew else ()))
        return [one for one in steps if one is not None]

    def _worked(self) -> None:
        self._last_work = time.monotonic()

    def _wait(self, seconds: float) -> bool:
        """Let time pass for a delivery, without losing its partition; True when it is to give up: the service ends, or the partition went."""
        crew = self._grouped.crew
        until = time.monotonic() + seconds
        while not self._runtime.ending.is_set():
            self._look()
            left = until - time.monotonic()
            if crew is not None and crew.wait(max(0.0, min(left, SLICE_S))):
                return True
            if left <= 0:
                return False
        return True

    def _linger(self, seconds: float) -> bool:
        crew = self._grouped.crew
        return crew is None or crew.linger(seconds)

    def _look(self) -> None:
        """See now and then how much more waits: nothing is polled while the sink is away, and its lag grows all the same."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        with suppress(LogError):  # whoever polls next says so
            for one in self._ours():
                one.log.look()


class Delivering:
    """A delivery as steps: the sink is opened with the first, and none begins once the service ends."""

    def __init__(self, delivery: Delivery, log: AlertPartition, worked: Callable[[], None], ending: Event) -> None:
        """Nothing is read before the first step; `worked` is called after one that found something."""
        self.delivery = delivery
        self.log = log
        self._ending = ending
        self._worked = worked
        self._open = False

    def step(self) -> int:
        """Deliver one batch."""
        if self._ending.is_set():
            return 0
        if not self._open:
            self._worked()
            self._open = self.delivery.open()
            return int(self._open)
        work = self.delivery.step()
        if work:
            self._worked()
        return work

    def left(self) -> int:
        """Return how many offsets wait, from any thread."""
        return self.log.left(self.delivery.cursor.position)

    def close(self) -> None:
        """Do nothing: the cursor is kept with each step, and the sink is the courier's."""
