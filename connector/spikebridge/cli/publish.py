"""`spikebridge publish`: what the files say becomes the next revision, now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.cli.arguments import DEFAULT_FILE
from spikebridge.cli.check import sort
from spikebridge.cli.terminal import counted, print_json, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse

    from spikebridge.config import Config
    from spikebridge.detect.file import ModelFile
    from spikebridge.mapping.rules import RuleSet

NAME = "publish"
HELP = "make mappings and inventory the next revision"
EXAMPLE = """
spikebridge publish --config spikebridge.yaml
spikebridge publish mappings/ inventory.yaml
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for files."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="mappings and inventory (default: those that the configuration names)"
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help=f"the configuration (default: {DEFAULT_FILE}, if there is one)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Load all or nothing, publish, and say which revision it is."""
    import dataclasses

    from spikebridge.app.content import load_tested
    from spikebridge.canonical import sha256
    from spikebridge.mapping.rules import rule_set_content

    config = _config(args)
    loaded = load_tested(config, _in_force(config) if config.models else [])
    if config.source:
        _refuse_wide(loaded.rule_set)
    content = rule_set_content(loaded.rule_set)
    number, before = _publish(config, content)
    rules, incidents, devices = len(loaded.rule_set.rules), len(loaded.rule_set.incidents), len(loaded.rule_set.devices)
    said = {
        "revision": number,
        "new": number != before,
        "digest": sha256(content),
        "rules": rules,
        "incidents": incidents,
        "devices": devices,
        "models": [{"name": one.name, "version": one.version, "digest": one.digest} for one in loaded.rule_set.model_files],
        "warnings": [dataclasses.asdict(warning) for warning in loaded.warnings],
    }
    if args.json:
        print_json(said)
        return 0
    for warning in loaded.warnings:
        print(printable(str(warning)))
    what = "published" if said["new"] else "already the newest"
    content_is = f"{counted(rules, 'rule')}, {counted(incidents, 'incident rule')}, {counted(devices, 'device')}"
    if loaded.rule_set.model_files:
        content_is += f", {counted(len(loaded.rule_set.model_files), 'model')}"
    print(f"revision {number} {what}: {content_is}")
    return 0


def _refuse_wide(rule_set: RuleSet) -> None:
    """Refuse correlations over more than one site: the alert topic is keyed by site, so no instance sees all of their alerts."""
    wide = [rule.info.id for rule in rule_set.incidents if not {"site", "device"} & set(rule.group_by)]
    if wide:
        raise SpikebridgeError(
            f"correlation {', '.join(wide)}: group-by: expected site or device among the fields: "
            "on Kafka alerts are spread by site, and what crosses sites would be found in part; use the spool, or group by site"
        )


def _in_force(config: Config) -> list[ModelFile]:
    """Return the models that these would replace; where there is no revisions log yet, publishing says so."""
    from spikebridge.app.content import models_in_force
    from spikebridge.app.parts import open_revisions
    from spikebridge.errors import LogMissing

    try:
        with open_revisions(config) as revisions:
            return models_in_force(revisions)
    except LogMissing:
        return []


def _publish(config: Config, content: bytes) -> tuple[int, int | None]:
    """Return the content's number and the newest one before it; a new one is told to the audit log."""
    import os
    import time

    from spikebridge.app.parts import open_revisions
    from spikebridge.canonical import sha256
    from spikebridge.errors import LogMissing
    from spikebridge.logs.kafka.checked import SETUP
    from spikebridge.store import Store

    with open_revisions(config) as revisions, Store(config.data) as store:
        try:
            before = revisions.newest()
        except LogMissing as error:
            raise LogMissing(f"{error}; {SETUP}") from None
        number = revisions.publish(content)
        if number != before:
            detail = {"number": number, "digest": sha256(content), "before": before}
            store.record(time.time_ns(), f"publish:{os.getpid()}", "revision published", detail)
    return number, before


def _config(args: argparse.Namespace) -> Config:
    """Return the configuration with the files named on the command line in place of its own."""
    import dataclasses
    import os

    from spikebridge.config import load_config
    from spikebridge.errors import ContentError

    default = Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None
    found = sort(args.paths)
    if found.problems:
        raise ContentError(found.problems)
    config = found.config or load_config(args.config or default, os.environ)
    return dataclasses.replace(
        config, mappings=tuple(found.mappings) or config.mappings, inventory=found.inventory or config.inventory
    )
