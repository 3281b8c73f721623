"""`spikebridge sense`: captures through encoders and detectors, and frames of what they find into a log."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.cli.arguments import add_data
from spikebridge.cli.sense_capture import captured
from spikebridge.cli.sense_model import add_watched, classes_of, inventory_of, listed, watching
from spikebridge.cli.sense_series import add_series, sense_series
from spikebridge.cli.terminal import counted, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from threading import Event

    from spikebridge.alerts import DeviceInfo
    from spikebridge.cli.sense_capture import Capture
    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.capture.frames import Passed
    from spikebridge_detectors.sense.device import Settings
    from spikebridge_detectors.sense.loop import Loop, Target
    from spikebridge_detectors.sense.outputs import Told
    from spikebridge_detectors.sense.state import State

NAME = "sense"
HELP = "learn devices from a capture or an interface, then watch them, and append what is found to a log"
EXAMPLE = """
spikebridge sense --iface eth0 --device camera=02:00:00:00:00:01 --device 10.20.0.0/16 --to spool:data
spikebridge sense --pcap monday.pcapng --state site-a --to kafka:plant --config spikebridge.yaml
tcpdump -i eth0 -w - | spikebridge sense --pcap - --state site-a --to spool:data
spikebridge sense --iface eth0 --inventory inventory.yaml --model timing.spike --to spool:data
spikebridge sense --flows conn.log.gz --device 10.20.0.0/16 --state flows --to found.spk
spikebridge sense --series charger.csv --model power.spike --device charger-4 --column volts amperes --time t --to spool:data
spikebridge sense --table week.csv.gz --learn 5d --to found.spk --dry-run
"""

LOOKED_S = 10.0
"""So long a dry run looks at an interface."""

BEHIND_NS = 1_000_000_000
"""So far behind the clock the packets of an interface may come."""

STEP_NS = 1_000

MOST_SAID = 20
"""Of so many devices it is said until when they are learned."""


class Heard(NamedTuple):
    """Whether somebody wants an end, and who hears what is to be told and how many bytes were read."""

    stop: Event
    tell: Callable[[str], None]
    moved: Callable[[int], None]


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for the source, the log, where state is kept, and how long to learn."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pcap", metavar="FILE", help="a pcap or pcapng file, gzip too; - is standard input")
    source.add_argument("--flows", metavar="FILE", help="a log of flows: Zeek's conn.log, TSV or JSON, or a binetflow; gzip too")
    source.add_argument("--table", metavar="FILE", help="a CSV table of packets, gzip too")
    source.add_argument("--series", metavar="FILE", help="measured values in CSV, judged by a --model of power, vibration or rf")
    source.add_argument("--iface", metavar="NAME", help="an interface, live; needs CAP_NET_RAW")
    parser.add_argument(
        "--to", metavar="LOG", required=True, help="spool, spool:DIR, kafka:NAME, a FILE of frames, or - for standard output"
    )
    parser.add_argument("--topic", default="", help="the topic, for a Kafka log that has several")
    parser.add_argument(
        "--state", metavar="DIR", type=Path, default=Path("sense"), help="what was learned and how far was read (default: sense)"
    )
    parser.add_argument(
        "--device",
        metavar="[NAME=]WHO",
        action="append",
        default=[],
        help="a MAC, an address or a network, several times (default: private networks); of a table a name (default: all that send), of a series its name",
    )
    parser.add_argument(
        "--learn", metavar="TIME", type=_learn_s, default="7d", help="how long a device is only learned, 3d to 30d (default: 7d)"
    )
    parser.add_argument(
        "--rules",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="watch with the simple rules too: rate, silence, average by the minute (default: yes)",
    )
    add_watched(parser)
    add_series(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be learned and sent; append and keep nothing")
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Sense until the capture ends, or until SIGTERM or Ctrl-C; what was begun is appended and saved."""
    from spikebridge.cli.run import stop_on_signals
    from spikebridge_detectors.errors import CaptureError, ModelError

    if args.to == "-" and not args.dry_run and sys.stdout.isatty():
        raise SpikebridgeError("--to -: frames are no text: expected a pipe or a file as standard output")
    try:
        with ExitStack() as stack, stop_on_signals() as stop:
            _sense(args, stack, stop)
    except (CaptureError, ModelError) as error:
        raise SpikebridgeError(str(error)) from error
    return 0


