"""Where spikes go that a command appends: the spool of a directory, a topic of the configured log on Kafka, a file of frames."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self, cast

from spikebridge.cli.arguments import configuration
from spikebridge.errors import LogFull, LogUnavailable, SpikebridgeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack
    from pathlib import Path
    from threading import Event

    from spikebridge.logs.kafka import Settings
    from spikebridge.logs.spool import Spool

AT_ONCE = 1_000
LONGEST_PAUSE_S = 30.0


class Topic(NamedTuple):
    """A spike topic; `append` returns once all are acknowledged."""

    name: str
    append: Callable[[Sequence[bytes]], None]


def opened_spool(args: argparse.Namespace) -> Spool:
    """Open the spool that `--to`, `--data` or the configuration names; that of the configuration under its sizes."""
    from spikebridge.app.parts import open_spool
    from spikebridge.logs.spool import Spool

    if args.data and not args.to:
        return Spool(args.data)
    if not args.to:
        config = configuration(args, sinks=False)
        if config.source and config.source.type == "kafka":
            raise SpikebridgeError(
                f"--to: expected kafka:{config.source.name}, which the service reads, or spool:DIR, found nothing"
            )
        return open_spool(config)
    kind, _, place = args.to.partition(":")
    if kind != "spool" or not place:
        raise SpikebridgeError(f'--to: expected spool:DIR or kafka:NAME, found "{args.to}"')
    return Spool(place)


def kafka_topic(stack: ExitStack, args: argparse.Namespace, name: str) -> Topic:
    """Open a spike topic of the configured log, to which each record is appended under the key of its device."""
    from functools import partial

    from spikebridge.app.spikes import append
    from spikebridge.logs.kafka.settings import client_of

    settings = _kafka_log(args, name)
    if len(settings.topics) != 1 and not args.topic:
        raise SpikebridgeError("--topic: the log has several topics; name the one to append to")
    topic = args.topic or settings.topics[0]
    if topic not in settings.topics and not re.fullmatch(settings.matching, topic):
        known, whose = ", ".join(settings.topics) or settings.pattern, settings.whose(topic)
        found = f'"{topic}", {whose}' if whose else f'"{topic}"'
        raise SpikebridgeError(f"--topic: expected one that the service reads ({known}), found {found}")
    producer = client_of(settings).producer()
    stack.callback(producer.close)
    return Topic(topic, partial(append, producer, topic))


def _kafka_log(args: argparse.Namespace, name: str) -> Settings:
    source = configuration(args, sinks=False).source
    if source is None or source.name != name or source.type != "kafka":
        known = f'the configuration has "{source.name}"' if source else "the configuration has none"
        raise SpikebridgeError(f'--to: expected the name of a Kafka log, found "{name}"; {known}')
    return cast("Settings", source.settings)


class Patient:
    """A log that is waited for while it is away or full; whoever ends the command ends the wait, and nothing more is appended."""

    def __init__(self, append: Callable[[Sequence[bytes]], object], stop: Event, tell: Callable[[str], None]) -> None:
        """Append with `append`."""
        self._append = append
        self._stop = stop
        self._tell = tell

    def append(self, frames: Sequence[bytes]) -> None:
        """Return once they are in the log."""
        for first in range(0, len(frames), AT_ONCE):
            self._one(frames[first : first + AT_ONCE])

    def place(self) -> tuple[str, int]:
        """Return nothing: others append too."""
        return "", 0

    def _one(self, frames: Sequence[bytes]) -> None:
        pause_s = 1.0
        while True:
            try:
                self._append(frames)
            except (LogUnavailable, LogFull) as error:
                self._tell(f"waits: {error}")
                if self._stop.wait(pause_s):
                    raise
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                return


class FrameFile:
    """A file of frames that nobody else writes to; what was written behind the last save is cut off, and a new one that an error left empty goes."""

    def __init__(self, path: Path, saved: str, written: int) -> None:
        """Go on with the file that was `saved` with a length, or begin a new one."""
        self._name = os.fsencode(path.resolve()).decode(errors="backslashreplace")
        known = written if saved == self._name else 0
        size = path.stat().st_size if path.exists() else 0
        if size < known or (size and not known and saved != self._name):
            ours = f" or the {known:,} bytes that are known of it" if known else ", since --state knows nothing of this one"
            raise SpikebridgeError(f"--to {path}: expected a new file{ours}; found {size:,} bytes")
        self._path, self._new = path, not path.exists()
        self._file = path.open("ab")
        self._file.truncate(known)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, error: object, *_: object) -> None:
        """Close it."""
        empty = not os.fstat(self._file.fileno()).st_size
        self._file.close()
        if error and empty and self._new:
            self._path.unlink(missing_ok=True)

    def append(self, frames: Sequence[bytes]) -> None:
        """Return once they are on the disk."""
        self._file.write(b"".join(frames))
        self._file.flush()
        os.fsync(self._file.fileno())

    def place(self) -> tuple[str, int]:
        """Return the file and its length."""
        return self._name, os.fstat(self._file.fileno()).st_size


class Output:
    """Standard output, or what stands in for it."""

    def __init__(self, stream: BinaryIO) -> None:
        """Write to a stream."""
        self._stream = stream

    def append(self, frames: Sequence[bytes]) -> None:
        """Return once they are handed over."""
        self._stream.write(b"".join(frames))
        self._stream.flush()

    def place(self) -> tuple[str, int]:
        """Return nothing: what was handed over is gone."""
        return "", 0


class Nowhere:
    """Takes frames, and does nothing with them."""

    def append(self, frames: Sequence[bytes]) -> None:
        """Do nothing."""

    def place(self) -> tuple[str, int]:
        """Return nothing."""
        return "", 0
