"""A sink's work: findings in bulk requests of a bearable size, and what the answers mean for each."""

from __future__ import annotations

import gzip
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING, ClassVar

from spikebridge.delivery import POLL_ENTRIES, Batch
from spikebridge.errors import SinkDenied, SinkRefused, SinkUnavailable
from spikebridge.search import answers
from spikebridge.search.answers import Outcome, Verdict
from spikebridge.search.connection import connect
from spikebridge.search.documents import actions
from spikebridge.search.templates import template_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from spikebridge.alerts import AlertEntry
    from spikebridge.search.connection import Destination
    from spikebridge.search.documents import Action
    from spikebridge.search.server import Answer, Server
    from spikebridge.search.templates import Flavour

WAITS_S = {Outcome.SLOW: 30.0, Outcome.HOLD: 10.0}
"""What is not tried again sooner: a server looks every half minute whether its disk has room, and nobody mends one in a second."""

SMALLEST_BYTES = 65_536
"""A server that refuses less than this as too large has another trouble: no reason to give up alerts."""

COMPRESS_FROM_BYTES = 1_000

GROWTH = 32
"""Requests grow by this part of the full size each time one goes through."""

_WANTED = "errors,items.*.status,items.*.error.type,items.*.error.reason"
_GZIP_LEVEL = 1
"""The fastest: higher levels halve the throughput to save a few per cent."""

_NO_RIGHT_TO_LOOK = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED})


