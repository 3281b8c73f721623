"""
The spikes stage: one partition of a spike log in, the alert log out.

Alerts are appended first and the position is committed with or after them, so for every position ever committed all alerts
before it are in the alert log. To start, the stage rewinds by the look-back, replays in silence up to the committed position, and goes on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

from spikebridge.alerts import AlertEntry, alert_entry
from spikebridge.errors import LogFull, LogMissing
from spikebridge.limits import MINUTE, SECOND
from spikebridge.logs import Commit
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.rules import read_revision
from spikebridge.spikes.frame import encode_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.logs import AlertLog, Revisions, SpikeLog
    from spikebridge.mapping.engine import DeadRecord, Taken
    from spikebridge.mapping.evidence import Identity
    from spikebridge.mapping.rules import Revision

TICK_AFTER_NS = 10 * SECOND
COMMIT_EVERY_NS = SECOND
RENEW_EVERY_NS = MINUTE
LOOK_EVERY_NS = SECOND // 5
BATCH_BYTES = 1 << 20


class Observer(Protocol):
    """Who is told what the stage does."""

    def batch(self, stage: SpikesStage, records: int, taken: Taken) -> None:
        """Hear of a batch that was matched and committed (or will be within a second)."""

    def dead(self, log: str, partition: int, records: Sequence[DeadRecord]) -> None:
        """Keep refused records durably: the position moves past them next."""


class Pending(NamedTuple):
    """What a batch gave, until it is committed."""

    taken: Taken
    position: int
    records: int


class SpikesStage:
    """The owner of one partition. `clock` is the wall clock in ns: it decides when to tick and commit, never what alerts exist."""

    def __init__(
        self,
        identity: Identity,
        log: SpikeLog,
        alerts: AlertLog,
        revisions: Revisions,
        observer: Observer,
        clock: Callable[[], int],
    ) -> None:
        """Nothing is read before `open`."""
        self.identity = identity
        self.log = log
        self.position = 0
        self._alerts = alerts
        self._revisions = revisions
        self._observer = observer
        self._clock = clock
        self._committed_at_ns = 0
        self._committed = -1
        self._marked = 0
        self._looked_at_ns = 0
        self._rested = (-1, 0)
        self._ticked_at_ns = 0
        self._pending: Pending | None = None

    @property
    def revision(self) -> Revision:
        """The revision in force."""
        return self._engine.revision

    @property
    def counters(self) -> dict[str, int]:
        """What the engine counted since the start, the replay included."""
        return dict(self._engine.counters)

    @property
    def lag(self) -> int:
        """Records of the log that were not matched yet."""
        return self.log.bounds()[1] - self.position

    @property
    def pending(self) -> bool:
        """Whether a matched batch waits to be committed: after an error `step` goes on with it, otherwise the stage must be opened anew."""
        return self._pending is not None

    def open(self) -> int:
        """Rewind and replay; return how many records the replay took."""
        self._pending = None
        commit = self._alerts.committed()
        if commit is None:
            return self._begin(self.log.bounds()[0])
        first, _ = self.log.bounds()
        look_back_ns = self._read(commit.pairs[-1][1]).rule_set.limits.look_back_ns
        rewound = self.log.offset_at(commit.append_ns - look_back_ns)
        if first > commit.pairs[0][0] and (commit.position < first or self._cut(first, commit.append_ns - look_back_ns)):
            return self._begin(first, cut=max(first, commit.position, commit.pairs[-1][0]))
        return self._replay(min(rewound, commit.position), commit)

    def step(self) -> int:
        """
        Match the next records and commit what is due; return how many records there were.

        When the log or the observer fails, nothing is lost: while a batch is `pending` the next call goes on with it, otherwise `open` does.
        """
        now_ns = self._clock()
        self._announce(now_ns)
        if self._pending is None:
            records = self.log.poll(self.position, BATCH_BYTES)
            if not records:
                self._rest(now_ns)
                return 0
            self._pending = Pending(self._engine.take(records), records[-1].offset + 1, len(records))
        return self._settle(self._pending, now_ns)

    def close(self) -> None:
        """Commit the position; the log may be taken over at once."""
        if self._pending is None and self.position != self._committed:
            self._commit([], self._clock())

    def _settle(self, pending: Pending, now_ns: int) -> int:
        """Keep what was refused, append the alerts, move on: in this order."""
        taken = pending.taken
        if taken.dead:
            self._observer.dead(self.identity.log, self.identity.partition, taken.dead)
        self.position = pending.position
        if taken.alerts or _due(now_ns, self._committed_at_ns, COMMIT_EVERY_NS):
            self._commit([alert_entry(raised.alert, raised.evidence) for raised in taken.alerts], now_ns)
        self._pending = None
        self._observer.batch(self, pending.records, taken)
        return pending.records

    def _begin(self, position: int, cut: int | None = None) -> int:
        """Start a life at a position, with the newest revision and where a gap is to be raised; the first commit says so before the first alert."""
        newest = self._revisions.newest()
        if newest is None:
            raise LogMissing("no revision was ever published: publish mappings first")
        self.position = position
        self._engine = self._new_engine(newest)
        self._engine.pairs = [(position, newest)]
        if cut is not None:
            self._engine.pairs.append((cut, newest))
            self._engine.cut(cut)
        self._commit([], self._clock())
        return 0

    def _replay(self, rewound: int, commit: Commit) -> int:
        in_force = [number for offset, number in commit.pairs if offset <= rewound] or [commit.pairs[0][1]]
        self._engine = self._new_engine(in_force[-1])
        self._engine.pairs = list(commit.pairs)
        for (_, before), (offset, number) in pairwise(commit.pairs):
            if number == before:
                self._engine.cut(offset)
        position = rewound
        while position < commit.position:
            records = [record for record in self.log.poll(position, BATCH_BYTES) if record.offset < commit.position]
            if not records:
                break
            self._engine.replay(records, commit.pairs)
            position = records[-1].offset + 1
        self.position = commit.position
        self._committed = commit.position
        self._committed_at_ns = self._clock()
        return commit.position - rewound

    def _cut(self, first: int, needed_ns: int) -> bool:
        """Say whether retention has taken records that the rewind needs."""
        oldest = self.log.read([first])
        return not oldest or oldest[0].append_ns > needed_ns

    def _new_engine(self, revision: int) -> Engine:
        return Engine(self.identity, self._read(revision), self._find, self.log.read)

    def _find(self, number: int) -> Revision | None:
        content = self._revisions.revision(number)
        return None if content is None else read_revision(number, content)

    def _read(self, number: int) -> Revision:
        revision = self._find(number)
        if revision is None:
            raise LogMissing(f"revision {number} is in force at the committed position, but not in the revisions log")
        return revision

    def _commit(self, entries: Sequence[AlertEntry], now_ns: int) -> None:
        self._alerts.commit(entries, Commit(self.position, max(0, self._engine.now_ns), self._pairs()))
        self._committed, self._committed_at_ns = self.position, now_ns

    def _pairs(self) -> tuple[tuple[int, int], ...]:
        """Keep the pairs of the look-back and the one in force where it begins."""
        pairs = self._engine.pairs
        if len(pairs) > 1 and self._engine.now_ns > 0:
            rewound = self.log.offset_at(self._engine.now_ns - self.revision.rule_set.limits.look_back_ns)
            passed = sum(offset <= rewound for offset, _ in pairs)
            del pairs[: max(0, passed - 1)]
        return tuple(pairs)

    def _announce(self, now_ns: int) -> None:
        """Append a marker when there is a new revision; whoever reads it switches there, this stage included."""
        if self.identity.live and _due(now_ns, self._looked_at_ns, LOOK_EVERY_NS):
            self._looked_at_ns = now_ns
            newest = self._revisions.newest() or 0
            if newest > max(self.revision.number, self._marked) and self._say(encode_tick(now_ns, newest)):
                self._marked = newest

    def _rest(self, now_ns: int) -> None:
        """At the end of the log: prove that time passes, keep the commit fresh."""
        if self.identity.live and self._stands_still(now_ns) and _due(now_ns, self._ticked_at_ns, LOOK_EVERY_NS):
            self._ticked_at_ns = now_ns
            self._say(encode_tick(now_ns))
        if _due(now_ns, self._committed_at_ns, COMMIT_EVERY_NS if self.position != self._committed else RENEW_EVERY_NS):
            self._commit([], now_ns)

    def _stands_still(self, now_ns: int) -> bool:
        """Tell from the newest append time, or, where the clock lies behind that, from how long we have been at the end."""
        position, since_ns = self._rested
        if position != self.position or now_ns < since_ns:
            self._rested = (self.position, now_ns)
        return now_ns - min(self.log.last_append_ns(), self._rested[1]) >= TICK_AFTER_NS

    def _say(self, tick: bytes) -> bool:
        """Append a tick or a marker; a full log takes it later: only what reads on makes room."""
        try:
            self.log.append([tick])
        except LogFull:
            return False
        return True


def _due(now_ns: int, last_ns: int, every_ns: int) -> bool:
    """Say whether it is time again; also after the clock was set back."""
    return not 0 <= now_ns - last_ns < every_ns
