"""
`python -m tests.live.bench [ROW ...] [--size X] [--repeats N] [--json]`: starts the servers, fetches Logprep, and runs `spikebridge bench live`.

The broker and Elasticsearch share the cores that no single process is measured on. Logprep goes into an environment of its own in the cache;
rsyslog is a package of the distribution, measured where it is installed.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import venv
from contextlib import ExitStack
from pathlib import Path

from tests.live.search_places import install_templates
from tests.live.servers.elasticsearch import NEWEST, Elasticsearch
from tests.live.servers.fetch import cache
from tests.live.servers.kafka import Cluster
from tests.live.servers.missing import Missing

from spikebridge.bench.live.rows import NEED_ELASTICSEARCH, ROWS

LOGPREP = "logprep==21.1.0"
CORE = 0
GATHER_S = 5.0
"""Two processes that start together share the work from its beginning."""

_WITH_VALUE = ("--size", "--repeats", "--core", "--logprep")


def logprep() -> Path:
    """Return the programs of Logprep, installed once; `Missing` where the index isn't in reach."""
    home = cache() / LOGPREP.replace("==", "-")
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "made").exists():
            venv.create(home, clear=True, with_pip=True)
            done = subprocess.run([home / "bin/pip", "install", "-q", LOGPREP], check=False, capture_output=True, text=True)
            if done.returncode:
                raise Missing(f"{LOGPREP} can't be installed: {done.stderr.strip()[-500:]}")
            (home / "made").touch()
    return home / "bin"


def wanted(arguments: list[str]) -> list[str]:
    """Return the rows that are named, all of them by default."""
    values = {at + 1 for at, word in enumerate(arguments) if word in _WITH_VALUE}
    return [word for at, word in enumerate(arguments) if at not in values and not word.startswith("-")] or list(ROWS)


def main(arguments: list[str]) -> int:
    """Start what the rows need, and measure."""
    rows = wanted(arguments)
    command = [sys.executable, "-m", "spikebridge", "bench", "live", *arguments]
    cores = os.sched_getaffinity(0)
    with ExitStack() as running:
        directory = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bench-servers-")))
        # Servers inherit the cores of whoever starts them.
        os.sched_setaffinity(0, (cores - {CORE}) or cores)
        cluster = running.enter_context(Cluster(_made(directory / "kafka"), gather_s=GATHER_S))
        command += ["--kafka", cluster.bootstrap()]
        if NEED_ELASTICSEARCH.intersection(rows):
            server = running.enter_context(Elasticsearch(NEWEST))
            install_templates(server)
            command += ["--elasticsearch", server.url]
        os.sched_setaffinity(0, cores)
        try:
            command += ["--logprep", str(logprep())]
        except Missing as reason:
            sys.stderr.write(f"{reason}\n")
        return subprocess.run(command, check=False).returncode


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
