"""What `spikebridge status` says of a log on Kafka: every group's positions, for all instances together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from spikebridge.cli.terminal import print_table, printable

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge.config import Config
    from spikebridge.kafka.client import Admin, Partition, Reader
    from spikebridge.logs.kafka import Names, Settings


def gather(config: Config) -> dict[str, Any]:
    """Return the document: of the cluster, and of the instance whose data directory this is."""
    from contextlib import ExitStack

    from spikebridge.app.parts import open_revisions
    from spikebridge.errors import LogMissing
    from spikebridge.kafka.connection import connect
    from spikebridge.logs.kafka.checked import SETUP

    source = config.source
    settings = cast("Settings", source.settings if source else None)
    names = settings.names(config.tenant)
    client = connect(settings)
    with ExitStack() as opening:
        admin, reader = client.admin(), client.reader()
        opening.callback(admin.close)
        opening.callback(reader.close)
        revisions = opening.enter_context(open_revisions(config))
        stages = [("spikes", names.group), ("incidents", f"{names.group}.incidents")]
        stages += [(f"deliver:{sink}", f"{names.group}.deliver.{sink}") for sink in config.sinks]
        cluster = admin.cluster_id()
        topics, missing = _topics(settings, names, admin)
        alerts = {names.alerts: topics.pop(names.alerts)} if names.alerts in topics else {}
        groups = [
            _group(stage, group, (admin, reader), (cluster, topics if stage == "spikes" else alerts)) for stage, group in stages
        ]
        try:
            newest = revisions.newest()
        except LogMissing:
            newest, missing = None, [*missing, names.revisions]
    gone = [f"topic {name}: expected to be there, found none; {SETUP}" for name in missing]
    told = {"log": source.name if source else "", "cluster": cluster, "revision": {"newest": newest}, "groups": groups}
    return told | _instance(config.data, gone)


def show(told: dict[str, Any]) -> None:
    """Print it for people."""
    service = told["service"]
    print(f"service: {'running, process ' + str(service['pid']) if service['running'] else 'not running here'}")
    print(f"log {told['log']}: cluster {told['cluster']}, newest revision {told['revision']['newest'] or 'none'}")
    rows = [
        (
            group["stage"],
            place["partition"],
            "-" if place["position"] is None else place["position"],
            place["end"],
            place["lag"],
            place["revision"] or "",
            place["owner"] or "nobody",
        )
        for group in told["groups"]
        for place in group["partitions"]
    ]
    print_table(("stage", "partition", "position", "end", "lag", "revision", "owner"), rows)
    for problem in told["problems"]:
        print(printable(f"problem: {problem}"))


def _topics(settings: Settings, names: Names, admin: Admin) -> tuple[dict[str, tuple[str, int]], list[str]]:
    """Return id and number of partitions of each topic that has positions, and the topics of ours that are not there."""
    from spikebridge.logs.kafka.checked import spike_topics

    expected = [*spike_topics(settings, admin), names.alerts]
    found = admin.describe(expected)
    there = {name: (facts.id, facts.partitions) for name, facts in found.items()}
    return there, [name for name in expected if name not in there]


def _group(stage: str, group: str, ask: tuple[Admin, Reader], cluster: tuple[str, dict[str, tuple[str, int]]]) -> dict[str, Any]:
    from spikebridge.kafka.client import Partition

    admin, reader = ask
    cluster_id, topics = cluster
    committed = admin.committed(group)
    owners = {partition: name for name, partitions in admin.members(group).items() for partition in partitions}
    places = []
    for name in topics:
        for number in range(topics[name][1]):
            partition = Partition(name, number)
            place = _place(partition, committed, (reader, (cluster_id, topics[name][0])), entries=stage != "spikes")
            places.append({**place, "owner": owners.get(partition)})
    return {"stage": stage, "group": group, "lag": sum(place["lag"] for place in places), "partitions": places}


def _place(
    partition: Partition, committed: dict[Partition, Any], ask: tuple[Reader, tuple[str, str]], *, entries: bool
) -> dict[str, Any]:
    from spikebridge.logs.kafka.behind import behind
    from spikebridge.logs.kafka.sealed import Home, read_commit

    reader, home = ask
    first, end = reader.bounds(partition)
    place = committed.get(partition)
    position = place.offset if place else None
    pairs = read_commit(place, Home(*home)).pairs if place else ()
    return {
        "partition": str(partition),
        "position": position,
        "end": end,
        "lag": behind(reader, partition, max(first, position or 0), end, entries=entries),
        "revision": pairs[-1][1] if pairs else None,
    }


def _instance(data: Path, gone: list[str]) -> dict[str, Any]:
    from spikebridge.app.status import read_status

    service = read_status(data)
    running = bool(service and service.running)
    errors = {stage.name: stage.error for stage in service.stages if stage.error} if service and running else {}
    return {
        "service": {"running": running, "pid": service.pid if service else None},
        "errors": errors,
        "problems": gone + [f"{name}: {error}" for name, error in errors.items()],
    }
