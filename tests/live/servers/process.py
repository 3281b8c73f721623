"""Real servers as processes: started with a log and a deadline, stopped, killed, frozen; none outlives the tests."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from tests.live.servers.limit import own_limit
from tests.live.servers.missing import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

GRACE_S = 10.0
"""From SIGTERM to SIGKILL."""

_PAUSE_S = 0.05
_KILLED_S = 60.0
_TAIL_BYTES = 4_000
# Below the ports that the kernel gives to outgoing connections, so that no client sits on a server's port while it is restarted;
# of two processes of tests each has its own.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = range(20_000 + _WORKER, 32_000, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
_given_ports: set[int] = set()


class ServerFailed(Exception):  # noqa: N818
    """A server ended, or wasn't ready in time; the text ends with the end of its log."""


class Server:
    """
    One program in a process group of its own, started again as often as wished; its output is appended to `log`.

    `user` is the account it runs under, for programs that refuse root.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """Start nothing yet; `directory` becomes the working directory and holds the log; `env` is added to ours."""
        self.name = name
        self.log = directory / f"{name}.log"
        self._command = [str(part) for part in command]
        self._directory = directory
        self._env = {**os.environ, **(env or {})}
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that was started, also the id of its group."""
        if self._process is None:
            raise ServerFailed(f"{self.name} isn't running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether it was stopped by `freeze` and not let go on."""
        return (
            self.running
            and Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(") ")[2][0] == "T"
        )

    def launch(self) -> None:
        """Start the process and don't wait for it; several servers of one cluster are ready only together."""
        if self.running:
            raise ServerFailed(f"{self.name} is running already, as process {self.pid}")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user,
                group=None if self._user is None else pwd.getpwnam(self._user).pw_gid,
                extra_groups=None if self._user is None else [],
            )
        _tell_keeper(f"+{self._process.pid}")

    def await_ready(self, ready: Callable[[], bool], deadline_s: float) -> None:
        """Ask `ready` until it says yes; an `OSError` from it is a no. Raises `ServerFailed` when the process ends or the time is up."""
        with own_limit(deadline_s):
            end = time.monotonic() + deadline_s
            while not _answers(ready):
                if not self.running:
                    raise ServerFailed(
                        f"{self.name} ended with {self.ending} before it was ready; the end of {self.log}:\n{self.tail()}"
                    )
                if time.monotonic() > end:
                    raise ServerFailed(f"{self.name} wasn't ready after {deadline_s:g} s; the end of {self.log}:\n{self.tail()}")
                time.sleep(_PAUSE_S)

    def start(self, ready: Callable[[], bool], deadline_s: float = 60.0) -> None:
        """Launch, and wait until `ready`; a server that fails to get there is killed."""
        self.launch()
        try:
            self.await_ready(ready, deadline_s)
        except BaseException:
            self.kill()
            raise

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End it by SIGTERM, by SIGKILL after `grace_s`; nothing if it isn't running."""
        stop_all([self], grace_s)

    def kill(self) -> None:
        """End the whole group as a power cut would: kill -9, and wait until it's gone."""
        self.signal(signal.SIGKILL)
        self.reap(_KILLED_S)

    def freeze(self) -> None:
        """Stop the group without a word to anyone (SIGSTOP): its connections stay open and silent. Returns when it has come to rest."""
        self.signal(signal.SIGSTOP)
        self.await_ready(lambda: self.frozen, GRACE_S)

    def thaw(self) -> None:
        """Let a frozen group go on."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the group, if it's there."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def reap(self, deadline_s: float = GRACE_S) -> bool:
        """Wait for the end, clear away what the process left of its group, and return whether it ended in time."""
        if self._process is None:
            return True
        try:
            self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        _tell_keeper(f"-{self._process.pid}")
        return True

    def tail(self) -> str:
        """Return the end of the log."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return log.read().decode(errors="replace")

    @property
    def ending(self) -> str:
        """How it ended, `code 0` or `signal 9`; "" if it didn't."""
        code = None if self._process is None else self._process.returncode
        if code is None:
            return ""
        return f"signal {-code}" if code < 0 else f"code {code}"


def stop_all(servers: Sequence[Server], grace_s: float = GRACE_S) -> None:
    """End several at once: members of a cluster that are ended one by one leave the last one waiting for the others."""
    running = [server for server in servers if server.running]
    for server in running:
        server.signal(signal.SIGTERM)
        server.thaw()  # a frozen process hears of SIGTERM only now
    end = time.monotonic() + grace_s
    for server in running:
        if not server.reap(max(0.0, end - time.monotonic())):
            server.kill()


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody uses, each given once in this process."""
    found: list[int] = []
    candidates = random.SystemRandom().sample(_PORTS, len(_PORTS))
    while len(found) < count:
        port = candidates.pop()
        if port not in _given_ports and _is_free(port):
            found.append(port)
            _given_ports.add(port)
    return found


def is_listening(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def java(minimum: int, *, full_jdk: bool = False) -> Path:
    """
    Return the home of the oldest Java here that is at least `minimum`; its program is `bin/java`.

    `full_jdk` asks for one with all modules, jlink among them. Looked for in JAVA_HOME, JAVA_HOME_*, PATH and /usr/lib/jvm.
    """
    fitting = sorted(
        (version, home) for home, (version, full) in _javas().items() if version >= minimum and (full or not full_jdk)
    )
    if not fitting:
        known = ", ".join(f"{version} in {home}" for home, (version, _) in _javas().items()) or "none"
        kind = "a full JDK" if full_jdk else "Java"
        raise Missing(f"needs {kind} {minimum} or newer, found {known}; install one, or set JAVA_HOME_{minimum} to its directory")
    return fitting[0][1]


@functools.cache
def _javas() -> dict[Path, tuple[int, bool]]:
    homes = [Path(home) for name, home in sorted(os.environ.items()) if name.startswith("JAVA_HOME") and home]
    on_path = shutil.which("java")
    programs = [home / "bin/java" for home in [*homes, *sorted(Path("/usr/lib/jvm").glob("*"))]]
    programs += [Path(on_path)] if on_path else []
    found = (_examine(program) for program in dict.fromkeys(program.resolve() for program in programs if program.is_file()))
    return {home: (version, full) for home, version, full in filter(None, found)}


def _examine(program: Path) -> tuple[Path, int, bool] | None:
    """Run it: a name proves nothing (a shim can exist and fail)."""
    try:
        shown = subprocess.run(
            [program, "-XshowSettings:properties", "--list-modules"], check=False, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = shown.stdout + shown.stderr
    home = re.search(r"^\s*java\.home = (.+)$", text, re.MULTILINE)
    version = re.search(r"^\s*java\.specification\.version = (\d+)$", text, re.MULTILINE)
    return (Path(home[1]), int(version[1]), "jdk.jlink@" in text) if home and version else None


def _answers(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_keeper_lock = Lock()


@functools.cache
def _keeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", Path(__file__).with_name("keeper.py")],
        stdin=subprocess.PIPE,
        start_new_session=True,
        bufsize=0,
    )


def _tell_keeper(line: str) -> None:
    with _keeper_lock:
        stdin = _keeper().stdin
        assert stdin is not None
        stdin.write(f"{line}\n".encode())
