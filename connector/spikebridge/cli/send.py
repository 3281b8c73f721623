"""`spikebridge send`: frames or JSON lines into a log."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from spikebridge.cli.arguments import add_data
from spikebridge.cli.targets import kafka_topic, opened_spool
from spikebridge.cli.terminal import counted, print_json, printable
from spikebridge.cli.unmapped import Unmapped, unmapped
from spikebridge.cli.unread import unread_lines
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from spikebridge.logs.spool import Spool

NAME = "send"
HELP = "append frames or JSON lines to a spike log"
EXAMPLE = """
spikebridge send recording.spk --data data
sensor | spikebridge send - --to spool:data
spikebridge send today.jsonl --live --to spool:data
spikebridge send frames.spk --to kafka:plant --config spikebridge.yaml
"""

BATCH_RECORDS = 1_000
QUEUED_RECORDS = 64
"""A record has at most 1 MiB, so what is read ahead is bounded."""

CUT = "record: input data was truncated"

QUOTED = 40
"""So many bytes are shown of what is neither."""

TOLD = 10
"""So many faults are told; all are counted."""


class Value(NamedTuple):
    """One record of the source, and where it stands there: the number of its line, or the byte at which it begins."""

    place: int
    bytes: bytes


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for the source, the log, and whether it happens now."""
    parser.add_argument("source", metavar="FILE", help="frames or JSON lines, by its beginning; - is standard input")
    parser.add_argument(
        "--to",
        metavar="LOG",
        default="",
        help="spool:DIR or kafka:NAME (default: the spool of the configuration; one of Kafka must be named)",
    )
    parser.add_argument("--topic", default="", help="the topic, for a Kafka log that has several")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--live", action="store_true", help="it happens now (default for standard input)")
    when.add_argument(
        "--recording", action="store_true", help="it is the past: a log of its own, with its own times (default for a file)"
    )
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Append records as they are, unreadable ones among them too (they become dead letters); 1 when there were such, or ticks."""
    kind, _, name = args.to.partition(":")
    recording = args.recording or (args.source != "-" and not args.live and kind != "kafka")
    with ExitStack() as stack:
        stream = sys.stdin.buffer if args.source == "-" else stack.enter_context(Path(args.source).open("rb"))
        if args.source != "-" and stream.seekable():
            next(_values(stream, args.source), None)
            stream.seek(0)
        sent = stack.enter_context(_counting(args.source, stream))
        if kind == "kafka":
            if recording:
                raise SpikebridgeError(
                    "--recording: the past is read where it lies, from a spool; a topic takes what happens now"
                )
            log = _produce(stack, args, name, stream, sent)
        else:
            spool = stack.enter_context(opened_spool(args))
            sent.unmapped = unmapped(args, spool)
            log = _record(spool, stream, sent) if recording else _append(spool, stream, sent)
    _tell(sent, log, recording=recording, as_json=args.json)
    return int(bool(sent.ticks or sent.refused))


def _produce(stack: ExitStack, args: argparse.Namespace, name: str, stream: BinaryIO, sent: Sent) -> str:
    """Append to a spike topic of the configured log; return what it is called."""
    topic = kafka_topic(stack, args, name)
    for batch in _batches(stream, sent.source):
        topic.append(sent.keep(batch))
    return f"kafka topic {topic.name}"


def _append(spool: Spool, stream: BinaryIO, sent: Sent) -> str:
    for batch in _batches(stream, sent.source):
        kept = sent.keep(batch)
        if kept:
            spool.append(kept)
    return spool.id


def _record(spool: Spool, stream: BinaryIO, sent: Sent) -> str:
    """Take the source in as a log of its own: the same bytes are the same log, so sending them twice changes nothing."""
    with TemporaryDirectory(dir=spool.directory, prefix=".send-") as directory:
        path = Path(sent.source)
        if stream is sys.stdin.buffer:
            path = Path(directory) / sent.source
            with path.open("wb") as file:
                shutil.copyfileobj(stream, file)
        with path.open("rb") as again:
            for batch in _batches(again, sent.source):
                sent.keep(batch)
        recording = spool.add_recording(path)
        sent.known = recording.drained
        return recording.id


def _values(stream: BinaryIO, source: str) -> Iterator[Value]:
    """Yield the values of a source whose beginning is a frame's or that of JSON, else refuse it."""
    from spikebridge.spikes.files import read_values
    from spikebridge.spikes.frame import is_frame

    for count, (place, value) in enumerate(read_values(stream)):
        if not count and not is_frame(value) and value.lstrip()[:1] not in (b"{", b"["):
            begins = value[:QUOTED].decode(errors="backslashreplace")
            raise SpikebridgeError(
                f"{source}:{place}: expected frames, or lines of JSON that begin with {{ or [, found "
                f'"{printable(begins)}": nothing was sent; captures, tables and series are for `spikebridge sense`'
            )
        yield Value(place, value)


