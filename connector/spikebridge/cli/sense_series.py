"""The part of `spikebridge sense` that judges series of power, vibration and rf by a model."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.cli.terminal import counted
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from contextlib import ExitStack

    from spikebridge.cli.sense import Heard
    from spikebridge_detectors.model.file import Model
    from spikebridge_detectors.sense.judge import Judge
    from spikebridge_detectors.sense.loop import Target
    from spikebridge_detectors.sense.series import SeriesLoop, Spikes
    from spikebridge_detectors.sense.state import State

STEP_NS = 1_000

LEAST_RATE, MOST_RATE = 1e-5, 1e9
"""Samples a second: less than one a day, and one each nanosecond."""


def add_series(parser: argparse.ArgumentParser) -> None:
    """Ask how a series is read."""
    parser.add_argument(
        "--column", metavar="NAME", nargs="+", action="extend", default=[], help="of a series: the columns of its channels"
    )
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--time", metavar="NAME", default="", help="of a series: the column of times, in --unit")
    when.add_argument(
        "--rate", metavar="HZ", type=float, default=0.0, help="of a series: samples a second, without a column of times"
    )
    parser.add_argument("--unit", choices=("s", "ms", "us", "ns"), default="s", help="the unit of times (default: s)")


def sense_series(
    args: argparse.Namespace, stack: ExitStack, state: State, model: Model, target: Callable[[], Target], heard: Heard
) -> list[str]:
    """Pass a series through a model into the target, opened once there is something to read; return what was done."""
    from spikebridge.spikes.frame import Head, encode_events
    from spikebridge_detectors.capture.series import Columns, SeriesSource
    from spikebridge_detectors.sense.judge import Judge
    from spikebridge_detectors.sense.outputs import WIRE_LAYERS
    from spikebridge_detectors.sense.series import SeriesLoop

    if len(args.device) != 1:
        raise SpikebridgeError(f"--series: expected one --device NAME, whose samples these are; found {len(args.device)}")
    if not args.time and not LEAST_RATE < args.rate <= MOST_RATE:
        raise SpikebridgeError(f"--series: expected --time or a --rate above {LEAST_RATE:g} and up to {MOST_RATE:g}")
    file = stack.enter_context(Path(args.series).open("rb"))  # noqa: SIM115 -- the stack closes it
    source = state.begin(file)
    if source is None:
        return [f"{args.series}: was read before another capture: nothing of it is read again"]
    if source.rows:
        heard.tell(f"{args.series}: read on behind {counted(source.rows, 'sample')}; another --state begins anew")
    columns = Columns(tuple(args.column), args.time, args.unit, 0 if args.time else max(1, round(1e9 / args.rate)))
    series = SeriesSource(file, args.series, columns, grows=True)
    device, digest = args.device[0], int(model.digest[:16], 16)

    def encode(told: Spikes, boot: int, seq: int) -> bytes:
        head = Head(
            device=device,
            start_ns=told.start_ns,
            step_ns=STEP_NS,
            layer=WIRE_LAYERS[model.header.encoder.name],
            boot=boot,
            seq=seq,
            digest=digest if told.neurons else 0,
        )
        return encode_events(head, told.neurons, [after // STEP_NS for after in told.after_ns], evidence=told.evidence)

    judge, pieces = Judge(model, device, args.column), iter(series)
    begun = list(islice(pieces, 1))
    opened = target()
    _keep_model(args, state, model)
    loop = SeriesLoop(state, source, judge, opened, encode)
    for samples in chain(begun, pieces):
        loop.advance(samples)
        heard.moved(file.tell())
        if heard.stop.is_set():
            break
    return [*_done(args, loop, judge), *(f"{count:,} x {reason.value}" for reason, count in series.passed.items() if count)]


def _done(args: argparse.Namespace, loop: SeriesLoop, judge: Judge) -> list[str]:
    """Say what was sent, and whether no evidence of it could be kept."""
    would = "would have " if args.dry_run else ""
    sent = f"{would}sent {counted(loop.frames, 'frame')} with {counted(loop.alarms, 'spike')}"
    lines = [f"{counted(loop.samples, 'sample')} of {judge.device}: {sent}"]
    if not judge.fits:
        channels = counted(judge.encoder.channels, "channel")
        lines.append(f"no evidence: {judge.encoder.length:,} samples of {channels} don't fit a file of it")
    return lines


def _keep_model(args: argparse.Namespace, state: State, model: Model) -> None:
    """Keep a model that doesn't ship beside the evidence that will name it."""
    from spikebridge_detectors.model import container
    from spikebridge_detectors.shipped.pins import PINS

    if model.digest in PINS.values():
        return
    data = container.read(args.model)
    if container.split(data).digest != model.digest:
        raise SpikebridgeError(f"{args.model}: expected the model as it was read before, found another one")
    state.keep_model(model.digest, data)
