"""`spikebridge setup kafka`: the topics of a Kafka log as they must be, how those that are there differ, and who needs which rights."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from spikebridge.cli.arguments import configuration, secret_reference
from spikebridge.cli.terminal import print_json, print_table, printable
from spikebridge.errors import LogError, LogRefused, SpikebridgeError
from spikebridge.units import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.kafka.client import Admin, NewTopic, TopicFacts
    from spikebridge.kafka.connection import Connection
    from spikebridge.logs.kafka import Settings
    from spikebridge.logs.kafka.rights import Right
    from spikebridge.logs.kafka.topics import Difference, Shape, Wanted

_MOST_PARTITIONS = 10_000
_MOST_REPLICAS = 100


class _Plan(NamedTuple):
    """What the configuration asks for."""

    settings: Settings
    wanted: list[Wanted]
    rights: list[Right]
    look_back_ns: int

    @property
    def servers(self) -> str:
        return self.settings.where


class _Outcome(NamedTuple):
    """What came of it: a word for each topic, and what remains to be done; `error` is why nothing would be created."""

    results: dict[str, str]
    differences: list[Difference]
    error: str = ""

    @property
    def well(self) -> bool:
        return not self.error and not any(difference.level == "error" for difference in self.differences)


def describe(target: str) -> str:
    """Return what is prepared there."""
    return f"create the topics of a {target.capitalize()} log, compare those that are there, and print the rights that each process needs"


def arguments(parser: argparse.ArgumentParser, _target: str) -> None:
    """Ask which log, how large, and who may do this."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the log in the configuration")
    parser.add_argument("--config", metavar="FILE", type=Path, help="the configuration that names it")
    parser.add_argument("--dry-run", action="store_true", help="create nothing, say what would be created")
    parser.add_argument(
        "--partitions",
        metavar="N",
        type=_number(_MOST_PARTITIONS),
        help="of spike and alert topics: so many instances can share the work, and it stays (default: 12)",
    )
    parser.add_argument(
        "--replicas", metavar="N", type=_number(_MOST_REPLICAS), default=3, help="copies of each partition (default: 3)"
    )
    parser.add_argument("--keep", metavar="TIME", type=_duration, help="keep spikes so long (default: 7d)")
    parser.add_argument("--keep-alerts", metavar="TIME", type=_duration, help="keep alerts so long, at least 2d (default: 7d)")
    parser.add_argument("--size", metavar="SIZE", type=_size, help="bytes of spikes in a partition (default: no limit)")
    parser.add_argument("--user", metavar="NAME", help="an administrator (default: who the log is)")
    parser.add_argument(
        "--password", metavar="SECRET", type=secret_reference, help="env:NAME or file:PATH that holds the password"
    )
    parser.add_argument("--principal", metavar="NAME", help="whom the printed rights name (default: the log's user)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def set_up(args: argparse.Namespace) -> int:
    """Create what is missing, change nothing that is there; 1 when something remains that must be mended."""
    plan = _plan(args)
    outcome = _outcome(plan, _administrator(plan.settings, args), dry_run=args.dry_run)
    principal = args.principal or (plan.settings.sasl.user if plan.settings.sasl else "") or "spikebridge"
    if args.json:
        print_json(_document(plan, outcome))
    else:
        _show(plan, outcome, principal)
    return int(not outcome.well)


def _plan(args: argparse.Namespace) -> _Plan:
    from spikebridge.logs.kafka.rights import rights
    from spikebridge.logs.kafka.topics import wanted

    config = configuration(args)
    source = config.source
    if source is None or source.type != "kafka" or args.name not in (None, source.name):
        found = f'"{args.name}"' if args.name else "no name"
        known = source.name if source and source.type == "kafka" else "none: add one of `type: kafka` to the configuration"
        raise SpikebridgeError(f"NAME: expected the log of type kafka ({known}), found {found}")
    settings = cast("Settings", source.settings)
    names = settings.names(config.tenant)
    look_back_ns = config.limits.look_back_ns
    shape = _shape(args, look_back_ns)
    return _Plan(settings, wanted(settings.topics, names, shape), rights(settings, names), look_back_ns)


def _shape(args: argparse.Namespace, look_back_ns: int) -> Shape:
    """Take what was asked for, and refuse what could not work."""
    from spikebridge.logs.kafka.topics import LEAST_ALERTS_NS, Shape
    from spikebridge.units import format_duration

    default = Shape()
    shape = Shape(
        partitions=args.partitions or default.partitions,
        replicas=args.replicas,
        spike_age_ns=args.keep or max(default.spike_age_ns, 2 * look_back_ns),
        spike_bytes=args.size or default.spike_bytes,
        alert_age_ns=args.keep_alerts or default.alert_age_ns,
    )
    for option, found, least in (
        ("--keep", shape.spike_age_ns, 2 * look_back_ns),
        ("--keep-alerts", shape.alert_age_ns, LEAST_ALERTS_NS),
    ):
        if found < least:
            raise SpikebridgeError(f"{option}: expected {format_duration(least)} or more, found {format_duration(found)}")
    return shape


def _outcome(plan: _Plan, connection: Connection, *, dry_run: bool) -> _Outcome:
    from spikebridge.kafka.connection import connect

    try:
        admin = connect(connection).admin()
    except LogError as error:
        if dry_run:
            return _Outcome({one.topic.name: "not asked" for one in plan.wanted}, [], f"the cluster was not asked: {error}")
        raise
    try:
        names = [one.topic.name for one in plan.wanted]
        names += [name for name in admin.topics() if re.fullmatch(plan.settings.matching, name)] if plan.settings.pattern else []
        found = admin.describe(names)
        missing = [one.topic for one in plan.wanted if one.topic.name not in found]
        lacking = lack_of_brokers(missing, admin) if missing else ""
        if missing and not dry_run:
            if lacking:
                raise SpikebridgeError(f"{plan.servers}: {lacking}")
            try:
                admin.create(missing)
            except LogRefused as error:
                raise SpikebridgeError(f"{error}; a cluster with fewer brokers needs --replicas 1 or 2") from error
            found = admin.describe(names)
        return _judged(plan, found, {topic.name for topic in missing}, dry_run=dry_run)._replace(error=lacking)
    finally:
        admin.close()


def lack_of_brokers(missing: Sequence[NewTopic], admin: Admin) -> str:
    """Say why topics can't be made with so many copies; nothing where they can."""
    wanted, brokers = max(topic.replicas for topic in missing), admin.brokers()
    if wanted <= brokers:
        return ""
    return f"--replicas: expected at most {brokers}, which is how many brokers there are, found {wanted}: start more, or say --replicas {brokers}"


def _judged(plan: _Plan, found: dict[str, TopicFacts], missing: set[str], *, dry_run: bool) -> _Outcome:
    from spikebridge.logs.kafka.topics import Shape, differences, wanted_spikes

    asked = list(plan.wanted)
    known = {one.topic.name for one in asked}
    spikes = [name for name in found if name not in known]
    if spikes:  # those that the pattern matches: compared as if they had been named, but never created
        asked += [wanted_spikes(name, Shape(partitions=0)) for name in spikes]
    there = [one for one in asked if one.topic.name in found or not dry_run]
    results = dict.fromkeys(found, "is there")
    results |= dict.fromkeys(sorted(missing), "would be created" if dry_run else "created")
    return _Outcome(results, differences(there, found, look_back_ns=plan.look_back_ns, servers=plan.servers))


def _show(plan: _Plan, outcome: _Outcome, principal: str) -> None:
    from spikebridge.logs.kafka.rights import PROCESSES, commands

    topics = {one.topic.name: one for one in plan.wanted}
    rows = []
    for name, result in outcome.results.items():
        one = topics.get(name)
        shape = f"{one.topic.partitions} x {one.topic.replicas}" if one and result != "is there" else ""
        rows.append((name, one.role if one else "spikes", result, shape))
    print_table(("topic", "holds", "result", "partitions x replicas"), rows)
    for name, result in outcome.results.items():
        if result in ("would be created", "not asked"):
            print(f"# {name}\n{_create_command(topics[name], plan.servers)}")
    if outcome.error:
        print(printable(f"error: {outcome.error}"))
    for difference in outcome.differences:
        print(printable(f"{difference.level}: {difference}"))
    print("\nEach process needs these rights, and no more:")
    print_table(
        ("process", "kind", "name", "operations"),
        [(right.process, right.kind, right.shown, ", ".join(right.operations)) for right in plan.rights],
    )
    for process in PROCESSES:
        print(f"# {process}")
        for line in commands([right for right in plan.rights if right.process == process], principal, plan.servers):
            print(printable(line))


def _create_command(one: Wanted, servers: str) -> str:
    """Say it in Kafka's own words, for where topics are made by other hands."""
    configs = " ".join(f"--config {key}={value}" for key, value in one.topic.configs.items())
    return (
        f"kafka-topics.sh --bootstrap-server {servers} --create --topic {one.topic.name} "
        f"--partitions {one.topic.partitions} --replication-factor {one.topic.replicas} {configs}"
    )


def _document(plan: _Plan, outcome: _Outcome) -> dict[str, object]:
    return {
        "topics": [
            {
                "role": one.role,
                **one.topic._asdict(),
                "configs": dict(one.topic.configs),
                "result": outcome.results[one.topic.name],
            }
            for one in plan.wanted
        ],
        "differences": [difference._asdict() for difference in outcome.differences],
        "rights": [right._asdict() for right in plan.rights],
        "error": outcome.error,
    }


def _administrator(settings: Settings, args: argparse.Namespace) -> Connection:
    """Return the same cluster under the identity that may create topics."""
    from pydantic import SecretStr

    from spikebridge.config.overlay import secret

    if bool(args.user) != bool(args.password):
        raise SpikebridgeError("expected --user and --password together")
    if not args.user:
        return settings
    if settings.sasl is None or settings.sasl.mechanism == "OAUTHBEARER":
        raise SpikebridgeError("--user: expected a log with `sasl` and a mechanism that takes a password")
    password = SecretStr(secret(args.password, os.environ, Path()))
    return settings.model_copy(update={"sasl": settings.sasl.model_copy(update={"user": args.user, "password": password})})


def _number(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[1-9][0-9]{0,5}", text) or int(text) > most:
            message = f'expected a number from 1 to {most}, found "{text}"'
            raise argparse.ArgumentTypeError(message)
        return int(text)

    return read


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
