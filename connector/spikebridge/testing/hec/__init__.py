"""
An HTTP Event Collector of our own, on loopback: it answers as Splunk does, and fails as it is told to.

It keeps what it indexed, checks tokens, channels, compression and sizes, and has acknowledgements. A `Fault` makes it answer with any
documented code, refuse, stall, throttle, hang up, lose acknowledgements or what it took.

::

    with HecServer({"a-token": Token(acknowledges=True)}) as server:
        server.faults.append(Fault(code=9, headers={"Retry-After": "1"}))
        ...  # send to server.url
        assert server.counts() == {"alert-1": 1}
"""

from __future__ import annotations

import json
import re
import ssl
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import parse_qs, urlsplit

from spikebridge.testing.hec.answers import Reply, said
from spikebridge.testing.hec.events import HecEvent, Parsed, Token, inflated, parse
from spikebridge.testing.hec.http import HecRequest, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["Fault", "HecEvent", "HecRequest", "HecServer", "Token"]

LARGEST_BYTES = 1_000_000
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EVENT_PATHS = {f"/services/collector{end}" for end in ("", "/event", "/event/1.0")}
_HEALTH_PATHS = {f"/services/collector/health{end}" for end in ("", "/1.0")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    What goes wrong with the next request to `path`, `times` in a row.

    The answer is that of a documented `code`, or `status` with `body` as it is; with `invalid` it names the object of that number, and
    those before it are indexed. `taken`: the request is carried out first, and then answered so. `hang_up`: there is no answer at all.
    `loses` an acknowledgement that will never come (`acknowledgement`), or besides it what was accepted (`events`).
    `stall_s` lets so much time pass first.
    """

    path: Literal["event", "ack", "health"] = "event"
    times: int = 1
    code: int | None = None
    status: int | None = None
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    invalid: int | None = None
    taken: bool = False
    hang_up: bool = False
    loses: Literal["", "acknowledgement", "events"] = ""
    stall_s: float = 0.0


class HecServer:
    """
    A collector for a `with` block; `url` is its address, `https` with a certificate (PEM files of certificate and key).

    `events` are in the order in which they were indexed, repeats among them; `faults` are taken from its front. `first_ack` is the first id
    that a channel gets, `polls` how often it must be asked before an acknowledgement is true; `cookie` is set with each answer.
    Acknowledgements come after `ack_s` seconds of `clock`, both of which may be set.
    """

    def __init__(
        self,
        tokens: Mapping[str, Token],
        *,
        certificate: tuple[Path, Path] | None = None,
        largest_bytes: int = LARGEST_BYTES,
        first_ack: int = 0,
        polls: int = 1,
        cookie: str = "",
    ) -> None:
        """Listen nowhere yet."""
        self.tokens = dict(tokens)
        self.events: list[HecEvent] = []
        self.requests: list[HecRequest] = []
        self.faults: list[Fault] = []
        self.largest_bytes = largest_bytes
        self.polls = polls
        self.ack_s = 0.0
        self.clock: Callable[[], float] = time.monotonic
        self.first_ack = first_ack
        self.cookie = cookie
        self._certificate = certificate
        self._channels: dict[str, _Channel] = {}
        self._lock = Lock()
        self._closing = Event()
        self._port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it listens, and listens again after a restart."""
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._port}"

    def counts(self) -> Counter[str]:
        """Count the indexed events by id."""
        with self._lock:
            return Counter(event.id for event in self.events)

    def start(self) -> None:
        """Listen; the port is the one from before, if there was one."""
        self._closing.clear()
        context = None
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._certificate)
        self._server = Server(self._port, self.answer, self.largest_bytes, context)
        self._port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, args=(0.01,), name="hec", daemon=True).start()

    def stop(self) -> None:
        """Hang up on everybody and forget every channel, as a restart of Splunk does; what is indexed stays."""
        server, self._server = self._server, None
        if server is None:
            return
        self._closing.set()
        server.shutdown()
        server.hang_up()
        server.server_close()
        self._channels.clear()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def _fault(self, path: str) -> Fault | None:
        """Take the next fault of a path off the list."""
        with self._lock:
            for at, fault in enumerate(self.faults):
                if fault.path == path:
                    self.faults[at : at + 1] = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                    return fault
        return None

    def answer(self, request: HecRequest, body: bytes | None, method: str) -> Reply:
        """Answer as Splunk does, or as a fault says."""
        with self._lock:
            self.requests.append(request)
        if body is None:
            return Reply(413, b"Content-Length too large", headers={"Connection": "close"})
        kind = _kind(urlsplit(request.path).path)
        if not kind:
            return Reply(404, b"not here")
        fault = self._fault(kind) or Fault(path="event")
        if fault.stall_s:
            self._closing.wait(fault.stall_s)
        told = fault.code is not None or fault.status is not None or fault.hang_up
        if told and not fault.taken and fault.invalid is None:
            return _told(fault)
        reply = {"event": self._events, "ack": self._acks, "health": self._health}[kind](request, body, method, fault)
        reply = _told(fault) if told else reply
        return reply._replace(headers={"Set-Cookie": self.cookie, **reply.headers}) if self.cookie else reply

    def _health(self, request: HecRequest, _body: bytes, _method: str, _fault: Fault) -> Reply:
        token = self.tokens.get(request.headers.get("authorization", "").removeprefix("Splunk "))
        if "authorization" in request.headers and token is None:
            return said(21)
        return said(17 if token is None or token.enabled else 22)

    def _events(self, request: HecRequest, body: bytes, method: str, fault: Fault) -> Reply:
        name, channel, refused = self._admit(request, method)
        if refused is not None:
            return said(refused)
        encoding = request.headers.get("content-encoding", "")
        if encoding not in ("", "gzip"):
            return Reply(415, b"unsupported encoding")
        try:
            plain = inflated(body) if encoding else body
        except (OSError, zlib.error):
            return said(6)
        return self._index(parse(plain, name, self.tokens[name], fault.invalid, self.clock()), name, channel, fault)

    def _index(self, found: Parsed, name: str, channel: str, fault: Fault) -> Reply:
        events, refused, number = found
        with self._lock:
            if fault.loses != "events":
                self.events += events
            if refused is not None:
                return said(refused, **({} if number is None else {"invalid-event-number": number}))
            if fault.invalid is not None:
                return said(6)
            if not self.tokens[name].acknowledges:
                return said(0)
            known = self._channels.setdefault(channel, _Channel(self.first_ack))
            return said(0, ackId=known.give(self.polls, self.clock() + self.ack_s, lost=bool(fault.loses)))

    def _acks(self, request: HecRequest, body: bytes, method: str, _fault: Fault) -> Reply:
        name, channel, refused = self._admit(request, method)
        if refused is None and not self.tokens[name].acknowledges:
            refused = 14
        try:
            asked = [int(ack) for ack in json.loads(body)["acks"]]
        except (ValueError, KeyError, TypeError):
            refused = refused or 6
        if refused is not None:
            return said(refused)
        with self._lock:
            known = self._channels.get(channel, _Channel(0))
            return Reply(
                200, json.dumps({"acks": {str(ack): known.ask(ack, self.clock()) for ack in asked}}).encode(), "application/json"
            )

    def _admit(self, request: HecRequest, method: str) -> tuple[str, str, int | None]:
        """Return the names of token and channel, and the code with which the request is refused."""
        name, refused = self._token(request, method)
        if refused is not None:
            return name, "", refused
        channel, refused = self._channel(request, needed=self.tokens[name].acknowledges)
        return name, channel, refused

    def _token(self, request: HecRequest, method: str) -> tuple[str, int | None]:
        """Return the name of the request's token, or the code with which it is refused."""
        if method != "POST":
            return "", 5
        if "token" in parse_qs(urlsplit(request.path).query):
            return "", 16
        given = request.headers.get("authorization", "")
        scheme, _, name = given.partition(" ")
        if not given:
            return "", 2
        if scheme != "Splunk" or not name:
            return "", 3
        if name not in self.tokens:
            return "", 4
        return name, None if self.tokens[name].enabled else 1

    def _channel(self, request: HecRequest, *, needed: bool) -> tuple[str, int | None]:
        query = parse_qs(urlsplit(request.path).query)
        channel = request.headers.get("x-splunk-request-channel", query.get("channel", [""])[0])
        if not channel:
            return "", 10 if needed else None
        return channel, None if _GUID.fullmatch(channel) else 11


