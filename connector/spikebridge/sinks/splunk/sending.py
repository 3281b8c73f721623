"""One `write`: batches out, acknowledgements in, and an exact account of what is still open when something goes wrong."""

from __future__ import annotations

import gzip
import json
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from spikebridge.sinks.splunk.answers import HOLD_S, Outcome, acknowledged, judge
from spikebridge.sinks.splunk.connection import ACK_PATH, EVENT_PATH, Endpoint
from spikebridge.sinks.splunk.events import Event, Labels, event_of, halves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.alerts import AlertEntry

FIRST_POLL_S = 0.1
LONGEST_POLL_S = 10.0
PATIENCE = 4
"""What was waited for already, over the next wait: an acknowledgement is seen at most a quarter later than it is given."""

GRACE_S = 15.0
"""So long what was sent may still be acknowledged after the host said stop: most acknowledgements take ten seconds or so."""

UNANSWERED_S = 30.0
"""Acknowledgements that can't even be asked for during this time are given up: another endpoint may take what is left."""

_GZIP_LEVEL = 1
_log = logging.getLogger(__name__)

Batch = list[Event]


@dataclass(slots=True, kw_only=True)
class Pace:
    """
    What one `write` learns for the next.

    `acks`: whether the receiver acknowledges, None while nobody knows. `wanted`: whether we ask, `insist`: whether it must. `window`:
    requests that may wait for an acknowledgement at once, at most `longest_window`.
    """

    batch_bytes: int
    batch_events: int
    window: int
    longest_window: int
    ack_timeout_s: float
    wanted: bool
    insist: bool
    acks: bool | None = None

    def slower(self) -> None:
        """Halve what may be in flight."""
        self.window = max(1, self.window // 2)

    def faster(self) -> None:
        """Allow one more, after a `write` that went well."""
        self.window = min(self.longest_window, self.window + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """
    What a sending is given instead of reaching for it.

    `wait` says when it is time to stop, `linger` lets time pass after that, `clock` is monotonic, in seconds.
    """

    endpoint: Endpoint
    labels: Labels
    pace: Pace
    wait: Callable[[float], bool]
    linger: Callable[[float], bool]
    clock: Callable[[], float]


class Sending:
    """
    Some entries on their way to one endpoint.

    After `run`, `trouble` is None and all are delivered but the `refused`, each with its reason; or it says why not, and `left` are the ids
    of what is neither, `doubtful` of which may have arrived.
    """

    def __init__(self, around: Around, entries: Sequence[AlertEntry]) -> None:
        """Send nothing yet."""
        self.refused: dict[str, str] = {}
        self.trouble: Outcome | None = None
        self.doubtful = 0
        self._around = around
        self._pace = around.pace
        self._entries = deque(entries)
        self._parts: deque[Batch] = deque()
        self._carried: Event | None = None
        self._waiting: dict[int, Batch] = {}
        self._quiet_since = 0.0
        self._unanswered_since: float | None = None
        self._poll_s = 0.0
        self._stopped = False
        self._grace_until: float | None = None

    @property
    def left(self) -> set[str]:
        """The ids of what is neither delivered nor refused."""
        open_batches = [*self._parts, *self._waiting.values(), [self._carried] if self._carried is not None else []]
        return {event.id for batch in open_batches for event in batch} | {entry.id for entry in self._entries}

    def run(self) -> None:
        """Send and wait until all is settled, or nothing more can be."""
        sent = False
        while batch := self._next():
            if sent and self._told_to_stop(0):  # also what keeps the host's membership while a slow receiver takes many requests
                self._parts.appendleft(batch)
                self.trouble = Outcome("again", "stopped before all was sent")
                break
            sent = True
            self._send(batch)
            self._make_room()
            if self.trouble is not None:
                break
        while self._waiting and not self._stopped:
            self._ask()
        self.doubtful += sum(map(len, self._waiting.values()))

    def _make_room(self) -> None:
        while self.trouble is None and self._grace_until is None and len(self._waiting) >= self._pace.window:
            self._ask()

    def _next(self) -> Batch:
        """Return the next batch, empty at the end; an event that is larger than a batch is one alone."""
        if self._parts:
            return self._parts.popleft()
        batch: Batch = []
        size = 0
        while len(batch) < self._pace.batch_events and (event := self._carried or self._read()):
            size += len(event.body)
            if batch and size > self._pace.batch_bytes:
                self._carried = event
                break
            self._carried = None
            batch.append(event)
        return batch

    def _read(self) -> Event | None:
        while self._entries:
            entry = self._entries.popleft()
            try:
                return event_of(entry, self._around.labels)
            except msgspec.MsgspecError as error:
                self.refused[entry.id] = f"no finding that this version can read: {error}"
        return None

    def _send(self, batch: Batch) -> None:
        body = gzip.compress(b"".join(event.body for event in batch), _GZIP_LEVEL, mtime=0)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", **self._channel()}
        outcome = judge(self._around.endpoint.ask("POST", EVENT_PATH, body, headers))
        if outcome.slow:
            self._pace.slower()
        match outcome.action:
            case "taken":
                self._taken(batch, outcome)
            case "split":
                self._split(batch, outcome)
            case "refuse" if outcome.invalid is not None and 0 <= outcome.invalid < len(batch):
                self._put_aside(batch, outcome.invalid, outcome)
            case "refuse":  # it names an event that isn't there, and all before that one are
                self.doubtful += len(batch)
                self._split(batch, outcome)
            case _:
                self._fail(outcome, batch)

    def _taken(self, batch: Batch, outcome: Outcome) -> None:
        """Note under which id the acknowledgement will come; without one, "accepted" is all that this receiver ever says."""
        endpoint, ack = self._around.endpoint, outcome.ack
        if not self._pace.wanted:
            return
        if ack is None and self._pace.insist:
            reason = "acknowledge is on, but the answer names no acknowledgement: switch useACK on for the token, or set acknowledge to auto"
            self._fail(Outcome("hold", reason, HOLD_S, doubtful=True), batch)
        elif ack is None:
            self._without_acks("the answer names none")
        elif ack <= endpoint.highest_ack:
            reason = "acknowledgements are counted anew: Splunk was restarted, or a load balancer without sticky sessions stands before it"
            self._fail(Outcome("again", reason, doubtful=True), batch)
            self._stopped = True
        else:
            self._pace.acks = True
            endpoint.highest_ack = ack
            self._waiting[ack] = batch
            self._progress()

    def _split(self, batch: Batch, outcome: Outcome) -> None:
        """Send two parts instead: too large a request, or one bad event that the answer doesn't name."""
        if len(batch) == 1:
            self.refused[batch[0].id] = outcome.reason
            return
        first, second = halves(batch)
        if outcome.too_large:
            self._pace.batch_bytes = max(1, sum(len(event.body) for event in batch) // 2)
        self._parts.extendleft((second, first))

    def _put_aside(self, batch: Batch, at: int, outcome: Outcome) -> None:
        """Refuse one. Those before it are indexed, but no acknowledgement covers them: where there are any, they are sent again."""
        self.refused[batch[at].id] = outcome.reason
        before, after = batch[:at], batch[at + 1 :]
        if self._pace.wanted and self._pace.acks is not False:
            self.doubtful += len(before)
            self._parts.extendleft(part for part in (after, before) if part)
        elif after:
            self._parts.appendleft(after)

    def _ask(self) -> None:
        """Ask which requests are acknowledged: at once, then less and less often; once told to stop, for a while yet."""
        if not self._may_ask():
            self._give_up(Outcome("again", f"stopped while {len(self._waiting)} requests waited for their acknowledgement"))
            return
        asked = list(self._waiting)
        body = json.dumps({"acks": asked}).encode()
        headers = {"Content-Type": "application/json", **self._channel()}
        answer = self._around.endpoint.ask("POST", f"{ACK_PATH}?channel={self._around.endpoint.channel}", body, headers)
        found = acknowledged(answer, asked)
        now = self._around.clock()
        self._poll_s = min(max(FIRST_POLL_S, (now - self._quiet_since) / PATIENCE), LONGEST_POLL_S)
        if isinstance(found, Outcome):
            self._not_told(found, now)
            return
        self._unanswered_since = None
        for ack in found:
            del self._waiting[ack]
        if found:
            self._progress()
        elif now - self._quiet_since >= self._pace.ack_timeout_s:
            waited_s = now - self._quiet_since
            self._give_up(Outcome("again", f"{len(self._waiting)} requests were not acknowledged within {waited_s:.0f} s"))

    def _may_ask(self) -> bool:
        """Let time pass until the next question; False if there is none."""
        if self._grace_until is None:
            if self._poll_s:
                self._told_to_stop(self._poll_s)
            return True
        left_s = self._grace_until - self._around.clock()
        return left_s > 0 and not self._around.linger(min(self._poll_s or FIRST_POLL_S, left_s))

    def _told_to_stop(self, after_s: float) -> bool:
        if self._grace_until is None and self._around.wait(after_s):
            self._grace_until = self._around.clock() + GRACE_S
        return self._grace_until is not None

    def _not_told(self, outcome: Outcome, now: float) -> None:
        """Acknowledgements can't be asked for: for a moment that may pass, for long it is as if they were lost."""
        if outcome.action == "without_ack" and not self._pace.insist:
            self._without_acks(outcome.reason)
            self._give_up(Outcome("again", "what was not acknowledged is sent again, without acknowledgements"))
        elif outcome.action == "without_ack":
            reason = f"acknowledge is on, but {outcome.reason}: switch useACK on for the token, or set acknowledge to auto"
            self._give_up(Outcome("hold", reason, HOLD_S))
        elif outcome.action in ("again", "taken"):
            self._unanswered_since = now if self._unanswered_since is None else self._unanswered_since
            if now - self._unanswered_since >= UNANSWERED_S:
                self._give_up(outcome)
        else:
            self._give_up(outcome)

    def _without_acks(self, why: str) -> None:
        if self._pace.acks is not False:
            url = self._around.endpoint.url
            _log.warning("%s: no indexer acknowledgements (%s): what is accepted counts as delivered", url, why)
        self._pace.acks = False

    def _progress(self) -> None:
        self._quiet_since = self._around.clock()
        self._poll_s = 0.0

    def _fail(self, outcome: Outcome, batch: Batch) -> None:
        self._parts.appendleft(batch)
        self.trouble = outcome
        if outcome.doubtful:
            self.doubtful += len(batch)

    def _give_up(self, outcome: Outcome) -> None:
        self._stopped = True
        self.trouble = self.trouble or outcome

    def _channel(self) -> dict[str, str]:
        """Name the conversation, unless we don't want acknowledgements: Splunk would keep what nobody asks for."""
        return {"X-Splunk-Request-Channel": self._around.endpoint.channel} if self._pace.wanted else {}
