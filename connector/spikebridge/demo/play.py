"""The demonstration itself: records into the spool, a worker beside it, and what appears in the alert log."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from spikebridge.alerts import Incident, read_finding
from spikebridge.demo import site
from spikebridge.demo.episodes import MS
from spikebridge.demo.worker import Worker
from spikebridge.errors import SpikebridgeError
from spikebridge.limits import SECOND
from spikebridge.logs.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from spikebridge.alerts import Finding
    from spikebridge.demo.directory import Place
    from spikebridge.logs.spool import Input

ONCE_EVERY_NS = 900 * MS
ENDLESS_EVERY_NS = 5 * SECOND
KILL_AFTER_NS = 5 * SECOND
DOWN_NS = 600 * MS
WAIT_S = 60.0
PAUSE_S = 0.02
NIGHT_HOURS = 6


class Moment(NamedTuple):
    """What there is to show: something that happens (or ""), findings that are new, and counts so far."""

    note: str
    findings: list[Finding]
    records: int
    waiting: int
    worker: int


class Kill(NamedTuple):
    """
    The worker was killed `after_ns` into the live part, at `from_ns`; its successor had caught up at `back_ns`.

    `upto` is the end of the log when the successor was started, `waited` how many records lay uncommitted there.
    """

    pid: int
    after_ns: int
    from_ns: int
    upto: int = 0
    waited: int = 0
    back_ns: int = 0


class Demo:
    """
    One demonstration in its directory.

    `first` is the first record of this run in the spike log, `alerts_first` the same in the alert log.
    `kill` is set once the worker was killed, and complete once its successor has caught up. `newest` is the id of the newest finding.
    """

    def __init__(self, place: Place, clock: Callable[[], int] = time.time_ns) -> None:
        """Open the spool; nothing runs yet."""
        self.place = place
        self.spool = Spool(place.directory)
        self.first = self.spool.bounds()[1]
        self.recording: Input | None = None
        self.kill: Kill | None = None
        self.newest = ""
        self._clock = clock
        self._seed = secrets.randbits(32)
        self._worker = Worker(place)
        self.alerts_first = self._alerts = self.spool.alert_bounds()[1]
        self._versions: dict[str, int] = {}
        self._records = 0

    def __enter__(self) -> Self:
        """Leave no process behind."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Kill what still runs, and close."""
        self._worker.kill()
        self.spool.close()

    def night(self) -> Iterator[Moment]:
        """Start the worker and give it the recording of simulated hours; end when it was read."""
        end_ns = self._clock() // SECOND * SECOND
        plan = site.night(self._seed, end_ns, NIGHT_HOURS)
        values = [value for slot in range((end_ns - plan.begin_ns) // plan.slot_ns) for value in site.records(plan, slot)]
        self.place.night.write_bytes(b"".join(values))
        self._records += len(values)
        self.recording = self.spool.add_recording(self.place.night)
        self._worker.start()
        yield self._moment(f"the recording of a night: {NIGHT_HOURS} hours, {len(values):,} records")
        yield from self._until(lambda: all(one.drained for one in self.spool.recordings()), "read the recording")

    def live(self, *, once: bool) -> Iterator[Moment]:
        """Append live spikes slot by slot as time passes; with `once` each episode comes once, and the worker is killed on the way."""
        plan = site.live(self._seed, self._clock(), ONCE_EVERY_NS if once else ENDLESS_EVERY_NS, repeats=not once)
        end = max(at + episode.length_ns for at, episode in plan.happenings) // plan.slot_ns + 2
        slot = 0
        while not once or slot < end:
            while self._clock() < plan.starts(slot + 1):
                time.sleep(PAUSE_S)
                yield self._moment("")
            self._append(site.records(plan, slot))
            for name in plan.begun(slot) or [""]:
                yield self._moment(name)
            slot += 1
            self._worker.alive()
            if once:
                yield from self._killing(plan.begin_ns)

    def finish(self, *, drained: bool) -> Iterator[Moment]:
        """Stop the worker; with `drained` everything that was appended reaches the store first."""
        yield self._moment("the worker finishes what it has in hand")
        waiting = self._waiting()
        self._worker.stop()
        if drained:
            self._worker.drain()
        if self.kill and not self.kill.back_ns:  # on a slow machine the end comes before its successor has caught up
            self.kill = self.kill._replace(waited=self.kill.waited or waiting, back_ns=self._clock())
        yield self._moment("")

    def _append(self, values: list[bytes]) -> None:
        self.spool.append(values)
        self._records += len(values)

    def _killing(self, begin_ns: int) -> Iterator[Moment]:
        """Kill the worker when it is time, start its successor a little later, and notice when that has caught up."""
        now_ns, kill = self._clock(), self.kill
        if kill is None:
            if now_ns >= begin_ns + KILL_AFTER_NS:
                self.kill = Kill(self._worker.pid, now_ns - begin_ns, now_ns)
                self._worker.kill()
                yield self._moment(f"worker {self.kill.pid} is killed (kill -9), spikes keep coming")
        elif not kill.upto:
            if now_ns >= kill.from_ns + DOWN_NS:
                self.kill = kill._replace(upto=self.spool.bounds()[1], waited=self._waiting())
                self._worker.start()
                yield self._moment(f"its successor starts, {self.kill.waited} records wait for it")
        elif not kill.back_ns and self._position() >= kill.upto:
            self.kill = kill._replace(back_ns=now_ns)
            yield self._moment("it has caught up")

    def _position(self) -> int:
        commit = self.spool.committed()
        return commit.position if commit else 0

    def _waiting(self) -> int:
        """Return how many live records lie behind the committed position."""
        return self.spool.bounds()[1] - self._position()

    def _until(self, done: Callable[[], bool], what: str) -> Iterator[Moment]:
        limit = time.monotonic() + WAIT_S
        while not done():
            if time.monotonic() > limit:
                raise SpikebridgeError(f"the worker did not {what} within {WAIT_S:.0f} s; see {self.place.worker_log}")
            self._worker.alive()
            time.sleep(PAUSE_S)
            yield self._moment("")

    def _moment(self, note: str) -> Moment:
        """Look at the alert log."""
        found: list[Finding] = []
        for entry in self.spool.poll_alerts(self._alerts, 1_000):
            self._alerts = entry.offset + 1
            finding = read_finding(entry.body)
            version = finding.version if isinstance(finding, Incident) else 1
            if version > self._versions.get(entry.id, 0):
                self._versions[entry.id] = version
                self.newest = entry.id
                found.append(finding)
        return Moment(note, found, self._records, self._waiting(), self._worker.pid)