class _Channel:
    """Acknowledgements of one channel: how often each must still be asked for, and from when on; one that was read as true is forgotten."""

    def __init__(self, first: int) -> None:
        self._next = first
        self._left: dict[int, int] = {}
        self._due: dict[int, float] = {}

    def give(self, polls: int, due: float, *, lost: bool) -> int:
        ack, self._next = self._next, self._next + 1
        if not lost:
            self._left[ack], self._due[ack] = polls, due
        return ack

    def ask(self, ack: int, now: float) -> bool:
        if ack not in self._left:
            return False
        self._left[ack] -= 1
        if self._left[ack] > 0 or now < self._due[ack]:
            return False
        del self._left[ack], self._due[ack]
        return True


def _kind(path: str) -> Literal["", "event", "ack", "health"]:
    if path in _EVENT_PATHS:
        return "event"
    if path in _HEALTH_PATHS:
        return "health"
    return "ack" if path == "/services/collector/ack" else ""


def _told(fault: Fault) -> Reply:
    if fault.hang_up:
        return Reply(0)
    if fault.code is None:
        return Reply(fault.status or 500, fault.body, fault.content_type, fault.headers)
    more = {} if fault.invalid is None else {"invalid-event-number": fault.invalid}
    return said(fault.code, **more)._replace(headers=fault.headers)
