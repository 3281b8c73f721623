"""`spikebridge evaluate`: what the detectors find, and what they raise for nothing, on captures with known attacks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikebridge.cli.terminal import print_json, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse

NAME = "evaluate"
HELP = "measure the detectors on captures with known attacks, simple rules and usual detectors beside them"
EXAMPLE = """
spikebridge evaluate --data captures/
spikebridge evaluate --data captures/ --json > figures.json
spikebridge evaluate --data captures/ --held-back
spikebridge evaluate --data captures/ --adversarial
spikebridge evaluate --data captures/ --series
spikebridge evaluate --data captures/ --plants
spikebridge evaluate --generated
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="a folder with net/benign_week_DEVICE.csv.gz, and composite/iot_week.csv.gz and iot_week_hard.csv.gz with their truth",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--held-back", action="store_true", help="measure only what settings are chosen by: days 0 to 5, each held back in turn"
    )
    only.add_argument(
        "--adversarial",
        action="store_true",
        help="measure only recall against amplitude where an attacker changes attacks: sine, jitter, padding, slow-down",
    )
    only.add_argument(
        "--series",
        action="store_true",
        help="measure only the detectors of power, vibration and rf, beside an isolation forest, on power/ and vibration/ of the folder "
        "and on generated radios",
    )
    only.add_argument(
        "--plants",
        action="store_true",
        help="measure only short recordings of plants (Modbus, MMS, IEC 60870-5-104), on ics/ of the folder",
    )
    only.add_argument(
        "--generated", action="store_true", help="measure generated devices of each kind, and what strains them; needs no --data"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", metavar="FILE", type=Path, help="put the tables into a page too, between its two marks")


def run(args: argparse.Namespace) -> int:
    """Measure, and print tables or JSON; what is done meanwhile is told on stderr."""
    from spikebridge_detectors.errors import CaptureError, ModelError
    from spikebridge_detectors.evaluate import devices, plants, report, series, suite

    if (args.data is None) is not args.generated:
        raise SpikebridgeError("evaluate: expected either --data DIR or --generated")
    measured, tables, mark = suite.measured, report.text, report.MEASURED
    if args.held_back:
        measured, tables, mark = suite.days_held_back, report.held_back_text, report.HELD_BACK
    elif args.adversarial:
        measured, tables, mark = suite.changed, report.adversarial_text, report.ADVERSARIAL
    elif args.series:
        measured, tables, mark = series.measured, series.text, series.SERIES
    elif args.plants:
        measured, tables, mark = plants.measured, plants.text, plants.PLANTS
    elif args.generated:
        tables, mark = devices.text, devices.GENERATED
    try:
        if args.write:
            _filled(args.write, "", mark)  # an unfit page is told before the minutes of measuring
        found = devices.measured(_tell) if args.generated else measured(args.data, _tell)
    except (CaptureError, ModelError) as error:
        raise SpikebridgeError(str(error)) from error
    text = tables(found)
    if args.write:
        args.write.write_text(_filled(args.write, text, mark), "utf-8")
    _print(found, text, as_json=args.json)
    return 0


def _filled(path: Path, text: str, mark: str) -> str:
    from spikebridge_detectors.errors import ModelError
    from spikebridge_detectors.evaluate import report

    try:
        return report.put(path.read_text("utf-8"), text, mark)
    except (ModelError, UnicodeDecodeError) as error:
        raise SpikebridgeError(f"{path}: {error}") from error


def _print(found: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for line in text.splitlines():
        print(printable(line))


def _tell(text: str) -> None:
    print(printable(f"evaluate: {text}"), file=sys.stderr, flush=True)
