"""The peers as processes: found where the operator says, or on PATH; one that isn't there is not measured, and that is said."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.bench.live.idioms import Input, logprep, rsyslog
from spikebridge.bench.live.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.bench.live.load import Row

LOGPREP_CLASSIC, LOGPREP_NG, RSYSLOG = "logprep", "logprep-ng", "rsyslogd"


class Peer(NamedTuple):
    """A program that carries out the same mapping: its files, and how it is called in their directory."""

    name: str
    program: str
    version: str
    files: Callable[[list[Row], Input, Path, Path], dict[str, str]]
    arguments: tuple[str, ...]

    def prepare(self, directory: Path, rows: list[Row], source: Input) -> Prepared:
        """Write its files."""
        directory.mkdir()
        output = directory / "out.jsonl"
        for name, text in self.files(rows, source, output, directory).items():
            (directory / name).write_text(text)
        return Prepared(self, directory, output)


class Prepared(NamedTuple):
    """A peer with its files, started as often as wished."""

    peer: Peer
    directory: Path
    output: Path

    def start(self, cores: Sequence[int] = ()) -> Process:
        """Start it; a process number that a killed one left behind would keep rsyslog from it."""
        (self.directory / "pid").unlink(missing_ok=True)
        return Process(self.peer.name, [self.peer.program, *self.peer.arguments], self.directory, cores)


def found(logprep_bin: Path | None) -> tuple[list[Peer], list[str]]:
    """Return the peers that are installed, and why the others are not measured."""
    peers: list[Peer] = []
    missing: list[str] = []
    places = {
        LOGPREP_NG: (_program(LOGPREP_NG, logprep_bin), logprep, ("run", "logprep.yml"), "pip install logprep==21.1.0"),
        LOGPREP_CLASSIC: (_program(LOGPREP_CLASSIC, logprep_bin), logprep, ("run", "logprep.yml"), "pip install logprep==21.1.0"),
        RSYSLOG: (
            _program(RSYSLOG, None),
            rsyslog,
            ("-n", "-f", "rsyslog.conf", "-i", "pid"),
            "apt install rsyslog rsyslog-kafka",
        ),
    }
    for name, (program, files, arguments, how) in places.items():
        if program:
            peers.append(Peer(name, program, _version(name, program), files, arguments))
        else:
            missing.append(f"not measured: {name} is not installed ({how})")
    return peers, missing


def _program(name: str, directory: Path | None) -> str:
    if directory is not None and (directory / name).exists():
        return str(directory / name)
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin" if name == RSYSLOG else None) or ""


def _version(name: str, program: str) -> str:
    """Ask Logprep's own interpreter, and rsyslog itself."""
    if name == RSYSLOG:
        command = [program, "-v"]
    else:
        command = [
            str(Path(program).with_name("python")),
            "-c",
            "from importlib.metadata import version as v; print(v('logprep'))",
        ]
    told = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)  # noqa: S603 -- what will be measured
    words = told.stdout.split()
    return words[1].rstrip(",") if name == RSYSLOG and len(words) > 1 else "".join(words[:1])
