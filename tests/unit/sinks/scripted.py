"""A real HTTP server on loopback that answers as it is told: for answers that no healthy server gives."""

from __future__ import annotations

import gzip
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    import ssl


class Request(NamedTuple):
    """What was asked; the body is unpacked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Scripted:
    """For a `with` block. `answers` are (status, content type, body), the last one for ever; `asked` is what came; `tls` makes it https."""

    def __init__(self, *answers: tuple[int, str, bytes], tls: ssl.SSLContext | None = None) -> None:
        """Listen on a free port."""
        self.answers = deque(answers)
        self.asked: list[Request] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                owner.asked.append(Request(self.command, self.path, headers, body))
                status, kind, answer = owner.answers[0] if len(owner.answers) == 1 else owner.answers.popleft()
                if not status:  # the connection ends without an answer
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_PUT = do_GET  # noqa: N815 -- the names that the base class looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name in the base class
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
