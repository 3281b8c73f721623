"""
What running services say of themselves, for `spikebridge status`: the rest of that is in the spool.

Each set of stages has a file of its own, `status.ID.json`: several processes may share a data directory, each with stages of its own.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from spikebridge.canonical import content_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_decode = msgspec.json.Decoder


class StageStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One stage: what its last attempt failed with, "" after a success."""

    name: str
    error: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """
    A service, as it last said.

    `refused` are the problems of the newest edit of mappings and inventory; while there are any, an earlier revision is in force.
    `revision` is the one in force, None while no record was read.
    """

    pid: int
    started_ns: int
    running: bool
    version: str
    stages: list[StageStatus] = []
    revision: int | None = None
    refused: list[str] = []


_read = msgspec.json.Decoder(Status).decode


def write_status(directory: Path, stages: Sequence[str], status: Status) -> None:
    """Replace the file of these stages whole, and remove those of processes that ended; none need survive a power cut."""
    name = f"status.{content_id(*stages)[:16]}.json"
    taken = directory / f".{name}.{os.getpid()}.part"
    taken.write_bytes(msgspec.json.encode(status))
    taken.replace(directory / name)
    for path, other in _found(directory):
        if path.name != name and not other.running:
            with suppress(OSError):
                path.unlink()


def read_statuses(directory: Path) -> list[Status]:
    """Return what each service that runs said, the oldest first; while none runs, what the last one said."""
    found = sorted((status for _, status in _found(directory)), key=lambda status: status.started_ns)
    return [status for status in found if status.running] or found[-1:]


def read_status(directory: Path) -> Status | None:
    """Return what all services that run said, as one under the process of the oldest; None if there never was one."""
    statuses = read_statuses(directory)
    if not statuses:
        return None
    return msgspec.structs.replace(
        statuses[0],
        stages=list(chain.from_iterable(status.stages for status in statuses)),
        revision=max((status.revision for status in statuses if status.revision is not None), default=None),
        refused=list(dict.fromkeys(chain.from_iterable(status.refused for status in statuses))),
    )


def _found(directory: Path) -> Iterator[tuple[Path, Status]]:
    """Yield what is there; one that died without a word isn't running."""
    for path in directory.glob("status*.json"):
        try:
            status = _read(path.read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            continue
        running = status.running and _alive(status.pid)
        yield path, msgspec.structs.replace(status, running=running)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
