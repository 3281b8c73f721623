"""What the live tests start is fetched as it was pinned, says why it failed, and never outlives them."""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from tests.live.servers import fetch
from tests.live.servers.fetch import WrongContent, fetched
from tests.live.servers.limit import own_limit
from tests.live.servers.missing import Missing, needed
from tests.live.servers.process import Server, ServerFailed, free_ports, is_listening, java
from tests.live.servers.search_home import completed
from tests.live.servers.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

JAR = b"a program" * 10_000
SHA256 = hashlib.sha256(JAR).hexdigest()
COORDINATE = "org.example.tools:hammer:1.2:zip:linux"
PATH = "/maven/org/example/tools/hammer/1.2/hammer-1.2-linux.zip"
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


class Registry(ThreadingHTTPServer):
    """A Maven repository with one file in it."""

    daemon_threads = True
    asked: list[str]


class Answer(BaseHTTPRequestHandler):
    """The file, and 404 for all else."""

    server: Registry

    def do_GET(self) -> None:
        """Give it."""
        self.server.asked.append(self.path)
        self.send_response(200 if self.path == PATH else 404)
        self.end_headers()
        self.wfile.write(JAR if self.path == PATH else b"")

    def do_HEAD(self) -> None:
        """Be there."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Start a repository on loopback, by TLS, the only one that is known; no cache from before, no mvn."""
    with needed():
        authority = Authority(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server_cert, authority.server_key)
    with Registry(("127.0.0.1", 0), Answer) as server:
        server.asked = []
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("SPIKEBRIDGE_MAVEN", f"https://localhost:{server.server_port}/maven/")
        monkeypatch.setenv("SPIKEBRIDGE_CACHE", str(tmp_path / "cache"))
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_downloaded_once_however_many_want_it(registry: Registry) -> None:
    """Eight at the same time get the same file; one that was damaged since is fetched anew."""
    with ThreadPoolExecutor(8) as pool:
        [path] = set(pool.map(lambda _: fetched(COORDINATE, SHA256), range(8)))
    assert path.read_bytes() == JAR
    assert registry.asked == [PATH]
    path.write_bytes(b"damaged")
    assert fetched(COORDINATE, SHA256).read_bytes() == JAR
    assert registry.asked == [PATH, PATH]


def test_what_is_not_what_was_pinned_is_refused_and_not_kept(registry: Registry) -> None:
    """Whether other bytes or too many of them; and that is never a reason to skip a test."""
    with pytest.raises(WrongContent, match=f"expected the SHA-256 {'0' * 64}, found {SHA256}"):
        fetched(COORDINATE, "0" * 64)
    with pytest.raises(WrongContent, match="expected at most 1000 bytes, found more"):
        fetched(COORDINATE, SHA256, limit_bytes=1_000)
    assert not [path for path in fetch.cache().rglob("*") if path.is_file() and path.name != ".lock"]


def test_what_nobody_has_is_missing_with_the_reason(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's machine skips the test, CI fails it."""
    with pytest.raises(Missing, match="localhost doesn't give it: HTTP Error 404"):
        fetched("org.example:saw:1", SHA256)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs Java 999 or newer, found"), needed():
        java(999)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="in CI none may be skipped: needs Java 999"), needed():
        java(999)


def left_s() -> float:
    """Return after how many seconds this test would be ended."""
    return signal.getitimer(signal.ITIMER_REAL)[0]


def test_what_is_fetched_built_or_started_does_not_count_against_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is put off meanwhile by the limit of that, one within the other, and is then as near as it was."""
    monkeypatch.setenv("SPIKEBRIDGE_CACHE", str(tmp_path))
    server = Server("sleeps", SLEEP, tmp_path)
    at_first = left_s()
    seen: list[float] = []

    def up() -> bool:
        seen.append(left_s())
        return "up" in server.tail()

    def build(folder: Path) -> None:
        folder.mkdir()
        seen.append(left_s())
        server.start(up, deadline_s=1_000)
        server.kill()

    completed("anything", [], build)
    assert 0 < at_first < seen[0] < seen[1]
    assert 0 < left_s() <= at_first
    with pytest.raises(ZeroDivisionError), own_limit(1_000):
        seen.append(1 / 0)
    assert 0 < left_s() <= at_first


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    """The end of its log is in the error, and nothing is left running."""
    dies = Server("dies", [sys.executable, "-c", "import sys; print('no port'); sys.exit(3)"], tmp_path)
    with pytest.raises(ServerFailed, match=r"dies ended with code 3 before it was ready(.|\n)*no port"):
        dies.start(lambda: False)
    hangs = Server("hangs", SLEEP, tmp_path)
    hangs.start(lambda: "up" in hangs.tail())
    with pytest.raises(ServerFailed, match=r"hangs wasn't ready after 0\.5 s(.|\n)*up"):
        hangs.await_ready(lambda: is_listening(free_ports(1)[0]), 0.5)
    hangs.kill()
    with pytest.raises(ServerFailed, match=r"hangs wasn't ready after 0\.5 s"):
        hangs.start(lambda: False, deadline_s=0.5)
    assert not hangs.running


def test_a_frozen_server_is_thawed_and_stopped(tmp_path: Path) -> None:
    """SIGTERM waits for SIGCONT; one that ignores SIGTERM is killed."""
    server = Server("sleeps", SLEEP, tmp_path)
    server.start(lambda: "up" in server.tail())
    server.freeze()
    assert server.frozen
    server.thaw()
    assert server.running
    server.freeze()
    server.stop()
    assert not server.running
    deaf = Server("deaf", [sys.executable, "-c", f"import signal; signal.signal(15, signal.SIG_IGN); {SLEEP[2]}"], tmp_path)
    deaf.start(lambda: "up" in deaf.tail())
    deaf.stop(grace_s=0.5)
    assert not deaf.running


STARTS_AND_DIES = """
import os, sys
from pathlib import Path
from tests.live.servers.process import Server
shell = Server("shell", ["sh", "-c", "sleep 600 & echo $!; wait"], Path(sys.argv[1]))
shell.start(lambda: shell.tail().endswith("\\n"))
os.kill(os.getpid(), 9)
"""


def test_no_server_outlives_tests_that_were_killed(tmp_path: Path) -> None:
    """Kill -9 of the tests leaves neither what they started nor what that started."""
    root = Path(__file__).parents[2]
    died = subprocess.run([sys.executable, "-c", STARTS_AND_DIES, tmp_path], check=False, cwd=root, timeout=30)
    assert died.returncode == -signal.SIGKILL
    grandchild = int((tmp_path / "shell.log").read_text(encoding="ascii"))
    end = time.monotonic() + 10
    while is_there(grandchild):
        assert time.monotonic() < end, f"process {grandchild} is still there"
        time.sleep(0.05)


def is_there(pid: int) -> bool:
    """Whether a process lives; one that waits to be reaped doesn't."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
