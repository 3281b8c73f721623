"""What a running service says of itself in `status.json`, for `spikebridge status`: the rest of that is in the spool."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
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


def write_status(directory: Path, status: Status) -> None:
    """Replace the file whole; it is a convenience and need not survive a power cut."""
    taken = directory / f".status.{os.getpid()}.part"
    taken.write_bytes(msgspec.json.encode(status))
    taken.replace(directory / "status.json")


def read_status(directory: Path) -> Status | None:
    """Return what the last service said, None if there never was one; one that died without a word isn't running."""
    try:
        status = msgspec.json.decode((directory / "status.json").read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError):
        return None
    if status.running and not _alive(status.pid):
        return msgspec.structs.replace(status, running=False)
    return status


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
