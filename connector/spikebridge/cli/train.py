"""`spikebridge train`: learn what is normal for a class of devices, from captures or measured values, and show what the model finds."""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.cli.sense_series import LEAST_RATE, MOST_RATE
from spikebridge.cli.terminal import counted, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric import ec

    from spikebridge_detectors.train.gather import Series, Traffic

NAME = "train"
HELP = "learn what is normal for a class of devices, from captures or measured values, and show what the model finds"
EXAMPLE = """
spikebridge train timing --pcap week.pcap --device lock=02:00:00:00:00:01 --class lock --out lock.spike
spikebridge train timing --table week.csv.gz --device lock-1 lock-2 --class lock --out lock.spike --key release.key --report lock.html
spikebridge train timing --table week.csv.gz --class lock --out lock.spike --report lock.html --resume
spikebridge train power --series charger.csv.gz --time t --column volts amperes --class charger --out charger.spike
spikebridge train vibration --series pump.csv --rate 12000 --column x y z --class pump --out pump.spike --report pump.html
spikebridge train rf --series envelope.csv.gz --rate 1000 --column dbm --class radio --out radio.spike --report radio.html
"""

MOST_PER_DAY = 100.0
MOST_SHARE = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for captures or series, devices, and where the model goes."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    timing = kinds.add_parser("timing", help="when the packets of network devices come")
    timing.add_argument(
        "--pcap", metavar="FILE", type=Path, nargs="+", action="extend", default=[], help="captures, pcap or pcapng, gzip too"
    )
    timing.add_argument(
        "--table", metavar="FILE", type=Path, nargs="+", action="extend", default=[], help="tables of packets in CSV, gzip too"
    )
    timing.add_argument(
        "--device",
        metavar="[NAME=]WHO",
        nargs="+",
        action="extend",
        default=[],
        help="devices to learn from: a MAC, an address or a network, in tables a name "
        "(default: every device in private networks, or in the tables)",
    )
    _add_model(timing)
    timing.add_argument("--resume", action="store_true", help="go on where a training of the same files was ended")
    timing.add_argument(
        "--seed", metavar="N", type=int, default=0, help="the seed of where attacks are put (default: %(default)s)"
    )
    timing.add_argument(
        "--budget",
        metavar="N",
        type=_budget,
        default=1.0,
        help="so many false alarms a device may raise a day (default: %(default)s)",
    )
    for name, text, length, every in (
        ("power", "what a device draws", None, None),
        ("vibration", "how a machine shakes", 64, 16),
        ("rf", "how strong a radio's channel is heard", 1024, 256),
    ):
        series = kinds.add_parser(name, help=text)
        _add_series(series)
        _add_model(series)
        if length:
            series.add_argument(
                "--length", metavar="N", type=int, default=length, help="samples of a window (default: %(default)s)"
            )
            series.add_argument(
                "--every", metavar="N", type=int, default=every, help="samples from window to window (default: %(default)s)"
            )


def _add_model(parser: argparse.ArgumentParser) -> None:
    """Ask what the model is called, who signs it and where it goes."""
    parser.add_argument(
        "--class", dest="device_class", metavar="NAME", required=True, help="what devices of this kind are called"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="where the model goes, NAME.spike")
    parser.add_argument("--key", metavar="KEY", type=Path, help="the private key to sign it with (default: unsigned)")
    parser.add_argument("--version", metavar="N", type=int, default=1, help="the version of the model (default: %(default)s)")
    parser.add_argument(
        "--report", metavar="FILE", type=Path, help="write a page that shows it, and measure it on parts held back for that"
    )
    parser.add_argument("--dry-run", action="store_true", help="read the files, say what would be learned, write nothing")