def _sense(args: argparse.Namespace, stack: ExitStack, stop: Event) -> None:
    from spikebridge_detectors.errors import CaptureError
    from spikebridge_detectors.sense.loop import Loop, Parts
    from spikebridge_detectors.sense.state import State
    from spikebridge_detectors.sense.watch import witness

    model = watching(args)
    inventory = inventory_of(args)
    classes, devices = classes_of(args, model, inventory), listed(args, inventory)
    state = stack.enter_context(State(_folder(args, stack)))
    path = args.flows or args.table or args.series or args.pcap or "-"
    heard = Heard(stop, *stack.enter_context(_telling(path)))
    opened = partial(_target, args, stack, state, heard)
    if args.series and model:
        for line in sense_series(args, stack, state, model, opened, heard):
            heard.tell(line)
        return
    found = captured(args, devices, stack, state, stop)
    if found is None:
        print(f"{printable(path)}: was read before another capture: nothing of it is read again", file=sys.stderr)
        return
    if found.source.rows:
        what = counted(found.source.rows, "flow" if args.flows else "packet")
        heard.tell(f"{path}: read on behind {what}; another --state begins anew")
    pieces = iter(found.packets)
    begun = [] if args.iface or args.pcap == "-" else list(islice(pieces, 1))
    parts = Parts(opened(), encode, witness, found.seen, heard.tell, classes)
    loop = Loop(state, _settings(args), parts, found.source, found.late_ns)
    try:
        _pass(found, chain(begun, pieces), loop, heard, LOOKED_S if args.dry_run and args.iface else None)
    except CaptureError:
        loop.save()
        raise
    finally:
        _report(args, loop, found.packets.passed, inventory)


def _pass(capture: Capture, pieces: Iterable[Packets], loop: Loop, heard: Heard, most_s: float | None) -> None:
    """Pass the pieces of a capture on until they end, or somebody ends it; both leave a state that goes on behind the last packet."""
    from spikebridge_detectors.capture.frames import Passed

    began, dropped, known = time.monotonic(), 0, 0
    for packets in pieces:
        loop.advance(packets, capture.packets.devices, time.time_ns() - BEHIND_NS if capture.live else None)
        heard.moved(capture.read())
        known = _say_new(loop, known, heard.tell)
        if (more := capture.packets.passed[Passed.DROPPED]) > dropped:
            heard.tell(f"the kernel dropped {more - dropped:,} packets: this machine is too slow; a silence now may be none")
            dropped = more
        if heard.stop.is_set() or (most_s is not None and time.monotonic() - began >= most_s):
            break
    if heard.stop.is_set() or capture.live:
        loop.save()
    else:
        loop.finish()


