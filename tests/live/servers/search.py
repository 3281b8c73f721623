"""What Elasticsearch and OpenSearch have in common as servers for tests: folders, configuration, one process, its end."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from tests.live.servers.process import Server, free_ports, is_listening, java
from tests.live.servers.search_client import ApiKey, Client, User
from tests.live.servers.search_home import link

if TYPE_CHECKING:
    from collections.abc import Mapping

START_S = 180.0
"""Ten seconds on a quiet machine, thirty on a busy one; the rest is patience."""

STOP_S = 30.0
UNPRIVILEGED = "nobody"
"""Neither server runs as root: when root tests, this account owns the folders and runs the program."""

JAVA = 21
"""What the newest of either needs; the older ones run on it too."""

FOLDER_OF_CERTIFICATES = "certs"
"""Below the configuration: Elasticsearch reads them nowhere else."""

_LINES_ABOUT_FILES = ("-Xlog:gc", "HeapDumpPath", "ErrorFile", "-Xms", "-Xmx")


class SearchServer(ABC):
    """
    One node on a loopback port, in a folder of its own that is removed at the end; a context manager.

    `settings` are added to the server's configuration file, under their dotted names.
    The port and the documents outlive `stop`, `kill` and `restart`.
    """

    product: ClassVar[str]
    variables: ClassVar[str]
    """How the names of its environment variables begin."""

    def __init__(self, version: str, settings: Mapping[str, object] | None = None, *, secured: bool = False) -> None:
        """Start nothing yet; `secured` asks for TLS and users."""
        if version not in (known := pinned_versions(self.product)):
            raise ValueError(f"{self.product} {version}: expected a version with pins, {' or '.join(known)}")
        self.version = version
        self.secured = secured
        self.settings = dict(settings or {})
        self.ca: Path | None = None
        self.administrator = User("administrator", secrets.token_urlsafe(24)) if secured else None
        self._port, self._transport_port = free_ports(2)
        self._folder = Path()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.secured else 'http'}://127.0.0.1:{self._port}"

    @property
    def admin(self) -> Client:
        """A client that may do everything."""
        return self.client(self.administrator)

    @property
    def process(self) -> Server:
        """The process, to freeze and thaw it, and to read its log."""
        assert self._server is not None, "the server was never started"
        return self._server

    def client(self, identity: User | ApiKey | None = None) -> Client:
        """Return a client under an identity of one's choice."""
        return Client(self.url, self.ca, identity)

    def __enter__(self) -> Self:
        """Prepare the folder and start."""
        self._folder = Path(tempfile.mkdtemp(prefix=f"{self.product}-"))
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and remove everything."""
        if self._server is not None:
            self._server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start with the data that is there, and return when documents can be written."""
        self._write_settings()
        if os.geteuid() == 0:
            self._give_away()
        self.process.start(self._is_ready, START_S)

    def stop(self) -> None:
        """End it as its operator would."""
        self.process.stop(STOP_S)

    def kill(self) -> None:
        """End it as a power cut would, and return when its port is free."""
        self.process.kill()
        while is_listening(self._port):  # the program is a child of its launcher, and may outlive it for a moment
            time.sleep(0.01)

    def restart(self, settings: Mapping[str, object] | None = None) -> None:
        """Stop and start again, with other settings if some are given."""
        self.stop()
        self.settings = self.settings if settings is None else dict(settings)
        self.start()

    @abstractmethod
    def user(self, role: Mapping[str, object]) -> User:
        """Make a user who has one role: the body of the product's own request for roles."""

    @abstractmethod
    def _home(self) -> Path:
        """Return the folder in the cache with everything that the program needs and doesn't write to."""

    @abstractmethod
    def _configure(self, conf: Path) -> dict[str, object]:
        """Write what else is wanted into the folder of the configuration, and return the settings that belong to it."""

    def _prepare(self) -> None:
        home, conf = self._folder / "home", self._folder / "conf"
        link(self._home(), home)
        shutil.copytree(home / "config", conf)
        for name in ("data", "logs", "tmp"):
            (self._folder / name).mkdir()
        options = [
            line
            for line in (conf / "jvm.options").read_text().splitlines()
            if not any(part in line for part in _LINES_ABOUT_FILES)
        ]
        (conf / "jvm.options").write_text("\n".join([*options, "-Xms256m", "-Xmx512m", ""]))
        self._own = self._common() | self._configure(conf)
        java_home = java(JAVA, full_jdk=True)
        variables = {"JAVA_HOME": java_home, "PATH_CONF": conf, "TMPDIR": self._folder / "tmp"}
        self._server = Server(
            self.product,
            [home / "bin" / self.product],
            self._folder,
            env={f"{self.variables}_{name}": str(value) for name, value in variables.items()},
            user=UNPRIVILEGED if os.geteuid() == 0 else None,
        )

    def _common(self) -> dict[str, object]:
        return {
            "cluster.name": "lab",
            "node.name": "node",
            "path.data": str(self._folder / "data"),
            "path.logs": str(self._folder / "logs"),
            "network.host": "127.0.0.1",
            "http.port": self._port,
            "transport.port": self._transport_port,
            "discovery.type": "single-node",
            # a machine whose disk is nearly full still runs the tests
            "cluster.routing.allocation.disk.threshold_enabled": False,
        }

    def _write_settings(self) -> None:
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in (self._own | self.settings).items()]
        (self._folder / "conf" / f"{self.product}.yml").write_text("".join(lines))

    def _give_away(self) -> None:
        """Let the unprivileged account own what the server writes to; the program's files are shared with the cache and stay ours."""
        shutil.chown(self._folder, UNPRIVILEGED)
        for name in ("conf", "data", "logs", "tmp"):
            for folder, _, files in os.walk(self._folder / name):
                for path in (folder, *(f"{folder}/{file}" for file in files)):
                    shutil.chown(path, UNPRIVILEGED)

    def _is_ready(self) -> bool:
        return self.admin.get("/_cluster/health?wait_for_status=yellow&timeout=1s").status == 200


def pinned_versions(product: str) -> list[str]:
    """Return the versions that `pins/` has files for."""
    return sorted(path.stem.removeprefix(f"{product}-") for path in Path(__file__).with_name("pins").glob(f"{product}-*.json"))


def run(server: SearchServer) -> None:
    """Start a server by hand, say how to reach it, and keep it until Ctrl-C."""
    with server, contextlib.suppress(KeyboardInterrupt):
        lines = [f"{server.product} {server.version}: {server.url}"]
        if server.administrator:
            lines.append(f"user {server.administrator.name}, password {server.administrator.password}, authority {server.ca}")
        sys.stdout.write("\n".join([*lines, "Ctrl-C ends it and removes its data", ""]))
        sys.stdout.flush()
        signal.pause()