def _batches(stream: BinaryIO, source: str) -> Iterator[list[Value]]:
    """Cut the source into batches: what has come while the last one was written, so that a slow sender needn't wait for company."""
    queue: Queue[Value | None] = Queue(QUEUED_RECORDS)
    failures: list[Exception] = []

    def read() -> None:
        try:
            for value in _values(stream, source):
                queue.put(value)
        except Exception as error:  # noqa: BLE001 -- raised again below, in the thread that can answer for it
            failures.append(error)
        queue.put(None)

    Thread(target=read, name="source", daemon=True).start()
    found = queue.get()
    while found is not None:
        batch = [found]
        while len(batch) < BATCH_RECORDS and not queue.empty() and (found := queue.get()) is not None:
            batch.append(found)
        yield batch
        if found is not None:
            found = queue.get()
    if failures:
        raise failures[0]


class Sent:
    """
    What was sent so far: ticks are left out, they are the service's own; refused parts of records will be dead letters.

    `known` is a recording that was read before, `cut` a JSON text that goes on after the end of its line.
    """

    def __init__(self, source: str, moved: Callable[[int], None]) -> None:
        """Begin at nothing; `moved` hears how many bytes each batch had."""
        from spikebridge.spikes.unread import Unread

        self.source = source
        self.records = self.spikes = self.ticks = self.refused = 0
        self.known = self.cut = False
        self.unread = Unread()
        self.unmapped: Unmapped | None = None
        self._moved = moved

    def keep(self, values: list[Value]) -> list[bytes]:
        """Count a batch, tell its first faults, return what of it is to be sent."""
        from spikebridge.limits import Limits
        from spikebridge.spikes.decode import Decoder
        from spikebridge.spikes.names import Devices, Layers
        from spikebridge.spikes.record import Record

        kept = [value for value in values if not _is_tick(value.bytes)]
        records = [Record(place, 0, value) for place, value in kept]
        batch = Decoder(Devices(), Layers(), Limits().frame_ns).decode(records)
        for fault in batch.refused:
            self._fault(kept[fault.record].place, fault.reason)
            self.cut |= fault.reason == CUT
        for tick in values:
            if _is_tick(tick.bytes):
                self._fault(tick.place, "a tick: left out, the service makes them itself")
        for value in kept:
            self.unread.look(value.bytes)
        if self.unmapped and batch.spikes:
            self.unmapped.look(records)
        self.records += len(kept)
        self.ticks += len(values) - len(kept)
        self.refused += len(batch.refused)
        self.spikes += batch.spikes
        self._moved(sum(len(value.bytes) + 1 for value in values))
        return [value.bytes for value in kept]

    def _fault(self, place: int, reason: str) -> None:
        if self.ticks + self.refused < TOLD:
            print(printable(f"{self.source}:{place}: {reason}"), file=sys.stderr)


def _is_tick(value: bytes) -> bool:
    from spikebridge.spikes.batch import ROLE_TICK
    from spikebridge.spikes.frame import is_frame

    return is_frame(value) and value[6:7] == bytes([ROLE_TICK])


@contextmanager
def _counting(source: str, stream: BinaryIO) -> Iterator[Sent]:
    """Count what is sent, with a progress bar where a person watches a file being read."""
    if source == "-" or not sys.stderr.isatty():
        yield Sent("standard input" if source == "-" else source, lambda _: None)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("sending", total=os.fstat(stream.fileno()).st_size)
        yield Sent(source, lambda size: progress.advance(task, size))


def _tell(sent: Sent, log: str, *, recording: bool, as_json: bool) -> None:
    if as_json:
        counts = {"records": sent.records, "spikes": sent.spikes, "refused": sent.refused, "ticks_left_out": sent.ticks}
        unread = {
            "unread_keys": {key: objects for key, objects, _ in sent.unread.found()},
            "without_spike": sent.unread.spikeless,
            "unmapped_neurons": len(sent.unmapped.neurons) if sent.unmapped else None,
        }
        print_json({"log": log, "recording": recording, "known": sent.known, **counts, **unread})
        return
    kind = "as a recording, log" if recording else "to the live log"
    print(f"sent {counted(sent.records, 'record')} with {counted(sent.spikes, 'spike')} {kind} {log}")
    if sent.known:
        print("this recording was read before: nothing of it is read again")
        print(
            "its alerts under other mappings: `spikebridge publish`, then `spikebridge replay FILE`; another `data` reads it anew"
        )
    if sent.cut:
        print("one line holds one whole JSON text: `jq -c .` puts a text on one line")
    if sent.refused:
        print(f"{counted(sent.refused, 'part')} of records can't be read, and will be dead letters; the neighbours count")
    if sent.ticks:
        print(f"{sent.ticks:,} ticks were left out: the service makes them itself")
    for line in unread_lines(sent.unread):
        print(line)
    if sent.unmapped and sent.unmapped.neurons:
        print(sent.unmapped.line())
