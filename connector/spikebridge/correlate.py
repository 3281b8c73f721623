"""
The incident stage: the alert log in, incidents into the alert log.

The log is the state: to start, the stage rewinds by a day of alert-log append time, correlates in silence up to its cursor, and goes on.
What it appends and where it stands are one transaction. The newest revision's rules hold for all alerts; when there is a newer one
the day is correlated anew in silence, so that nothing of the past is raised again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from spikebridge import metrics as numbers
from spikebridge.alerts import Alert, AlertReaders, Cursor, incident_entry, read_finding
from spikebridge.incidents import DAY_NS, Correlator
from spikebridge.limits import MINUTE, SECOND
from spikebridge.mapping.rules import Revision, known_revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spikebridge.alerts import AlertEntry, Incident
    from spikebridge.logs import Revisions
    from spikebridge.mapping.rules import RuleSet
    from spikebridge.metrics import Metrics

READER = "incidents"
BATCH_ENTRIES = 2_000
COMMIT_EVERY_NS = SECOND
LOOK_EVERY_NS = SECOND // 5


def incidents_of(rule_set: RuleSet, alerts: Sequence[Alert]) -> list[Incident]:
    """Return the incidents of a few alerts, as if each reached the alert log at once: for tests of mappings."""
    correlator = Correlator("test", Revision(number=1, digest="", rule_set=rule_set))
    return correlator.feed((alert, alert.append_ns) for alert in alerts)


class IncidentStage:
    """Correlates one alert log. `clock` is the wall clock in ns: it decides when to look and commit, never what incidents exist."""

    def __init__(self, tenant: str, log: AlertReaders, revisions: Revisions, metrics: Metrics, clock: Callable[[], int]) -> None:
        """Nothing is read before `open`."""
        self.position = 0
        self._tenant = tenant
        self._log = log
        self._revisions = revisions
        self._metrics = metrics
        self._clock = clock
        self._correlator: Correlator | None = None
        self._grown: list[AlertEntry] = []
        self._waiting = 0
        self._committed = -1
        self._committed_at_ns = 0
        self._looked_at_ns = 0

    @property
    def lag(self) -> int:
        """Entries of the alert log that were not correlated yet."""
        return max(0, self._log.alert_bounds()[1] - self.position)

    def open(self) -> None:
        """Find the cursor; a new stage begins at the oldest entry that the log still holds."""
        cursor = self._log.cursor(READER)
        self.position = cursor.position if cursor else self._log.alert_bounds()[0]
        self._committed = self.position if cursor else -1
        self._follow_revisions()

    def step(self) -> int:
        """
        Correlate the next alerts and append the incidents that grew; return how many entries there were.

        With a backlog the evaluation waits until an eighth of what is held is new, so that its work stays in proportion.
        A stage whose step failed is done with: the one after it begins at the cursor, and finds what the log could not take again.
        """
        self._follow_revisions()
        correlator = self._correlator
        if correlator is None:
            return 0
        entries = self._log.poll_alerts(self.position, BATCH_ENTRIES)
        if entries:
            correlator.take(_alerts(entries))
            self.position = entries[-1].offset + 1
            self._waiting += len(entries)
        if len(entries) < BATCH_ENTRIES or self._waiting >= correlator.held // 8:
            self._settle(correlator)
        return len(entries)

    def drain(self) -> None:
        """Correlate to the end of the log."""
        while self.step():
            pass

    def close(self) -> None:
        """Commit the position."""
        if self._correlator:
            self._settle(self._correlator)
        if self.position != self._committed:
            self._commit()

    def _settle(self, correlator: Correlator) -> None:
        """Evaluate what was taken; commit incidents at once, the position alone at most once a second."""
        if self._waiting:
            self._grown += map(incident_entry, correlator.grown())
            self._waiting = 0
            self._metrics.set(numbers.INCIDENT_ALERTS, correlator.held)
            self._metrics.set(numbers.INCIDENTS_LEFT_OUT, correlator.left_out)
        due = self.position != self._committed and _due(self._clock(), self._committed_at_ns, COMMIT_EVERY_NS)
        if self._grown or due:
            self._commit()

    def _commit(self) -> None:
        self._log.advance(READER, Cursor(self.position), self._grown)
        self._metrics.inc(numbers.INCIDENTS, len(self._grown))
        self._grown = []
        self._committed, self._committed_at_ns = self.position, self._clock()

    def _follow_revisions(self) -> None:
        """Correlate the last day anew, in silence, when there is a newer revision than the one in force."""
        now_ns = self._clock()
        if self._correlator and not _due(now_ns, self._looked_at_ns, LOOK_EVERY_NS):
            return
        self._looked_at_ns = now_ns
        number = self._revisions.newest()
        if number is None or (self._correlator and self._correlator.revision.number >= number):
            return
        revision = known_revision(number, self._revisions.revision(number))
        if revision is not None:
            if self._correlator:
                self._settle(self._correlator)
            correlator = Correlator(self._tenant, revision)
            for entries in self._day():
                correlator.take(_alerts(entries))
            correlator.grown()
            self._correlator = correlator

    def _day(self) -> Iterator[Sequence[AlertEntry]]:
        """Walk over the entries before the position that a correlation may still hold."""
        last = self._log.poll_alerts(self.position - 1, 1) if self.position else []
        position = self._log.alert_offset_at(last[0].append_ns // MINUTE * MINUTE - DAY_NS) if last else self.position
        while position < self.position:
            entries = [entry for entry in self._log.poll_alerts(position, BATCH_ENTRIES) if entry.offset < self.position]
            if not entries:
                return
            yield entries
            position = entries[-1].offset + 1


def _due(now_ns: int, last_ns: int, every_ns: int) -> bool:
    """Say whether it is time again; also after the clock was set back."""
    return not 0 <= now_ns - last_ns < every_ns


def _alerts(entries: Sequence[AlertEntry]) -> Iterator[tuple[Alert, int]]:
    for entry in entries:
        if entry.kind == "alert":
            try:
                finding = read_finding(entry.body)
            except msgspec.MsgspecError:
                continue  # somebody else's: every sink puts it aside as a dead letter, and says so
            if isinstance(finding, Alert):
                yield finding, entry.append_ns
