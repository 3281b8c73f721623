"""A group member with the positions that it is to commit: one request in flight, the newest position of each partition wins."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.errors import LogError, LogUnavailable
from spikebridge.kafka.client import Changes, Partition, Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikebridge.kafka.client import Group

SETTLE_S = 5.0
RETRY_S = 0.2
SLICE_S = 0.001

_log = logging.getLogger(__name__)


class _Failure(NamedTuple):
    """What the last commit of a partition failed with, and when it is tried again."""

    error: str
    not_before: float


class Member:
    """
    Belongs to one thread.

    A commit that fails is made again later, with the positions of then: whoever takes over before that only repeats. Partitions whose
    commit failed are tried one by one, so that one that can't be committed at all keeps no other from it.
    """

    def __init__(
        self,
        group: Group,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take over a membership; whatever waits for it goes by this clock and this sleep."""
        self._group = group
        self.monotonic = monotonic
        self.sleep = sleep
        self._changes = Changes()
        self._wanted: dict[Partition, Place] = {}
        self._flying: dict[Partition, Place] = {}
        self._answers: list[str] = []
        self._failed: dict[Partition, _Failure] = {}
        self._released: set[Partition] = set()
        self._told = ""

    def hear(self) -> None:
        """Keep the membership alive, take in what changed, commit what is due."""
        self._changes = _merged(self._changes, self._group.poll())
        self._commit()

    def changes(self) -> Changes:
        """Return what changed since this was last asked."""
        changes, self._changes = self._changes, Changes()
        return changes

    def leaving(self, partition: Partition) -> bool:
        """Say whether a partition is no longer ours, though nobody has asked for the changes yet."""
        return partition in self._changes.taken or partition in self._changes.lost

    def may_finish(self, partition: Partition) -> bool:
        """Say whether a partition that was taken is held back from everybody else until the group is heard again."""
        return self._group.holds_taken and partition in self._changes.taken

    def committed(self, partition: Partition) -> Place | None:
        """Return where the group stands, what we have not committed yet included."""
        return self._wanted.get(partition) or self._group.committed(partition)

    def keep(self, partition: Partition, place: Place) -> None:
        """Commit this position with the next request."""
        self._wanted[partition] = place
        self._commit()

    def settle(self, partition: Partition) -> None:
        """Wait until the partition's position is committed."""
        until = self.monotonic() + SETTLE_S
        while partition in self._wanted:
            self.hear()
            if partition in self._changes.lost:
                raise LogUnavailable(f"{partition}: the position was not committed: it is another's now")
            if self.monotonic() > until:
                failure = self._failed.get(partition)
                error = failure.error if failure else "no answer came"
                raise LogUnavailable(f"{partition}: the position could not be committed within {SETTLE_S:.0f} s: {error}")
            self.sleep(SLICE_S)

    def release(self, partition: Partition) -> None:
        """Commit what is left for a partition that is being handed over, once: a later try would only set its new owner back."""
        if partition in self._wanted:
            self._released.add(partition)

    def forget(self, partition: Partition) -> None:
        """Commit no more for a partition that is another's now."""
        self._wanted.pop(partition, None)
        self._failed.pop(partition, None)
        self._released.discard(partition)

    def close(self) -> None:
        """Commit what is left, as far as that works, and leave."""
        try:
            for partition in sorted(self._wanted, key=self._failed.__contains__):
                self.settle(partition)
        except LogError as error:
            _log.warning("positions of the end were not committed, so whoever goes on repeats a little: %s", error)
        self._group.close()

    def _commit(self) -> None:
        if self._flying and self._answers:
            self._note(self._answers.pop())
        due = {} if self._flying else self._due()
        if due:
            self._flying, self._answers = due, []
            try:
                self._group.commit(due, self._answers.append)
            except LogUnavailable as error:
                self._note(str(error))
            except LogError:
                self._flying = {}
                raise

    def _due(self) -> dict[Partition, Place]:
        """Return what may be committed in one request: what has not failed together, what has failed alone, and nothing that is lost."""
        ours = {partition: place for partition, place in self._wanted.items() if partition not in self._changes.lost}
        due = {partition: place for partition, place in ours.items() if partition not in self._failed}
        if due or not ours:
            return due
        partition = min(ours, key=lambda one: self._failed[one].not_before)
        return {partition: ours[partition]} if self._failed[partition].not_before <= self.monotonic() else {}

    def _note(self, error: str) -> None:
        if error and error != self._told:
            _log.info("positions are not committed yet: %s; trying again", error)
        self._told = error
        flying, self._flying = self._flying, {}
        again = self.monotonic() + (RETRY_S if len(flying) == 1 else 0)
        for partition, place in flying.items():
            if self._wanted.get(partition) == place and (not error or (partition in self._released and len(flying) == 1)):
                self.forget(partition)
            elif error and partition in self._wanted:
                self._failed[partition] = _Failure(error, again)
            else:
                self._failed.pop(partition, None)


def _merged(before: Changes, after: Changes) -> Changes:
    """Tell two changes as one: what was given and taken again is taken, what was taken and given again is given anew."""
    gone = after.taken | after.lost
    lost = before.lost | after.lost
    return Changes(given=(before.given - gone) | after.given, taken=(before.taken | after.taken) - lost, lost=lost)
