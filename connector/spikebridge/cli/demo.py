"""`spikebridge demo`: a small site under attack, through the real product."""

from __future__ import annotations

import signal
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.cli.terminal import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from types import FrameType

    from spikebridge.cli.live import View
    from spikebridge.demo.directory import Place
    from spikebridge.demo.play import Demo, Kill, Moment
    from spikebridge.demo.proof import Latency, Proof

NAME = "demo"
HELP = "play attacks on a small site through the real product, and watch its alerts"
EXAMPLE = """
spikebridge demo
spikebridge demo --once --store ./demo
"""

_MILLISECOND, _SECOND = 1_000_000, 1_000_000_000
_WIDTH, _INDENT = 79, 11


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for how long, and where."""
    parser.add_argument(
        "--once",
        action="store_true",
        help="play everything once (under a minute), kill the worker on the way, and prove that nothing was lost; exit 1 if anything was",
    )
    parser.add_argument(
        "--store",
        metavar="DIR",
        help="the directory for spool and store: a new one or that of an earlier demonstration (default: a new one for temporary files)",
    )


def run(args: argparse.Namespace) -> int:
    """Play until Ctrl-C, or once."""
    from spikebridge.cli.live import view
    from spikebridge.demo.directory import prepare
    from spikebridge.demo.play import Demo

    place = prepare(Path(args.store) if args.store else None)
    print(f"the demonstration lives in {printable(str(place.directory))}", flush=True)
    ends = "it ends by itself in less than a minute" if args.once else "Ctrl-C ends it"
    signal.signal(signal.SIGTERM, _interrupt)
    with Demo(place) as demo:
        with view(sys.stdout, f"Spikebridge demonstration: eight devices under attack; {ends}") as picture:
            try:
                _watch(demo.night(), picture)
                _watch(demo.live(once=args.once), picture)
            except KeyboardInterrupt:
                if args.once:
                    raise
            _watch(demo.finish(drained=args.once), picture)
        if args.once:
            return _conclude(demo)
    print(_look_further(place, demo.newest))
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Let SIGTERM end the demonstration as Ctrl-C does: its worker must not outlive it."""
    raise KeyboardInterrupt


def _watch(moments: Iterator[Moment], picture: View) -> None:
    for moment in moments:
        picture.show(moment)


def _conclude(demo: Demo) -> int:
    """Compare, say what was seen, and exit 1 if anything was lost."""
    from spikebridge.demo.proof import prove

    proof = prove(demo)
    print(summary(demo, proof))
    print(_look_further(demo.place, proof.example))
    return 0 if proof.holds else 1


def summary(demo: Demo, proof: Proof) -> str:
    """Say what passed, what came of it, and whether the store holds it."""
    alerts = ", ".join(f"{count} {severity}" for severity, count in proof.alerts.items())
    counted = sorted(Counter(printable(incident.rule.threat) for incident in proof.incidents).items())
    threats = ", ".join(f"{count} x {threat}" if count > 1 else threat for threat, count in counted)
    lines = [
        "",
        f"spikes     {proof.spikes:,} in {proof.records:,} records, most of them in the recording of a night",
        f"alerts     {sum(proof.alerts.values())}: {alerts}",
        f"incidents  {len(proof.incidents)}: {threats}",
    ]
    if demo.kill:
        lines.append(_killed(demo.kill))
    lines += [
        f"proof      {proof.lost} alerts lost, {proof.differing} differ, {proof.foreign} too many "
        + (
            "(the store against a second computation"
            if proof.holds
            else "THIS MUST NOT HAPPEN (the store against a second computation"
        )
        + f" over the same records, byte by byte); {proof.repeated} repeated in the alert log and kept once",
        _timed(proof.latency),
    ]
    return "\n".join(textwrap.fill(line, _WIDTH, subsequent_indent=" " * _INDENT, break_on_hyphens=False) for line in lines)


def _killed(kill: Kill) -> str:
    seconds, back = kill.after_ns / _SECOND, (kill.back_ns - kill.from_ns) / _SECOND
    return (
        f"kill -9    worker {kill.pid}, {seconds:.1f} s into the live part; {kill.waited} records waited for its successor, "
        f"which had caught up {back:.1f} s after the kill"
    )


def _timed(latency: Latency) -> str:
    if not latency.alerts:
        return "latency    no new live alerts: an earlier pass raised them in this same minute, and each speaks once a minute"
    p50, p99, longest = latency.p50_ns / _MILLISECOND, latency.p99_ns / _MILLISECOND, latency.longest_wait_ns / _SECOND
    return (
        f"latency    p50 {p50:.1f} ms, p99 {p99:.1f} ms from a spike's append to its alert's append, both on the disk, "
        f"of {latency.alerts} live alerts; {latency.waited} more came while no worker ran and waited up to {longest:.1f} s"
    )


def _look_further(place: Place, example: str) -> str:
    """Name the commands that go on from here."""
    directory = printable(str(place.directory))
    return "\n".join(
        [
            "",
            "look further:",
            f"  spikebridge alerts --data {directory}",
            f"  spikebridge explain {example[:8] or 'ID'} --data {directory}",
            f"  spikebridge replay {example[:8] or 'ID'} --data {directory}",
            f"  spikebridge status --config {printable(str(place.config))}",
        ]
    )
