"""
/metrics, /livez and /readyz over HTTP: for Prometheus, for whoever restarts and routes.

`/livez` answers as long as the process does. `/readyz` is 200 when nothing is wrong, otherwise 503 with one line for each thing that is.
Few connections at a time, each with a time limit: it is meant for the loopback address or a closed network.
"""

from __future__ import annotations

import logging
import socket
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING

from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikebridge.metrics import Metrics

MAX_CONNECTIONS = 8
SECONDS_PER_REQUEST = 5
POLL_S = 0.05
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_log = logging.getLogger(__name__)


class HealthServer:
    """
    Serves one process's numbers until closed.

    `troubles` says what keeps the process from being ready, one line each.
    """

    def __init__(self, listen: tuple[str, int], metrics: Metrics, troubles: Callable[[], list[str]]) -> None:
        """Bind the address; port 0 takes a free one. An address that can't be had is said at once."""
        try:
            self._server = _Server(listen, metrics, troubles)
        except OSError as error:
            raise SpikebridgeError(f"metrics.listen {listen[0]}:{listen[1]}: {error.strerror}") from error
        self._thread = Thread(target=self._server.serve_forever, args=(POLL_S,), name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._server.server_address[1]
        return port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, listen: tuple[str, int], metrics: Metrics, troubles: Callable[[], list[str]]) -> None:
        self.metrics = metrics
        self.troubles = troubles
        self._free = BoundedSemaphore(MAX_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        super().__init__(listen, _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Turn away what is too much; the caller tries again."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Answer, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 -- the shape that socketserver gives it
        """Say it in the journal, not on standard error: a caller that hangs up is no trouble of ours."""
        _log.debug("health: a request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = SECONDS_PER_REQUEST
    server_version = "spikebridge"
    sys_version = ""

    def do_GET(self) -> None:
        try:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._answer(200, self.server.metrics.render(), METRICS_TYPE)
                case "/livez":
                    self._answer(200, b"alive\n")
                case "/readyz":
                    troubles = self.server.troubles()
                    self._answer(503 if troubles else 200, "".join(f"{line}\n" for line in troubles or ["ready"]).encode())
                case _:
                    self._answer(404, b"/metrics, /livez, /readyz\n")
        except SpikebridgeError as error:
            self._answer(503, f"{error}\n".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that http.server gives it
        _log.debug("health: %s", format % args)

    def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
