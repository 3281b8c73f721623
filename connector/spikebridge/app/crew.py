"""The partitions that a consumer group gives to this process, each under steps of its own."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

from spikebridge.app.worker import FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S
from spikebridge.errors import LogBusy, LogReplaced, LogUnavailable, SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikebridge.app.worker import Steps
    from spikebridge.kafka.client import Partition
    from spikebridge.logs.kafka.intake import Intake
    from spikebridge.logs.kafka.member import Member

FETCH_S = 0.05
"""How long an idle round waits for records: they end the wait."""

STARVED_S = 0.005
"""How long a round waits when the one before fetched nothing though there is work: one that only looks again keeps the client from its own."""

SLICE_S = 0.1
REST_S = 0.005

_log = logging.getLogger(__name__)


class _Lane:
    """One partition: its steps, none before the first, what it failed with, and when it is tried again."""

    def __init__(self) -> None:
        self.steps: Steps | None = None
        self.error = ""
        self.not_before = 0.0
        self.back_off_s = FIRST_BACK_OFF_S


class Crew:
    """
    Steps through the partitions of a member, one after the other; what one suffers delays no other.

    `build` makes the steps of a partition that was given, when they are first due, and again after the log was replaced. A partition that
    was taken is closed, one that was lost is dropped. While the group can't be reached, what is ours goes on.
    """

    def __init__(
        self, name: str, member: Member, intake: Intake, build: Callable[[Partition], Steps], opened: ExitStack | None = None
    ) -> None:
        """Nothing is asked before the first step; `opened` is closed at the end, after the group was left."""
        self.name = name
        self.member = member
        self._intake = intake
        self._build = build
        self._opened = opened or ExitStack()
        self._lanes: dict[Partition, _Lane] = {}
        self._current: Partition | None = None
        self._idle = self._starved = False
        self._unheard = ""

    @property
    def partitions(self) -> list[Partition]:
        """Return what is ours now."""
        return sorted(self._lanes)

    @property
    def error(self) -> str:
        """Return what partitions failed with at their last try, and the group, "" if none did."""
        failed = (f"{partition}: {lane.error}" for partition, lane in sorted(self._lanes.items()) if lane.error)
        return "; ".join(filter(None, [self._unheard, *failed]))

    def step(self) -> int:
        """Follow the group, fetch, and step through every partition once; return how much that was, or waits."""
        self._hear()
        self._follow()
        fetched = self._intake.fill(FETCH_S if self._idle else STARVED_S if self._starved else 0.0)
        self._starved = not fetched
        work = 0
        for partition, lane in list(self._lanes.items()):
            if not self.member.leaving(partition):
                work += self._step(partition, lane)
                self._hear()
        self._idle = not work
        troubled = bool(self.error)
        if not work and (troubled or not self._lanes):
            self.member.sleep(REST_S)
        return work or troubled

    def wait(self, seconds: float) -> bool:
        """Let time pass in the middle of a step, and keep the membership meanwhile; True once the step's partition is another's."""
        until = self.member.monotonic() + seconds
        while not self._leaving():
            try:
                self._hear()
            except LogBusy:
                return True
            left = until - self.member.monotonic()
            if self._leaving() or left <= 0:
                break
            self.member.sleep(min(SLICE_S, left))
        return self._leaving()

    def linger(self, seconds: float) -> bool:
        """Let time pass to finish what the step has begun; True once its position could not be committed. A hand-over waits for that."""
        until = self.member.monotonic() + seconds
        if not self._leaving() and not self.wait(seconds):
            return False
        if self._current is None or not self.member.may_finish(self._current):
            return True
        self.member.sleep(max(0.0, until - self.member.monotonic()))
        return False

    def close(self) -> None:
        """Close every partition's steps, commit, and leave."""
        for partition in self.partitions:
            self._drop(partition, orderly=True)
        self.member.close()
        self._intake.reader.close()
        self._opened.close()

    def _leaving(self) -> bool:
        return self._current is not None and self.member.leaving(self._current)

    def _hear(self) -> None:
        """Follow the group; one that is out of reach for now is waited for without standing still: nobody has to be fenced."""
        try:
            self.member.hear()
        except LogUnavailable as error:
            if not self._unheard:
                _log.warning("%s: the group is out of reach, what is ours goes on: %s", self.name, error)
            self._unheard = str(error)
        else:
            self._unheard = ""

    def _follow(self) -> None:
        changes = self.member.changes()
        for partition in changes.taken | changes.lost | (changes.given & self._lanes.keys()):
            if partition in self._lanes:
                _log.info("%s: %s is another's now", self.name, partition)
                self._drop(partition, orderly=partition in changes.taken)
                self.member.release(partition)
        for partition in sorted(changes.given):
            self.member.forget(partition)
            self._lanes[partition] = _Lane()
            _log.info("%s: %s is ours now", self.name, partition)

    def _step(self, partition: Partition, lane: _Lane) -> int:
        if self.member.monotonic() < lane.not_before:
            return 0
        self._current = partition
        try:
            lane.steps = lane.steps or self._build(partition)
            work = lane.steps.step()
        except LogReplaced as error:
            self._failed(partition, lane, str(error))
            self._intake.leave(partition)
            lane.steps = None
        except LogBusy:
            raise
        except SpikebridgeError as error:
            self._failed(partition, lane, str(error))
        except Exception as error:  # noqa: BLE001 -- a mistake of ours must not end the other partitions in silence
            self._failed(partition, lane, f"unexpected {type(error).__name__}: {error}", error)
        else:
            if lane.error:
                _log.info("%s: %s works again", self.name, partition)
            lane.error, lane.back_off_s = "", FIRST_BACK_OFF_S
            return work
        finally:
            self._current = None
        return 0

    def _failed(self, partition: Partition, lane: _Lane, error: str, cause: Exception | None = None) -> None:
        if error != lane.error:
            _log.error("%s: %s: %s; trying again", self.name, partition, error, exc_info=cause)
        lane.error = error
        lane.not_before = self.member.monotonic() + lane.back_off_s
        lane.back_off_s = min(2 * lane.back_off_s, LONGEST_BACK_OFF_S)

    def _drop(self, partition: Partition, *, orderly: bool) -> None:
        lane = self._lanes.pop(partition)
        try:
            if orderly and lane.steps is not None:
                lane.steps.close()
        except SpikebridgeError as error:
            _log.info("%s: %s was not committed at the end, whoever goes on repeats a little: %s", self.name, partition, error)
        except Exception:  # noqa: BLE001 -- a mistake of ours must not keep the others from being closed
            _log.exception("%s: %s was not closed, whoever goes on repeats a little", self.name, partition)
        self._intake.leave(partition)
        if not orderly:
            self.member.forget(partition)