class SearchSink:
    """
    A sink for a search server, whatever its flavour; a subclass names that, and says what it promises.

    Between two calls it keeps nothing but how much the server takes at once. The first request that isn't taken whole ends a write: what was
    not sent yet waits with the rest.
    """

    flavour: ClassVar[Flavour]

    def __init__(self, settings: Destination, _data: Path) -> None:
        """Open nothing yet; the host may set `wait`, which says between two requests whether to stop."""
        self.wait: Callable[[float], bool] = Event().wait
        self.batch = Batch(max(POLL_ENTRIES, settings.batch_entries))
        """At least a whole request."""
        self._settings = settings
        self._sizes = _Sizes(settings.batch_size, settings.batch_entries)
        self._server: Server | None = None
        self._target = f"/_bulk?timeout={settings.timeout_ns // 1_000_000}ms&filter_path={_WANTED}"

    def open(self) -> None:
        """Ask for the template, and learn whether the server answers, knows us, and was set up."""
        name = template_name(self._settings.mode)
        answer = self._ask("GET", f"/_index_template/{name}?filter_path=index_templates.name")
        if answer.status == HTTPStatus.NOT_FOUND:
            text = f'{answer.endpoint}: expected an index template "{name}", found none; install it with `spikebridge setup {self.flavour}`'
            raise SinkUnavailable(text, after_s=WAITS_S[Outcome.HOLD])
        # A key that may only write may not look at templates: that the server knows it is all there is to learn then.
        if answer.status != HTTPStatus.OK and answer.status not in _NO_RIGHT_TO_LOOK:
            verdict = answers.whole(answer.status, answer.body)
            raise _trouble(Verdict(verdict.outcome, f"{answer.endpoint}: {verdict.text}"))

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Deliver what the server takes; return how much of it was there already."""
        made, refused = actions(findings, self._settings.mode)
        waiting = deque(made)
        known = 0
        sent = False
        while waiting:
            if sent and self.wait(0):  # also what keeps the host's membership while a slow server takes many requests
                raise SinkUnavailable("stopped before all was sent", undelivered=_ids(waiting), refused=refused, known=known)
            sent = True
            chunk = self._sizes.take(waiting)
            try:
                verdicts = self._send(chunk)
            except SinkUnavailable as error:
                left = _ids(chunk) | _ids(waiting)
                raise SinkUnavailable(
                    str(error), undelivered=left, refused=refused, after_s=error.after_s, known=known
                ) from error
            gravest = max(verdicts, key=lambda verdict: verdict.outcome.value)
            if gravest.outcome is Outcome.SPLIT:
                waiting.extendleft(reversed(chunk))
                continue
            known += sum(verdict.outcome is Outcome.KNOWN for verdict in verdicts)
            judged = list(zip(chunk, verdicts, strict=True))
            refused |= {action.id: verdict.text for action, verdict in judged if verdict.outcome is Outcome.REFUSED}
            if gravest.outcome.value > Outcome.REFUSED.value:
                left = _ids(action for action, verdict in judged if verdict.outcome.value > Outcome.REFUSED.value)
                raise _trouble(gravest, undelivered=left | _ids(waiting), refused=refused, known=known)
        if refused:
            raise SinkRefused(refused, known=known)
        return known

    def close(self) -> None:
        """Close the connections; writing opens them again."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _ask(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """Ask, connected; where no server answers the next one reads the certificates anew, which may have been renewed."""
        if self._server is None:
            self._server = connect(self._settings, lambda seconds: self.wait(seconds))  # noqa: PLW0108 -- the host may set another
        try:
            return self._server.ask(method, target, body, headers)
        except SinkUnavailable:
            self.close()
            raise

    def _send(self, chunk: Sequence[Action]) -> list[Verdict]:
        """Send one request and return a verdict for each action; if one is `SPLIT` all are, and the next request will be smaller."""
        try:
            answer = self._post(b"".join(action.lines for action in chunk))
        except SinkUnavailable:
            # Also what a server does that finds a request too large while it is still being sent.
            self._sizes.shrink(chunk, lasting=False)
            raise
        found = answers.items(answer.body, len(chunk)) if answer.status == HTTPStatus.OK else None
        if found is not None:
            self._sizes.grow()
            return [
                Verdict(verdict.outcome, verdict.text and f"{answer.endpoint}: index {action.target}: {verdict.text}")
                for action, verdict in zip(chunk, found, strict=True)
            ]
        verdict = answers.whole(answer.status, answer.body)
        if verdict.outcome in (Outcome.SPLIT, Outcome.SMALLER):
            self._sizes.shrink(chunk, lasting=answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if verdict.outcome is Outcome.SPLIT and len(chunk) == 1:
            verdict = _alone(chunk[0], answer, verdict)
        else:
            verdict = Verdict(verdict.outcome, f"{answer.endpoint}: {verdict.text}")
        return [verdict] * len(chunk)

    def _post(self, body: bytes) -> Answer:
        headers = {"content-type": "application/x-ndjson"}
        if self._settings.compress and len(body) >= COMPRESS_FROM_BYTES:
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        return self._ask("POST", self._target, body, headers)


@dataclass(slots=True)
class _Sizes:
    """How much goes into a request: what the settings say, less where the server wants less."""

    most_bytes: int
    most_entries: int
    _ceiling: int = field(init=False)
    _bytes: int = field(init=False)
    _entries: int = field(init=False)

    def __post_init__(self) -> None:
        self._ceiling = self._bytes = self.most_bytes
        self._entries = self.most_entries

    def take(self, waiting: deque[Action]) -> list[Action]:
        """Take the next request's actions off what waits: at least one."""
        taken = [waiting.popleft()]
        size = len(taken[0].lines)
        while waiting and len(taken) < self._entries and size + len(waiting[0].lines) <= self._bytes:
            taken.append(waiting.popleft())
            size += len(taken[-1].lines)
        return taken

    def shrink(self, chunk: Sequence[Action], *, lasting: bool) -> None:
        """Make the next request half of this one; `lasting` where it met a limit of the server, and not a weakness that passes."""
        self._bytes = max(SMALLEST_BYTES, sum(len(action.lines) for action in chunk) // 2)
        self._entries = max(1, len(chunk) // 2)
        if lasting:
            self._ceiling = min(self._ceiling, self._bytes)

    def grow(self) -> None:
        """Let the next request be a little larger, up to what is known to be too large: a server that was short of memory may be so still."""
        self._bytes = min(self._bytes + self.most_bytes // GROWTH + 1, self._ceiling)
        self._entries = min(self._entries + self.most_entries // GROWTH + 1, self.most_entries)


def _alone(action: Action, answer: Answer, verdict: Verdict) -> Verdict:
    """Judge one document that was too much for a request by itself."""
    size = len(action.lines)
    if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and size < SMALLEST_BYTES:
        text = f"413 for a request of {size:,} bytes; raise the limit of the server (http.max_content_length) or of the proxy"
        return Verdict(Outcome.HOLD, f"{answer.endpoint}: {text}")
    return Verdict(Outcome.REFUSED, f"{answer.endpoint}: index {action.target}: a document of {size:,} bytes: {verdict.text}")


def _trouble(
    verdict: Verdict, *, undelivered: frozenset[str] | None = None, refused: dict[str, str] | None = None, known: int = 0
) -> SinkUnavailable:
    if verdict.outcome is Outcome.DENIED:
        return SinkDenied(verdict.text, undelivered=undelivered, refused=refused, known=known)
    after_s = WAITS_S.get(verdict.outcome, 0.0)
    return SinkUnavailable(verdict.text, undelivered=undelivered, refused=refused, after_s=after_s, known=known)


def _ids(actions_of: Iterable[Action]) -> frozenset[str]:
    return frozenset(action.id for action in actions_of)
