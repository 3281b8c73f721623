"""The relay hands requests on as they are, and notes what the server has taken, when it has said so."""

from __future__ import annotations

import gzip
import http.client
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from spikebridge.bench.live.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW_S = 0.05


class Bulk(BaseHTTPRequestHandler):
    """Takes every document but those of the device `refused`, after a while."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer as a search server does."""
        body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
        documents = [json.loads(line) for line in body.splitlines()[1::2]]
        items = [{"create": {"status": 400 if one["host"]["id"] == "refused" else 201}} for one in documents]
        time.sleep(SLOW_S)
        answer = json.dumps({"errors": False, "items": items}).encode()
        self.send_response(200)
        self.send_header("content-type", self.headers["content-type"])
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """Start the server that is relayed to."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Bulk) as made:
        made.daemon_threads = True
        thread = Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


def test_a_document_is_answered_when_the_server_has_taken_it(server: str) -> None:
    """Not before, not when it is refused; and the answer comes back whole."""
    lines = [
        line
        for device in ("d1", "refused")
        for line in ({"create": {"_index": "i"}}, {"host": {"id": device}, "spike": {"neurons": [{"layer": "0", "neuron": 7}]}})
    ]
    body = gzip.compress("".join(f"{json.dumps(line)}\n" for line in lines).encode())
    with Relay(server) as relay:
        to = urlsplit(relay.url)
        connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=60)
        for _ in range(2):
            sent_ns = time.time_ns()
            connection.request(
                "POST", "/_bulk?timeout=1s", body, {"content-encoding": "gzip", "content-type": "application/x-ndjson"}
            )
            answer = connection.getresponse()
            assert answer.getheader("content-type") == "application/x-ndjson"
            assert [item["create"]["status"] for item in json.loads(answer.read())["items"]] == [201, 400]
            back_ns = time.time_ns()
            first_ns = relay_first(relay)
            assert set(relay.answered) == {("d1", "7")}
            assert first_ns <= back_ns
        connection.close()
    assert first_ns <= sent_ns, "the first answer counts, not the repeat"


def relay_first(relay: Relay) -> int:
    """Wait until the note is made: that is after the answer went back."""
    end = time.monotonic() + 60
    while ("d1", "7") not in relay.answered and time.monotonic() < end:
        time.sleep(0.005)
    return relay.answered["d1", "7"]
