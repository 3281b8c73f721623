"""`spikebridge check`: everything that people wrote, with every problem at once, and the tests that it carries."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikebridge.cli.arguments import DEFAULT_FILE
from spikebridge.cli.terminal import counted, print_json, print_table, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from spikebridge.config import Config
    from spikebridge.errors import Problem
    from spikebridge.mapping.check import Report
    from spikebridge.mapping.rules import RuleSet
    from spikebridge.mapping.survey import Survey
    from spikebridge.spikes.record import Record

NAME = "check"
HELP = "check configuration, inventory and mappings, and run their tests"
EXAMPLE = """
spikebridge check mappings/ inventory.yaml
spikebridge check spikebridge.yaml --against spool:data
"""

_CONFIG_KEYS = {"tenant", "data", "inventory", "models", "model_keys", "limits", "spool", "sinks", "metrics", "log"}
_INVENTORY_KEYS = {"classes", "devices"}
_INVENTORY_TOP = re.compile(rb"^(devices|classes)\s*:", re.MULTILINE)
_RUN_BYTES = 8 << 20
_SHOWN = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for files."""
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help=f"files or directories of any kind: what each is shows in its content (default: {DEFAULT_FILE}, else the shipped mappings)",
    )
    parser.add_argument(
        "--against", metavar="LOG", help="also say which neurons of a log mean nothing, and which rules never spoke"
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 on warnings too")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


@dataclass(slots=True)
class Found:
    """What the paths are, and what is wrong already."""

    config: Config | None = None
    inventory: Path | None = None
    mappings: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def run(args: argparse.Namespace) -> int:
    """Print findings, costs and a last line that counts them."""
    found = sort(args.paths or default_paths())
    report, rule_set = examine(found)
    against = survey_log(rule_set, args.against) if args.against and rule_set else None
    if args.json:
        print_json(as_json(report, rule_set, against))
    else:
        show(report, rule_set, against)
    errors = any(problem.level == "error" for problem in report.problems)
    return 1 if errors or (args.strict and report.problems) else 0


def default_paths() -> list[Path]:
    """Return what is checked when nothing is named."""
    from spikebridge.config import shipped_mappings

    return [Path(DEFAULT_FILE)] if Path(DEFAULT_FILE).exists() else [shipped_mappings()]


def sort(paths: Sequence[Path]) -> Found:
    """Tell configuration, inventory and mappings by their content; a configuration brings the files that it names."""
    from spikebridge.config import load_config
    from spikebridge.errors import ContentError, Problem
    from spikebridge.mapping.load import files_of

    found = Found()
    configs: list[Path] = []
    for path in files_of(paths, found.problems):
        kind = kind_of(path)
        if kind == "mapping":
            found.mappings.append(path)
        elif kind == "config":
            configs.append(path)
        elif found.inventory is None:
            found.inventory = path
        else:
            found.problems.append(Problem(str(path), 1, 1, "", f"expected one inventory, found another one: {found.inventory}"))
    for path in configs:
        try:
            found.config = load_config(path, os.environ)
        except ContentError as error:
            found.problems += error.problems
            continue
        found.problems += found.config.warnings
        known = {one.resolve() for one in found.mappings}
        found.mappings += [one for one in files_of(found.config.mappings, found.problems) if one.resolve() not in known]
        found.inventory = found.inventory or found.config.inventory
    return found


def kind_of(path: Path) -> str:
    """Tell what a file is by its keys; what can't be read is left for the loader to complain about."""
    from spikebridge.errors import ContentError
    from spikebridge.located import INVENTORY_BOUNDS, Bounds, read_yaml
    from spikebridge.mapping.load import read_source

    source = read_source(path, [])
    content = source.content if source and isinstance(source.content, bytes) else b""
    if len(content) > Bounds().size and not _INVENTORY_TOP.search(content):
        return "mapping"  # too large for anything but an inventory: the loader says so without parsing it
    try:
        root = read_yaml(source.content, source.file, INVENTORY_BOUNDS).root if source else None
    except ContentError:
        return "mapping"
    keys = set(root.entries or {}) if root else set()
    rows = root.child("mappings") if root else None
    named = bool(rows and rows.items and all(isinstance(item.value, str) for item in rows.items))
    if named or (keys & _CONFIG_KEYS and not keys & {"mappings", "correlations", "tests"}):
        return "config"
    return "inventory" if keys & _INVENTORY_KEYS and not keys & {"mappings", "correlations", "tests"} else "mapping"


def examine(found: Found) -> tuple[Report, RuleSet | None]:
    """Load and check what was found; when it doesn't load, the report holds the problems and nothing else."""
    from spikebridge.attack import techniques
    from spikebridge.correlate import incidents_of
    from spikebridge.detect.load import load_models
    from spikebridge.errors import ContentError
    from spikebridge.limits import Limits
    from spikebridge.mapping.check import Report, check
    from spikebridge.mapping.load import load

    try:
        models = load_models(found.config.models, found.config.model_keys) if found.config and found.config.models else []
        loaded = load(found.mappings, found.inventory, found.config.limits if found.config else Limits(), models)
    except ContentError as error:
        return Report(sorted({*found.problems, *error.problems}), [], 0, 0), None
    report = check(loaded, incidents_of, techniques())
    return report._replace(problems=sorted({*found.problems, *report.problems})), loaded.rule_set


def survey_log(rule_set: RuleSet, name: str) -> Survey:
    """Read a whole log, from the first record that it keeps."""
    from spikebridge.mapping.survey import survey

    return survey(rule_set, _runs(name))


def _runs(name: str) -> Iterator[list[Record]]:
    from spikebridge import registry
    from spikebridge.errors import SpikebridgeError

    kind, colon, place = name.partition(":")
    if kind != "spool" or not colon or not place:
        raise SpikebridgeError(f'--against: expected spool:DIR, found "{name}"')
    log = registry.load("logs", kind)(place, read_only=True)
    try:
        position, end = log.bounds()
        while position < end and (records := log.poll(position, _RUN_BYTES)):
            yield records
            position = records[-1].offset + 1
    finally:
        log.close()


def show(report: Report, rule_set: RuleSet | None, against: Survey | None) -> None:
    """Print for people."""
    from spikebridge.units import format_duration, format_size

    for problem in report.problems:
        print(printable(str(problem)))
    if report.costs:
        print_table(
            ("rule", "kind", "look-back", "memory per device", "per million"),
            [
                (
                    one.rule,
                    one.kind,
                    format_duration(one.memory_ns),
                    f"{one.bytes_per_device} B",
                    format_size(one.bytes_per_device * 10**6),
                )
                for one in report.costs
            ],
        )
        whole = sum(one.bytes_per_device for one in report.costs)
        longest = max(one.memory_ns for one in report.costs)
        print(f"longest look-back: {format_duration(longest)}{_left(rule_set) if rule_set else ''}")
        print(f"memory with every window open: {format_size(whole)} a device")
    if rule_set and rule_set.model_files:
        print_table(
            ("model", "version", "classes", "size", "digest"),
            [
                (one.name, one.version, ", ".join(one.classes), format_size(len(one.file)), one.digest[:16])
                for one in rule_set.model_files
            ],
        )
    if against:
        _show_survey(against)
    errors = sum(problem.level == "error" for problem in report.problems)
    warnings = len(report.problems) - errors
    found = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
    print(f"{found}; {counted(len(report.costs), 'rule')}; {counted(report.tests, 'test')}, {report.failed} failed")


def _left(rule_set: RuleSet) -> str:
    """Say how much of the look-back rules may take: what models remember is gone already."""
    from spikebridge.detect.served import longest_memory_ns
    from spikebridge.units import format_duration

    models_ns = longest_memory_ns(rule_set.model_files)
    beside = f" beside the {format_duration(models_ns)} that models remember" if models_ns else ""
    return f" of the {format_duration(rule_set.limits.longest_memory_ns - models_ns)} that there are{beside}"


def _show_survey(against: Survey) -> None:
    alerts = f"{counted(sum(against.alerts.values()), 'alert')} of {counted(len(against.alerts), 'rule')}"
    print(f"log: {counted(against.records, 'record')}, {alerts}")
    if against.unmapped:
        rows = [
            (one.layer or "-", "summary" if one.neuron is None else one.neuron, one.spikes) for one in against.unmapped[:_SHOWN]
        ]
        print("fired, and no rule listens:")
        print_table(("layer", "neuron", "spikes"), rows)
        if len(against.unmapped) > _SHOWN:
            print(f"and {len(against.unmapped) - _SHOWN} more")
    if against.silent:
        print(f"rules that never spoke: {printable(', '.join(against.silent))}")


def as_json(report: Report, rule_set: RuleSet | None, against: Survey | None) -> dict[str, Any]:
    """Return the document for machines."""
    document: dict[str, Any] = {
        "problems": [
            {
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "where": problem.where,
                "level": problem.level,
                "message": problem.message,
            }
            for problem in report.problems
        ],
        "rules": [one._asdict() for one in report.costs],
        "tests": report.tests,
        "failed": report.failed,
        "models": [
            {"name": one.name, "version": one.version, "classes": one.classes, "digest": one.digest}
            for one in (rule_set.model_files if rule_set else [])
        ],
    }
    if against:
        document["against"] = {**against._asdict(), "unmapped": [one._asdict() for one in against.unmapped]}
    return document
