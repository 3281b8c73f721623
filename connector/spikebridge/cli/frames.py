"""`spikebridge frames`: what records hold, and why a refused one was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikebridge.cli.terminal import print_json
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from spikebridge.spikes.parts import Part
    from spikebridge.spikes.record import Record

NAME = "frames"
HELP = "show frames as readable JSON lines, and why a refused one was refused"
EXAMPLE = """
spikebridge frames recording.spk
spikebridge frames spool:./data --rows 5 | jq .device
"""

POLL_BYTES = 1 << 20
RAW_SHOWN = 64
ROLES = ("input", "output", "tick")


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask what to read and how much of it to show."""
    parser.add_argument("source", metavar="FILE|LOG", help="frames or JSON lines in a file, - for standard input, or spool:DIR")
    parser.add_argument("--rows", type=int, default=20, metavar="N", help="spikes shown of each frame (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the same: the output is always one JSON document a line")


def run(args: argparse.Namespace) -> int:
    """Print a line for each frame, tick and refusal; 1 when something was refused."""
    from spikebridge.limits import Limits
    from spikebridge.spikes.parts import read_record

    code = 0
    frame_ns = Limits().frame_ns
    for place, record in _records(args.source):
        parts, refused = read_record(record, frame_ns)
        for bad in refused:
            code = 1
            shown = bad.raw[:RAW_SHOWN].hex()
            print_json({**place, "part": bad.part, "refused": bad.reason, "bytes": len(bad.raw), "raw_hex": shown})
        for part in parts:
            print_json({**place, **_shown(part, args.rows), **_evidence(record.value)})
        if not parts and not refused:
            print_json({**place, **_tick(record.value)})
    return code


def _records(source: str) -> Iterator[tuple[dict[str, Any], Record]]:
    """Yield each record with what tells its place; one of a file counts as appended at its own end, as far as it has none."""
    import sys
    import time
    from pathlib import Path

    from spikebridge.spikes.files import read_values
    from spikebridge.spikes.record import Record
    from spikebridge.timestamps import rfc3339

    if source.startswith("spool:"):
        from spikebridge.logs.spool import Spool

        with Spool(source.removeprefix("spool:"), read_only=True) as spool:
            at = spool.bounds()[0]
            while records := spool.poll(at, POLL_BYTES):
                for record in records:
                    yield {"offset": record.offset, "appended": rfc3339(record.append_ns)}, record
                at = records[-1].offset + 1
        return
    if source.startswith("kafka:"):
        raise SpikebridgeError(f'expected a file, - or spool:DIR, found "{source}": topics are not read here')
    now_ns = time.time_ns()
    with sys.stdin.buffer if source == "-" else Path(source).open("rb") as stream:
        for place, value in read_values(stream):
            yield {"at": place}, Record(place, now_ns, value)


def _evidence(value: bytes) -> dict[str, Any]:
    """Say how much evidence of a network a good frame carries."""
    from spikebridge.spikes.frame import is_frame, unpack
    from spikebridge.spikes.layout import MAX_TIME_NS

    carried = len(unpack(value, MAX_TIME_NS).evidence) if is_frame(value) else 0
    return {"evidence_bytes": carried} if carried else {}


def _tick(value: bytes) -> dict[str, Any]:
    from spikebridge.spikes.frame import is_frame, unpack
    from spikebridge.spikes.layout import MAX_TIME_NS
    from spikebridge.timestamps import rfc3339

    if not is_frame(value):
        return {"events": []}
    tick = unpack(value, MAX_TIME_NS)
    found: dict[str, Any] = {"role": ROLES[tick.head.role], "time": rfc3339(tick.head.start_ns)}
    return found if tick.revision is None else {**found, "revision": tick.revision}


def _shown(part: Part, rows: int) -> dict[str, Any]:
    from spikebridge.spikes.batch import SUMMARY
    from spikebridge.timestamps import rfc3339

    found: dict[str, Any] = {
        "role": ROLES[part.role],
        "device": part.device_id,
        "layer": part.layer,
        "start": rfc3339(part.start_ns),
        "end": rfc3339(part.end_ns),
        "boot": part.boot,
        "seq": part.seq,
        "crc": f"{part.crc:08x}",
        "rows": len(part.neurons),
    }
    if part.digest:
        found["model"] = f"{part.digest:016x}"
    columns = zip(part.neurons[:rows].tolist(), part.times[:rows].tolist(), part.weights[:rows].tolist(), strict=True)
    found["spikes"] = [
        {"neuron": None if neuron == SUMMARY else neuron, "time": rfc3339(time), "count": count}
        for neuron, time, count in columns
    ]
    for spike, peer in zip(found["spikes"], part.peers, strict=False):
        if peer is not None:
            spike["peer"] = peer
    return found