def _say_new(loop: Loop, known: int, tell: Callable[[str], None]) -> int:
    """Say until when the devices behind the `known` ones are learned, of the first of them; return how many there are."""
    from datetime import UTC, datetime, timedelta

    devices = list(loop.sensor.devices.values())
    for number, device in enumerate(devices[known : MOST_SAID + 1], known):
        if device.learned:
            continue
        if number == MOST_SAID:
            tell("more devices are learned before they are watched; the end says how many")
            break
        left = timedelta(seconds=max(device.until_s - device.clock.second, 0), microseconds=(device.clock.last_ns or 0) // 1000)
        before = "no alarm of it before" if device.watch is None else "the model of its class watches it before"
        tell(f"{device.name}: learned until about {datetime(1970, 1, 1, tzinfo=UTC) + left:%Y-%m-%d %H:%M} UTC, {before}")
    return len(devices)


def encode(told: Told, boot: int, seq: int) -> bytes:
    """Write a frame: one spike of the neuron that mappings know, with its evidence, or none, which proves that the device lives."""
    from spikebridge.spikes.frame import Head, encode_events
    from spikebridge_detectors.sense.outputs import WIRE_LAYERS

    head = Head(
        device=told.device,
        start_ns=told.time_ns,
        step_ns=STEP_NS,
        layer=WIRE_LAYERS[told.layer],
        boot=boot,
        seq=seq,
        digest=int.from_bytes(told.digest, "big"),
    )
    return encode_events(head, told.neurons, [0] * len(told.neurons), evidence=told.evidence)


def _learn_s(text: str) -> int:
    from spikebridge.units import parse_duration

    try:
        seconds = parse_duration(text) // 10**9
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 3 * 86_400 <= seconds <= 30 * 86_400:
        message = f'expected 3d to 30d, found "{text}"'
        raise argparse.ArgumentTypeError(message)
    return seconds


def _settings(args: argparse.Namespace) -> Settings:
    from spikebridge_detectors.sense.device import Settings

    return Settings(learn_s=args.learn, with_rules=args.rules, beside=bool(args.iface) or args.pcap == "-")


def _folder(args: argparse.Namespace, stack: ExitStack) -> Path:
    """Return the directory of the state; a dry run gets a copy."""
    folder: Path = args.state
    if not args.dry_run:
        return folder
    copy = Path(stack.enter_context(TemporaryDirectory(prefix="spikebridge-sense-"))) / "state"
    if folder.is_dir():
        shutil.copytree(folder, copy)
    return copy


def _target(args: argparse.Namespace, stack: ExitStack, state: State, heard: Heard) -> Target:
    from spikebridge.cli import targets

    if args.dry_run:
        return targets.Nowhere()
    kind, _, name = args.to.partition(":")
    if args.to == "-":
        return targets.Output(sys.stdout.buffer)
    if kind == "kafka":
        return targets.Patient(targets.kafka_topic(stack, args, name).append, heard.stop, heard.tell)
    if kind != "spool":
        return stack.enter_context(targets.FrameFile(Path(args.to), state.saved.target, state.saved.written))
    args.to = args.to if name else ""
    return targets.Patient(stack.enter_context(targets.opened_spool(args)).append, heard.stop, heard.tell)


@contextmanager
def _telling(path: str) -> Iterator[tuple[Callable[[str], None], Callable[[int], None]]]:
    """Tell on stderr, with a progress bar where a person watches a file being read."""
    if path == "-" or not sys.stderr.isatty():
        yield lambda text: print(printable(text), file=sys.stderr, flush=True), lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("sensing", total=Path(path).stat().st_size)
        yield (
            lambda text: console.print(printable(text), markup=False, highlight=False),
            lambda read: progress.update(task, completed=read),
        )


def _report(args: argparse.Namespace, loop: Loop, passed: Counter[Passed], inventory: Sequence[DeviceInfo]) -> None:
    """Say what was done, on stderr: standard output may be the target."""
    devices = loop.sensor.devices.values()
    watched = sum(device.learned for device in devices)
    by_class = sum(not device.learned and device.watch is not None for device in devices)
    by_model = f", {by_class:,} of them watched by the model" if by_class else ""
    would = "would have " if args.dry_run else ""
    lines = [
        f"{counted(loop.sensor.packets, 'flow' if args.flows else 'packet')} of {counted(len(devices), 'device')}: {watched:,} watched, {len(devices) - watched:,} being learned{by_model}",
        f"{would}sent {counted(loop.frames, 'frame')}, {counted(sum(loop.alarms.values()), 'alarm')} among them"
        + "".join(f"; {count:,} {kind}" for kind, count in sorted(loop.alarms.items())),
    ]
    lines += [f"{count:,} x {reason.value}" for reason, count in passed.items() if count]
    if loop.sensor.refused:
        lines.append(f"{counted(len(loop.sensor.refused), 'device')} not watched: too many, or with names that can't be")
    named = [text.rpartition("=")[0] for text in args.classes]
    named += args.device if args.table else [text.rpartition("=")[0] for text in args.device if "=" in text]
    lines += [f"{name}: no packet of it came" for name in dict.fromkeys(named) if name not in loop.sensor.devices]
    if silent := sum(info.id not in loop.sensor.devices for info in inventory):
        lines.append(f"{counted(silent, 'device')} of {args.inventory}: no packet came")
    for line in lines:
        print(printable(line), file=sys.stderr, flush=True)