def _add_series(parser: argparse.ArgumentParser) -> None:
    """Ask for measured values and how they are read."""
    parser.add_argument(
        "--series", metavar="FILE", type=Path, nargs="+", action="extend", required=True, help="measured values in CSV, gzip too"
    )
    parser.add_argument("--column", metavar="NAME", nargs="+", action="extend", required=True, help="the columns of its channels")
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--time", metavar="NAME", default="", help="the column of times, in --unit")
    when.add_argument("--rate", metavar="HZ", type=_rate, help="samples a second, where there is no column of times")
    parser.add_argument("--unit", choices=("s", "ms", "us", "ns"), default="s", help="the unit of times (default: %(default)s)")
    parser.add_argument(
        "--share",
        metavar="N",
        type=_share,
        default=0.01,
        help="so large a share of normal windows may be told (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Learn, write the model and the page; what is done meanwhile is told on stderr."""
    from spikebridge_detectors.errors import CaptureError, ModelError

    try:
        return _timing(args) if args.kind == "timing" else _series(args)
    except (CaptureError, ModelError) as error:
        raise SpikebridgeError(str(error)) from error


def _timing(args: argparse.Namespace) -> int:
    from spikebridge_detectors.train import gather, timing
    from spikebridge_detectors.train.model import Named, written
    from spikebridge_detectors.train.steps import Steps
    from spikebridge_detectors.train.traffic import Settings

    named, signer = Named(args.device_class, args.version, args.seed).checked(), _ready(args)
    settings = Settings(args.budget, args.seed)
    with _telling() as tell:
        given = gather.traffic(args.pcap, args.table, args.device, tell)
        _passed(given)
        if unfit := timing.unfit(given):
            raise SpikebridgeError("\n".join(unfit))
        if args.dry_run:
            counts = {name: len(packets.time_ns) for name, packets in given.devices.items()}
            return _would(args, given, counts, "packet")
        key = timing.key(given, settings, measured=args.report is not None)
        steps = Steps(args.out.with_name(f"{args.out.name}.steps"), key, resume=args.resume)
        with _kept(steps.directory):
            what = timing.trained(given, settings, steps, tell, measured=args.report is not None)
    data = _signed(written(what.learned, given, named), signer)
    page = ""
    if args.report:
        facts = {"false alarms a device may raise a day": f"{args.budget:g}", "seed": f"{args.seed}", **_facts(args, data)}
        page = timing.report(given, what, f"Timing of {args.device_class}", facts, args.seed)
    _save(args, data, page)
    steps.forget()
    if steps.resumed:
        print(f"went on after {counted(steps.resumed, 'step')} that were kept")
    _tell(args, counted(len(given.devices), "device"), data)
    return 0


def _series(args: argparse.Namespace) -> int:
    from spikebridge_detectors.capture.series import Columns
    from spikebridge_detectors.train import gather, series
    from spikebridge_detectors.train.model import Named, series_written

    named, signer = Named(args.device_class, args.version, 0).checked(), _ready(args)
    columns = Columns(tuple(args.column), args.time, args.unit, 0 if args.time else round(1e9 / args.rate))
    settings = series.Settings(args.kind, columns.values, args.share, getattr(args, "length", None), getattr(args, "every", None))
    with _telling() as tell:
        given = gather.series(args.series, columns, tell)
        _passed(given)
        if args.dry_run:
            counts = {file.name: len(one.time_ns) for file, one in zip(given.files, given.recordings, strict=True)}
            return _would(args, given, counts, "sample")
        tell("learning", 0, 1)
        what = series.learn([one.values for one in given.recordings], settings)
    data = _signed(series_written(what, given, named, settings), signer)
    page = ""
    if args.report:
        facts = {"share of normal windows that may be told": f"{args.share:g}", **_facts(args, data)}
        with _telling() as tell:
            page = series.report(given, what, settings, facts, tell)
    _save(args, data, page)
    _tell(args, counted(len(given.files), "recording"), data)
    return 0


@contextmanager
def _kept(directory: Path) -> Iterator[None]:
    """Say to who ends it that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        print(printable(f"train: ended; what was learned is kept in {directory}, go on with --resume"), file=sys.stderr)
        raise


def _ready(args: argparse.Namespace) -> ec.EllipticCurvePrivateKey | None:
    """Read the key, and say before the minutes of learning where nothing can be written."""
    from spikebridge_detectors.model import keys

    _writable(args)
    return keys.private_key(args.key) if args.key else None


def _signed(data: bytes, signer: ec.EllipticCurvePrivateKey | None) -> bytes:
    from spikebridge_detectors.model import container, keys

    return keys.signed(container.split(data), signer) if signer else data


def _save(args: argparse.Namespace, data: bytes, page: str) -> None:
    from spikebridge_detectors.model import container

    container.save(args.out, data)
    if page:
        container.save(args.report, page.encode())


def _writable(args: argparse.Namespace) -> None:
    problems = [
        f"{path}: expected a directory {path.parent} to write into, found none"
        for path in (args.out, args.report)
        if path and not path.parent.is_dir()
    ]
    problems += [
        f"{path}: expected a file to write, found a directory" for path in (args.out, args.report) if path and path.is_dir()
    ]
    if args.report and args.report.resolve() == args.out.resolve():
        problems.append(f"{args.report}: expected another file than the model's")
    if problems:
        raise SpikebridgeError("\n".join(problems))


def _passed(given: Traffic | Series) -> None:
    """Say what yielded nothing: it may be why too little is left."""
    for reason, count in given.passed.items():
        print(printable(f"train: passed over {count:,}: {reason}"), file=sys.stderr)


def _would(args: argparse.Namespace, given: Traffic | Series, counts: dict[str, int], noun: str) -> int:
    for file in given.files:
        print(printable(f"{file.name}: {file.size:,} bytes, sha256 {file.sha256}"))
    for name, count in counts.items():
        print(printable(f"would learn {name} from {counted(count, noun)}"))
    print(printable(f"would write {args.out}{f' and {args.report}' if args.report else ''}"))
    return 0


def _facts(args: argparse.Namespace, data: bytes) -> dict[str, str]:
    """Return what the page says of a model."""
    from spikebridge_detectors.model import container

    envelope = container.split(data)
    signer = f"key {envelope.key_id.hex()[:16]}" if envelope.key_id else "nobody"
    return {
        "device class": args.device_class,
        "model": f"{args.out.name}, version {args.version}, {len(data):,} bytes, signed by {signer}",
        "SHA-256 of what is signed": envelope.digest,
        "command": shlex.join(["spikebridge", *_command(args)]),
    }


def _command(args: argparse.Namespace) -> list[str]:
    """Return the arguments by which the same model is made again."""
    said = ["train", args.kind]
    for name, value in vars(args).items():
        if name in ("command", "kind", "resume", "dry_run") or value in (None, "", []):
            continue
        values = value if isinstance(value, list) else [value]
        said += [f"--{'class' if name == 'device_class' else name}", *map(str, values)]
    return said


def _tell(args: argparse.Namespace, learned_from: str, data: bytes) -> None:
    signed = "signed" if args.key else "unsigned: sign it with `spikebridge model sign`"
    print(printable(f"{args.out}: {args.kind} of {args.device_class} learned from {learned_from}, {len(data):,} bytes, {signed}"))
    if args.report:
        print(printable(f"{args.report}: what it was learned from and what it finds"))


@contextmanager
def _telling() -> Iterator[Callable[[str, int, int], None]]:
    """Tell how far it is: with bars where a person watches, else in a line for each thing that is begun."""
    if not sys.stderr.isatty():
        told: set[str] = set()

        def line(what: str, _done: int, _of: int) -> None:
            if what not in told:
                told.add(what)
                print(printable(f"train: {what}"), file=sys.stderr, flush=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def bar(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(printable(what).replace("[", "\\["), total=of)
            progress.update(tasks[what], completed=done, total=of)

        yield bar


def _between(low: float, high: float, what: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = low
    if not low < found <= high:
        raise argparse.ArgumentTypeError(f'expected {what} above {low:g} and up to {high:g}, found "{text}"')
    return found


def _budget(text: str) -> float:
    return _between(0, MOST_PER_DAY, "alarms a day", text)


def _share(text: str) -> float:
    return _between(0, MOST_SHARE, "a share of windows", text)


def _rate(text: str) -> float:
    return _between(LEAST_RATE, MOST_RATE, "samples a second", text)
