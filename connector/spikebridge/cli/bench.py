"""`spikebridge bench`: the product's own figures, peers in the same run; `bench live`: the same over real servers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.cli.terminal import print_json, printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator

    from spikebridge.bench.measure import Line

NAME = "bench"
HELP = "measure speed and memory on this machine, ratios to a plain peer in the same run"
EXAMPLE = """
spikebridge bench sparse dense
spikebridge bench live --kafka 127.0.0.1:9092 frames json
spikebridge bench live --kafka 127.0.0.1:9092 --elasticsearch http://127.0.0.1:9200 --json
"""
LIVE = "live"


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "cases",
        nargs="*",
        metavar="NAME",
        help="sparse, dense, json, ecs, memory, detect, help; all of them by default. `live` and then, for some of it, frames, json, json_all, "
        "elasticsearch, correctness, latency, takeover: over servers that run already, whose topics and indices it fills "
        "(`make bench-live` in a checkout starts some)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document with the machine and every condition")
    live = parser.add_argument_group("live")
    live.add_argument(
        "--kafka", metavar="HOST:PORT", help="a broker without logins; topics spikebridge-bench-* are made, and left there"
    )
    live.add_argument(
        "--elasticsearch",
        metavar="URL",
        default="",
        help="a server without logins, prepared by `spikebridge setup elasticsearch`",
    )
    live.add_argument(
        "--logprep",
        metavar="DIR",
        type=Path,
        help="where `logprep` and `logprep-ng` are (default: PATH; rsyslogd is looked for too)",
    )
    live.add_argument("--size", metavar="X", type=float, default=1.0, help="so many times the usual load (default: 1)")
    live.add_argument(
        "--repeats", metavar="N", type=int, default=1, help="how often a rate is measured; the best counts (default: 1)"
    )
    live.add_argument("--core", metavar="N", type=int, default=0, help="the core that one process may use (default: 0)")


def run(args: Namespace) -> int:
    """Run the cases one after the other."""
    import msgspec

    from spikebridge.bench.measure import machine

    names = [name for name in args.cases if name != LIVE]
    try:
        found = _live(args, names) if LIVE in args.cases else _memory(names)
    except LookupError as error:
        sys.stderr.write(f"bench: {error.args[0]}\n")
        return 2
    lines: list[Line] = []
    for line in found:
        lines.append(line)
        if not args.json:
            sys.stdout.write(_text(line) + "\n")
            sys.stdout.flush()
    if args.json:
        print_json({"machine": machine(), "lines": msgspec.to_builtins(lines)})
    return 0


def _memory(names: list[str]) -> Iterator[Line]:
    from spikebridge.bench.cases import CASES

    _check(names, CASES)
    return (line for name in names or CASES for line in CASES[name]())


def _live(args: Namespace, names: list[str]) -> Iterator[Line]:
    """Refuse what can't be measured before anything is, then measure row by row."""
    from spikebridge.bench.live.rows import NEED_ELASTICSEARCH, ROWS

    _check(names, ROWS)
    if not args.kafka:
        raise LookupError("live: expected --kafka HOST:PORT, found none")
    wanted = names or [name for name in ROWS if args.elasticsearch or name not in NEED_ELASTICSEARCH]
    lacking = [name for name in wanted if name in NEED_ELASTICSEARCH and not args.elasticsearch]
    if lacking:
        raise LookupError(f"{', '.join(lacking)}: expected --elasticsearch URL, found none")
    return _measured(args, wanted)


def _measured(args: Namespace, wanted: list[str]) -> Iterator[Line]:
    from tempfile import TemporaryDirectory

    from spikebridge.bench.live import peers
    from spikebridge.bench.live.cluster import Broker
    from spikebridge.bench.live.contest import Contest
    from spikebridge.bench.live.rows import ROWS
    from spikebridge.errors import SpikebridgeError

    there, missing = peers.found(args.logprep)
    for text in missing:
        sys.stderr.write(f"bench: {text}\n")
    broker = Broker(args.kafka)
    with TemporaryDirectory(prefix="spikebridge-bench-") as directory:
        contest = Contest(
            broker=broker,
            directory=Path(directory),
            elasticsearch=args.elasticsearch,
            peers=there,
            size=args.size,
            repeats=args.repeats,
            core=args.core,
        )
        try:
            for name in wanted:
                try:
                    yield from ROWS[name](contest)
                except SpikebridgeError as error:
                    sys.stderr.write(f"bench: {name}: {_lines(str(error))}\n")
        finally:
            broker.close()


def _check(names: Iterable[str], known: Iterable[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise LookupError(f"expected one of {', '.join(known)}, found {', '.join(unknown)}")


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.splitlines()))


def _text(line: Line) -> str:
    ratio = f"{line.ratio:6.1f} x {line.peer}" if line.ratio else ""
    targets = f"must {_figure(line.must)}, aim {_figure(line.aim)}" if line.must and line.aim else ""
    conditions = ", ".join(f"{name} {value}" for name, value in line.conditions.items() if name != "peer_value")
    return f"{line.name:16}{_figure(line.value):>10} {line.unit:10}{ratio:36}{targets:28}{conditions}"


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 1e6:  # noqa: PLR2004 -- millions read better
        return f"{value / 1e6:.1f} M"
    return f"{value:,.0f}" if value >= 1_000 else f"{value:g}"  # noqa: PLR2004 -- thousands do too
