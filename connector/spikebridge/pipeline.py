"""
The spikes stage: one partition of a spike log in, the alert log out.

Alerts are appended first and the position is committed with or after them, so for every position ever committed all alerts
before it are in the alert log. To start, the stage rewinds by the look-back, replays in silence up to the committed position, and goes on.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

from spikebridge.alerts import AlertEntry, alert_entry
from spikebridge.errors import LogError, LogFull, LogMissing, RevisionError
from spikebridge.limits import MINUTE, SECOND
from spikebridge.logs import Commit
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.rules import known_revision, read_revision
from spikebridge.spikes.frame import encode_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spikebridge.logs import AlertLog, Revisions, SpikeLog
    from spikebridge.mapping.engine import DeadRecord, Taken
    from spikebridge.mapping.evidence import Identity
    from spikebridge.mapping.rules import Revision

TICK_AFTER_NS = 10 * SECOND
COMMIT_EVERY_NS = SECOND
RENEW_EVERY_NS = MINUTE
LOOK_EVERY_NS = SECOND // 5
PRUNE_EVERY_NS = 10 * SECOND
BATCH_BYTES = 1 << 20
REPLAY_BYTES = 1 << 22

_log = logging.getLogger(__name__)


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
        self.spoiled = False
        self._alerts = alerts
        self._revisions = revisions
        self._observer = observer
        self._clock = clock
        self._committed_at_ns = 0
        self._committed = -1
        self._life = 0
        self._marked = 0
        self._looked_at_ns = 0
        self._rested = (-1, 0)
        self._ticked_at_ns = self._said_ns = 0
        self._pending: Pending | None = None
        self._replayed: Commit | None = None
        self._full_at = -1
        self._pruned_at_ns = 0

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
        """Whether a matched batch waits to be committed: after an error the next `step` goes on with it."""
        return self._pending is not None

    @property
    def replaying(self) -> bool:
        """Whether records of the look-back are still to be replayed: then `replay` is the next step."""
        return self._replayed is not None

    def open(self) -> int:
        """Rewind and replay; return how many records the replay took."""
        records = 0
        self.rewind()
        while self.replaying:
            records += self.replay()
        return records

    def rewind(self) -> None:
        """Find out where to begin; nothing that an earlier life of this stage held counts any more."""
        self._pending = self._replayed = None
        self.spoiled = False
        commit = self._alerts.committed()
        first, end = self.log.bounds()
        self._life = commit.life if commit else 0
        if commit is None:
            self._begin(first)
            return
        if not commit.pairs or commit.position > end:
            self._begin_again(first, end, commit)
            return
        look_back_ns = self._read(commit.pairs[-1][1]).rule_set.limits.look_back_ns
        rewound = self.log.offset_at(commit.append_ns - look_back_ns)
        if first > commit.pairs[0][0] and (commit.position < first or self._cut(first, commit.append_ns - look_back_ns)):
            self._begin(first, cut=max(first, commit.position, commit.pairs[-1][0]))
            return
        self._begin_replay(min(rewound, commit.position), commit)

    def replay(self) -> int:
        """Take the next records of the look-back in silence; return how many. 0 while more are to come: they are on their way."""
        if self._replayed is None:
            return 0
        polled = self.log.poll(self.position, REPLAY_BYTES)
        records = [one for one in polled if one.offset < self._replayed.position]
        if records:
            with self._spoiling():
                self._engine.replay(records, self._replayed.pairs)
            self.position = records[-1].offset + 1
        beyond = len(records) < len(polled) or (not polled and self.log.bounds()[1] <= self.position)
        if beyond or self.position >= self._replayed.position:
            self.position = self._committed = self._replayed.position
            self._committed_at_ns = self._clock()
            self._replayed = None
        return len(records)

    def step(self) -> int:
        """
        Match the next records and commit what is due; return how many records there were.

        When the log or the observer fails, nothing is lost and the next call goes on; once `spoiled`, the stage must be opened anew.
        """
        now_ns = self._clock()
        self._announce(now_ns)
        if self._pending is None:
            records = self.log.poll(self.position, BATCH_BYTES)
            if not records:
                self._rest(now_ns)
                return 0
            with self._spoiling():
                self._pending = Pending(self._engine.take(records), records[-1].offset + 1, len(records))
        return self._settle(self._pending, now_ns)

    def close(self) -> None:
        """Commit the position; the log may be taken over at once."""
        if self._pending is None and self.position != self._committed:
            self._commit([], self._clock())

    @contextmanager
    def _spoiling(self) -> Iterator[None]:
        """Change what the engine holds: after an error in between it holds part of a batch."""
        self.spoiled = True
        yield
        self.spoiled = False

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

    def _begin(self, position: int, cut: int | None = None) -> None:
        """Start a life at a position, with the newest revision and where a gap is to be raised; the first commit says so before the first alert."""
        newest = self._revisions.newest()
        if newest is None:
            raise LogMissing(
                "no revision was ever published that can be in force here: publish mappings first (spikebridge publish)"
            )
        self.position = position
        self._engine = self._new_engine(newest)
        self._engine.pairs = [(position, newest)]
        if cut is not None:
            self._engine.pairs.append((cut, newest))
            self._engine.cut(cut)
        self._commit([], self._clock(), certain=True)

    def _begin_again(self, first: int, end: int, commit: Commit) -> None:
        """Start a life where the position means nothing: it has no past, or the log has lost what was before it."""
        if commit.position > end:
            self._life += 1
            _log.error(
                "log %s, partition %d: it ends at record %d, before the committed position %d: records were lost; reading anew from %d on",
                *(self.identity.log, self.identity.partition, end, commit.position, first),
            )
        known = bool(commit.pairs) or commit.position <= end
        self._begin(first, cut=max(first, commit.position if known else end))

    def _begin_replay(self, rewound: int, commit: Commit) -> None:
        in_force = [number for offset, number in commit.pairs if offset <= rewound] or [commit.pairs[0][1]]
        self._engine = self._new_engine(in_force[-1])
        self._engine.pairs = list(commit.pairs)
        for (_, before), (offset, number) in pairwise(commit.pairs):
            if number == before:
                self._engine.cut(offset)
        self.position = rewound
        self._replayed = commit

    def _cut(self, first: int, needed_ns: int) -> bool:
        """Say whether retention has taken records that the rewind needs."""
        oldest = self.log.read([first])
        return not oldest or oldest[0].append_ns > needed_ns

    def _new_engine(self, revision: int) -> Engine:
        return Engine(self.identity, self._read(revision), self._find, self.log.read)

    def _find(self, number: int) -> Revision | None:
        """Return a revision that a marker may bring into force; none if it isn't whole in the log, or is no rule set: the same for every owner."""
        try:
            return known_revision(number, self._revisions.revision(number))
        except RevisionError:
            return None

    def _read(self, number: int) -> Revision:
        content = self._revisions.revision(number)
        if content is None:
            raise LogMissing(f"revision {number} is in force at the committed position, but not in the revisions log")
        return read_revision(number, content)

    def _commit(self, entries: Sequence[AlertEntry], now_ns: int, *, certain: bool = False) -> None:
        commit = Commit(self.position, max(0, self._engine.now_ns), self._pairs(), self._life)
        self._alerts.commit(entries, commit, certain=certain)
        self._committed, self._committed_at_ns = self.position, now_ns

    def _pairs(self) -> tuple[tuple[int, int], ...]:
        """Keep the pairs of the look-back and the one in force where it begins; the log is asked for that now and then."""
        pairs, now_ns = self._engine.pairs, self._clock()
        if len(pairs) > 1 and self._engine.now_ns > 0 and _due(now_ns, self._pruned_at_ns, PRUNE_EVERY_NS):
            self._pruned_at_ns = now_ns
            rewound = self.log.offset_at(self._engine.now_ns - self.revision.rule_set.limits.look_back_ns)
            passed = sum(offset <= rewound for offset, _ in pairs)
            del pairs[: max(0, passed - 1)]
        return tuple(pairs)

    def _announce(self, now_ns: int) -> None:
        """
        Bring a new revision into force: by a marker, at which whoever reads it switches, this stage included.

        Where nothing may be appended the pair is committed first, and the owner switches after that.
        """
        if self.log.switches == "never" or self._pending or not _due(now_ns, self._looked_at_ns, LOOK_EVERY_NS):
            return
        self._looked_at_ns = now_ns
        newest = self._revisions.newest() or 0
        if newest <= max(self.revision.number, self._marked) or not self._room():
            return
        if self.log.switches == "commit":
            self._switch(newest, now_ns)
        elif self._say(encode_tick(now_ns, newest)):
            self._marked = newest

    def _switch(self, number: int, now_ns: int) -> None:
        """Commit the pair, then switch: a takeover just then may leave alerts of both revisions."""
        self._read(number)
        pairs = self._engine.pairs
        passed = [pair for pair in pairs if pair[0] <= self.position]
        self._engine.pairs = [*passed, (self.position, number), *((cut, number) for cut, _ in pairs[len(passed) :])]
        try:
            self._commit([], now_ns, certain=True)
        except LogError:
            self._engine.pairs = pairs
            raise
        with self._spoiling():
            self._engine.force(number, self.position)

    def _room(self) -> bool:
        """Say whether the commit can hold one more pair; else the revision waits until old ones have left the look-back."""
        if self._alerts.room(self._pairs()):
            return True
        if self._full_at != self.revision.number:
            self._full_at = self.revision.number
            _log.warning(
                "log %s: too many revisions within the look-back; the newest waits until older ones have left it", self.log.id
            )
        return False

    def _rest(self, now_ns: int) -> None:
        """At the end of the log: prove that time passes, keep the commit fresh."""
        if self.log.switches == "marker" and self._stands_still(now_ns) and _due(now_ns, self._ticked_at_ns, LOOK_EVERY_NS):
            self._ticked_at_ns = now_ns
            waited = now_ns - self._rested[1] >= TICK_AFTER_NS  # the last offsets may hold no record, and a tick lies beyond them
            if (self.lag <= 0 or waited) and self._say(encode_tick(now_ns)):
                self._rested = (self.position, now_ns)
                self._said_ns = now_ns
        if _due(now_ns, self._committed_at_ns, COMMIT_EVERY_NS if self.position != self._committed else RENEW_EVERY_NS):
            self._commit([], now_ns)

    def _stands_still(self, now_ns: int) -> bool:
        """
        Tell from the newest append time, or, where the clock lies behind that, from how long we have been at the end.

        Where brokers' clocks lie behind ours even a new tick is old: after one, our own clock must say that it is time again.
        """
        position, since_ns = self._rested
        if position != self.position or now_ns < since_ns:
            self._rested = (self.position, now_ns)
        still_ns = now_ns - min(self.log.last_append_ns(), self._rested[1])
        return still_ns >= TICK_AFTER_NS and _due(now_ns, self._said_ns, TICK_AFTER_NS)

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
