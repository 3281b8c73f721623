"""What is measured, as a process: on chosen cores, with a log, its CPU time and memory, ended or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_PAUSE_S = 0.05
_GRACE_S = 15.0
_TAIL_BYTES = 2_000
_TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """One contestant; `cores` are those that it may use, () for all."""

    def __init__(self, name: str, command: Sequence[str | Path], directory: Path, cores: Sequence[int] = ()) -> None:
        """Start it."""
        self.name = name
        self._log = directory / f"{name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- ourselves, or a peer that the operator named
                [str(word) for word in command],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if cores:
            os.sched_setaffinity(self._process.pid, cores)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def cpu_s(self) -> float:
        """Return the CPU time of the process and its children so far."""
        return sum(_cpu_s(pid) for pid in self._pids())

    def peak_mb(self) -> float:
        """Return the most that the process and each of its children have held, summed."""
        return sum(_peak_mb(pid) for pid in self._pids())

    def kill(self) -> None:
        """Kill -9, children included."""
        if self.running:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it as its operator would, by force if that takes long."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def complaint(self) -> str:
        """Return the end of its log."""
        return self._log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")

    def lines(self) -> list[str]:
        """Return the whole lines of its log."""
        return self._log.read_text(errors="replace").rpartition("\n")[0].splitlines()

    def __enter__(self) -> Self:
        """Stop at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()
        if self.running or _group_left(self._process.pid):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _pids(self) -> list[int]:
        """Return the process and its descendants: all that is in its session."""
        return [pid for pid in _numbers() if _session(pid) == self._process.pid]


class Sample(NamedTuple):
    """How much was done at a time, and the CPU time spent until then."""

    at: float
    done: int
    cpu_s: float


class Watched(NamedTuple):
    """How a contestant went through a load."""

    samples: list[Sample]
    expected: int

    @property
    def rate(self) -> float:
        """Done per second, from the first twentieth to the end: neither the start nor the first fetch counts."""
        first, last = self._ends()
        return (last.done - first.done) / max(1e-9, last.at - first.at)

    @property
    def per_cpu_s(self) -> float:
        """Done per second of CPU in the same stretch."""
        first, last = self._ends()
        return (last.done - first.done) / max(1e-9, last.cpu_s - first.cpu_s)

    @property
    def seconds(self) -> float:
        """How long the stretch was."""
        first, last = self._ends()
        return last.at - first.at

    def _ends(self) -> tuple[Sample, Sample]:
        started = next(sample for sample in self.samples if sample.done >= max(1, self.expected // 20))
        return started, next(sample for sample in self.samples if sample.done >= self.expected)


def watch(what: Sequence[Process], done: Callable[[], int], expected: int, limit_s: float) -> Watched:
    """Look until all is done; `SpikebridgeError` with the process's own words when it ends before, or takes too long."""
    samples: list[Sample] = []
    end = time.monotonic() + limit_s
    while not samples or samples[-1].done < expected:
        if time.monotonic() > end or not all(process.running for process in what):
            words = "\n".join(process.complaint() for process in what)
            found = samples[-1].done if samples else 0
            raise SpikebridgeError(
                f"{what[0].name}: expected {expected:,} done within {limit_s:.0f} s, found {found:,}:\n{words}"
            )
        samples.append(Sample(time.perf_counter(), done(), sum(process.cpu_s() for process in what)))
        time.sleep(_PAUSE_S)
    return Watched(samples, expected)


class Lines:
    """Counts the whole lines of files that grow, reading only what is new."""

    def __init__(self, *paths: Path) -> None:
        """Count from the beginning; a file may come later."""
        self._paths = paths
        self._read = dict.fromkeys(paths, 0)
        self.count = 0

    def __call__(self) -> int:
        """Return how many there are."""
        for path in self._paths:
            if path.exists():
                with path.open("rb") as file:
                    file.seek(self._read[path])
                    data = file.read()
                self._read[path] += len(data)
                self.count += data.count(b"\n")
        return self.count


def _numbers() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 -- not files of anybody's


def _fields(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 -- not a file of anybody's
            return stat.read().rpartition(") ")[2].split()
    except OSError:
        return []


def _session(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[3]) if fields else -1


def _group_left(group: int) -> bool:
    return any(int(fields[2]) == group and fields[0] != "Z" for pid in _numbers() if (fields := _fields(pid)))


def _cpu_s(pid: int) -> float:
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _peak_mb(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123 -- not a file of anybody's
            return next((int(line.split()[1]) / 1e3 for line in status if line.startswith("VmHWM")), 0.0)
    except OSError:
        return 0.0
