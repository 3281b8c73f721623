"""Stands between our sink and Elasticsearch, and notes when each document was answered for: at the wire, not by our own word."""

from __future__ import annotations

import gzip
import http.client
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from spikebridge.bench.live.idioms import business_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

_MAX_BODY = 64 << 20
_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "host"})
_CREATED = range(200, 300)


class Relay:
    """
    Hands every request on, and the answer back.

    `answered` is when (wall clock, ns) the server had taken a document, by its business key; one that it refused isn't there.
    """

    def __init__(self, target: str) -> None:
        """Listen on a free loopback port."""
        self.answered: dict[tuple[str, str], int] = {}
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.target, self._server.note = urlsplit(target), self._note
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="relay", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _note(self, at_ns: int, body: bytes, answer: bytes) -> None:
        """Read, after the answer went back, what it was about: a bulk is an action and a document in turn."""
        documents = [json.loads(line) for line in body.split(b"\n")[1::2] if line]
        told = json.loads(answer)
        taken = [next(iter(item.values()))["status"] in _CREATED for item in told.get("items", [])]
        for document, good in zip(documents, taken or [not told.get("errors", True)] * len(documents), strict=False):
            if good:
                self.answered.setdefault(business_key(document), at_ns)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    target: SplitResult
    note: Callable[[int, bytes, bytes], None]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        """Open a connection of its own for each that comes in."""
        super().setup()
        self._onward = http.client.HTTPConnection(self.server.target.hostname or "", self.server.target.port, timeout=60)

    def finish(self) -> None:
        """Close both."""
        self._onward.close()
        super().finish()

    def _relay(self) -> None:
        length = int(self.headers.get("content-length", 0))
        if length > _MAX_BODY:
            self.send_error(413)
            return
        body = self.rfile.read(length)
        self._onward.request(
            self.command, self.path, body, {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        )
        answer = self._onward.getresponse()
        content = answer.read()
        at_ns = time.time_ns()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        if "_bulk" in self.path and answer.status == http.HTTPStatus.OK:
            self.server.note(
                at_ns, _plain(self.headers.get("content-encoding"), body), _plain(answer.getheader("content-encoding"), content)
            )

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _relay  # noqa: N815 -- http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _plain(encoding: str | None, body: bytes) -> bytes:
    return gzip.decompress(body) if encoding == "gzip" else body
