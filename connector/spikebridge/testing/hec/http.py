"""HTTP for a collector: connections that can be hung up on, bounded requests, and whatever it answers."""

from __future__ import annotations

import socket
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from spikebridge.testing.hec.answers import Reply


class HecRequest(NamedTuple):
    """One request as it came, names of headers in lower case; `size` in bytes as sent."""

    path: str
    headers: dict[str, str]
    size: int


class Server(ThreadingHTTPServer):
    """Listens on loopback, and knows its connections, to hang up on them."""

    daemon_threads = True

    def __init__(
        self, port: int, answer: Callable[[HecRequest, bytes | None, str], Reply], largest_bytes: int, tls: ssl.SSLContext | None
    ) -> None:
        """Listen; `answer` is called from any thread with each request, its body (None: too large to be read) and its method."""
        self.answer = answer
        self.largest_bytes = largest_bytes
        self._tls = tls
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; the handshake of TLS is left to the connection's own thread."""
        connection, address = super().get_request()
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection."""
        for connection in [*self._connections]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that don't trust us, or that go away, are what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name that the library calls it by
        """Say nothing."""

    def _handle(self) -> None:
        length = self.headers.get("Content-Length", "0")
        largest = self.server.largest_bytes
        size = int(length) if length.isascii() and length.isdigit() and len(length) <= len(str(largest)) else largest + 1
        body = self.rfile.read(size) if size <= largest else None
        self.close_connection = self.close_connection or body is None
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._reply(self.server.answer(HecRequest(self.path, headers, size), body, self.command))

    def _reply(self, reply: Reply) -> None:
        if not reply.status:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.content_type, "Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)
