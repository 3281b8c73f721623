"""Revisions of which some never come into force here: they are passed over, as if they weren't there."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from spikebridge.mapping.rules import known_revision

if TYPE_CHECKING:
    from spikebridge.kafka.client import Partition
    from spikebridge.logs import Numbered

_log = logging.getLogger(__name__)


class ChosenRevisions(ABC):
    """Those that `refuses` doesn't name; each content is handed through, since one that is in force already must stay readable."""

    def __init__(self, revisions: Numbered) -> None:
        """Follow these."""
        self._revisions = revisions
        self._found: tuple[int | None, int | None] = (None, None)

    @abstractmethod
    def refuses(self, number: int) -> bool:
        """Say whether one is passed over, and tell why where somebody should know."""

    def publish(self, content: bytes) -> int:
        """Hand through."""
        return self._revisions.publish(content)

    def revision(self, number: int) -> bytes | None:
        """Hand through."""
        return self._revisions.revision(number)

    def newest(self) -> int | None:
        """Return the highest number that can come into force, None while there is none; looked for anew when one is published."""
        newest = self._revisions.newest()
        last, found = self._found
        if newest != last:
            found = self._from(newest)
            self._found = newest, found
        return found

    def before(self, number: int) -> int | None:
        """Return the highest such number below this one."""
        return self._from(self._revisions.before(number))

    def _from(self, number: int | None) -> int | None:
        while number is not None and self.refuses(number):
            number = self._revisions.before(number)
        return number


class RevisionsWithoutAbsence(ChosenRevisions):
    """The revisions that can be in force where silence isn't watched: one with an `absence` rule is passed over, and that is said once."""

    def __init__(self, revisions: Numbered, partition: Partition) -> None:
        """Follow these for a partition."""
        super().__init__(revisions)
        self._partition = partition
        self._told: set[int] = set()

    def refuses(self, number: int) -> bool:
        """Say whether one watches for silence."""
        revision = known_revision(number, self.revision(number))
        rules = revision.rule_set.rules if revision else []
        absences = [rule.info.id for rule in rules if rule.info.kind == "absence"]
        if absences and number not in self._told:
            text = "%s: revision %d watches for silence (%s), which this topic can't tell: it does not come into force here"
            _log.error(text, self._partition, number, ", ".join(absences[:5]))
            self._told.add(number)
        return bool(absences)
