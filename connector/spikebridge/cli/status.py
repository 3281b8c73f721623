"""`spikebridge status`: where everything stands, from the files or the cluster alone; it works beside a running service and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikebridge.cli.arguments import add_data, configuration, data_directory
from spikebridge.cli.terminal import print_json, print_table, printable

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from spikebridge.logs import Commit
    from spikebridge.logs.spool import Spool

NAME = "status"
HELP = "show positions, cursors, lag, last errors and the revision in force"
EXAMPLE = """
spikebridge status --data data
spikebridge status --config spikebridge.yaml --json | jq .readers
"""

NS_PER_S = 1_000_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask where."""
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Print it; 1 when something is wrong that an operator should look at."""
    from spikebridge.cli import status_kafka
    from spikebridge.logs.spool import Spool

    config = None if args.data else configuration(args)
    if config and config.source:
        told = status_kafka.gather(config)
        print_json(told) if args.json else status_kafka.show(told)
        return int(bool(told["problems"]))
    directory = data_directory(args)
    with Spool(directory, read_only=True) as spool:
        told = gather(spool, directory)
    if args.json:
        print_json(told)
    else:
        _show(told)
    return int(bool(told["problems"]))


def gather(spool: Spool, directory: Path) -> dict[str, Any]:
    """Return the document."""
    from spikebridge.app.status import read_status, read_statuses

    service = read_status(directory)
    pids = sorted({status.pid for status in read_statuses(directory)})
    errors = {stage.name: stage.error for stage in service.stages if stage.error} if service and service.running else {}
    refused = service.refused if service and service.running else []
    held = spool.held()
    lost = [f"{held.spikes_dropped} records were dropped before they were read"] if held.spikes_dropped else []
    lost += [f"{held.alerts_dropped} alerts were dropped before every sink had them"] if held.alerts_dropped else []
    return {
        "service": {"running": bool(service and service.running), "pid": service.pid if service else None, "pids": pids},
        "revision": _revision(spool, spool.committed()),
        "logs": [_live(spool), *_recordings(spool)],
        "readers": _readers(spool),
        "bytes": {"spikes": held.spike_bytes, "alerts": held.alert_bytes},
        "errors": errors,
        "refused": refused,
        "problems": [f"{name}: {error}" for name, error in errors.items()] + refused + lost,
    }


def _revision(spool: Spool, commit: Commit | None) -> dict[str, Any]:
    """Tell the revision in force at the committed position, and the newest."""
    return {"in_force": commit.pairs[-1][1] if commit and commit.pairs else None, "newest": spool.newest()}


def _live(spool: Spool) -> dict[str, Any]:
    first, end = spool.bounds()
    commit = spool.committed()
    position = commit.position if commit else first
    waits = spool.read([position]) if position < end else []
    behind_ns = max(0, spool.now_ns() - waits[0].append_ns) if waits else 0
    return {
        "log": spool.id,
        "name": "live",
        "first": first,
        "end": end,
        "position": commit.position if commit else None,
        "lag": end - position,
        "behind_s": behind_ns / NS_PER_S,
    }


def _recordings(spool: Spool) -> list[dict[str, Any]]:
    found = []
    for recording in spool.recordings():
        commit = spool.alert_log(recording.number).committed()
        position = commit.position if commit else None
        found.append({"log": recording.id, "name": recording.name, "position": position, "drained": recording.drained})
    return found


def _readers(spool: Spool) -> list[dict[str, Any]]:
    first, end = spool.alert_bounds()
    found = []
    for name, cursor in spool.cursors().items():
        position = max(first, cursor.position)
        appended_ns = spool.alert_append_ns(position)
        oldest_s = 0.0 if appended_ns is None else max(0, spool.now_ns() - appended_ns) / NS_PER_S
        found.append({"reader": name, "position": cursor.position, "lag": end - position, "behind_s": oldest_s})
    return found


def _show(told: dict[str, Any]) -> None:
    service, revision = told["service"], told["revision"]
    processes = f"process{'es' if len(service['pids']) > 1 else ''} {', '.join(map(str, service['pids']))}"
    print(f"service: {f'running, {processes}' if service['running'] else 'not running'}")
    newest = "" if revision["newest"] == revision["in_force"] else f", newest {revision['newest']}"
    print(f"revision in force: {revision['in_force'] or 'none yet'}{newest}")
    live, *recordings = told["logs"]
    rows = [("live", _or_dash(live["position"]), live["end"], live["lag"], f"{live['behind_s']:.1f} s")]
    rows += [(one["name"], _or_dash(one["position"]), "", "", "read" if one["drained"] else "waits") for one in recordings]
    print_table(("log", "position", "end", "lag", "behind"), rows)
    if told["readers"]:
        readers = [(one["reader"], one["position"], one["lag"], f"{one['behind_s']:.1f} s") for one in told["readers"]]
        print_table(("reader", "position", "lag", "behind"), readers)
    for problem in told["problems"]:
        print(printable(f"problem: {problem}"))


def _or_dash(position: int | None) -> str:
    return "-" if position is None else str(position)
