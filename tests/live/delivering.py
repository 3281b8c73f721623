"""A delivery whose host is a test: what it waits for is told, and the first wait mends what was broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spikebridge.alerts import Alert, AlertEntry, DeviceInfo, Incident, RuleInfo, alert_entry, incident_entry
from spikebridge.delivery import Delivery, Surroundings
from spikebridge.logs import Commit
from spikebridge.metrics import Metrics
from spikebridge.testing import FakeClock, MemoryLetters, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.delivery import Sink

MOST_WAITS = 2_000
NOON_NS = 1_795_262_400_000_000_000
"""2026-11-21 12:00 UTC."""

TODAY = "2026.11.21"


def an_alert(number: int, tenant: str, *, device: str = "cam", tags: Sequence[str] = (), explanation: str = "") -> AlertEntry:
    """Make the entry of an alert of noon."""
    alert = Alert(
        id=f"{tenant}-{number:06}",
        tenant=tenant,
        log="spool",
        partition=0,
        offset=number,
        ordinal=0,
        revision=1,
        revision_digest="d",
        rule=RuleInfo(id="burst", kind="event_count", threat="Burst", severity="High", digest="r", tags=list(tags)),
        device=DeviceInfo(id=device),
        group=[device],
        time_ns=NOON_NS,
        time_source="device",
        append_ns=NOON_NS,
        interval_start_ns=NOON_NS,
        interval_ns=60_000_000_000,
        first_ns=NOON_NS,
        last_ns=NOON_NS,
        count=1,
        explanation=explanation,
    )
    return alert_entry(alert, ())


def an_incident(version: int, tenant: str) -> AlertEntry:
    """Make the entry of one version of the tenant's one incident."""
    incident = Incident(
        id=f"{tenant}-incident",
        version=version,
        tenant=tenant,
        revision=1,
        revision_digest="d",
        rule=RuleInfo(id="wave", kind="value_count", threat="Wave", severity="High", digest="r"),
        site="hall",
        group=["hall"],
        time_ns=NOON_NS,
        append_ns=NOON_NS,
        first_ns=NOON_NS,
        last_ns=NOON_NS,
        interval_start_ns=NOON_NS,
        interval_ns=60_000_000_000,
    )
    return incident_entry(incident)


@dataclass(slots=True)
class Host:
    """
    What a delivery was seen to do.

    `mend` is called at the first wait; `errors` and `waits` are what was wrong before each wait, and how long it was.
    `pass_time` lets a wait take real time, for a server that comes back by itself.
    """

    mend: Callable[[], None] = lambda: None
    pass_time: Callable[[float], None] = lambda _: None
    letters: MemoryLetters = field(default_factory=MemoryLetters)
    metrics: Metrics = field(default_factory=Metrics)
    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def deliver(self, sink: Sink, entries: Sequence[AlertEntry]) -> None:
        """Deliver all of it, and close the sink."""
        clock = FakeClock()
        log = MemoryLog(clock)
        log.commit(entries, Commit(len(entries), 0, ((0, 1),)))
        around = Surroundings(dead_letters=self.letters, metrics=self.metrics, clock=clock, wait=self._wait, random=lambda: 0.0)
        delivery = Delivery("siem", sink, log, around)
        self._error = lambda: delivery.health().error
        try:
            assert delivery.open()
            assert delivery.drain()
        finally:
            sink.close()

    @property
    def refused(self) -> dict[str, str]:
        """The reason of each dead letter, by id."""
        return {entry.id: reason for entry, reason in self.letters.kept.values()}

    _error: Callable[[], str] = field(default=lambda: "", init=False)

    def _wait(self, seconds: float) -> bool:
        if not seconds:
            return False
        self.waits.append(seconds)
        self.errors.append(self._error())
        if len(self.waits) == 1:
            self.mend()
        self.pass_time(seconds)
        return len(self.waits) >= MOST_WAITS
