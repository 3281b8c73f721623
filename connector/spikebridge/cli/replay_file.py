"""What `replay FILE` does: the evidence of one alarm through the network again, or a recording through the mappings in force."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from spikebridge.cli.recorded import open_recording, show_refused
from spikebridge.cli.terminal import counted, print_json, print_table, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spikebridge.mapping.backtest import Refusals
    from spikebridge.mapping.evidence import Raised
    from spikebridge.mapping.rules import Revision
    from spikebridge_detectors.evidence import Evidence, Said
    from spikebridge_detectors.replay import Replayed

POLL_BYTES = 1 << 20
SHOWN = 50
LISTED = 1000


def read_evidence(path: Path) -> Evidence:
    """Read the evidence of an alarm; what is wrong with the file is said with its name."""
    from spikebridge_detectors.errors import ModelError
    from spikebridge_detectors.evidence import opened

    try:
        return opened(path)
    except (ModelError, OSError) as error:
        raise SpikebridgeError(f"{path}: {error.strerror if isinstance(error, OSError) else error}") from error


def replay_evidence(path: Path, *, lava: bool, as_json: bool) -> int:
    """Print what each engine made of it; exit 1 if anything differs."""
    from spikebridge_detectors.errors import ModelError
    from spikebridge_detectors.replay import replayed

    evidence = read_evidence(path)
    if lava:
        warn_of_lava(1)
    try:
        found = replayed(evidence, path.parent, lava=lava)
    except (ModelError, OSError) as error:
        raise SpikebridgeError(f"{path}: {error}") from error
    if as_json:
        print_json(document(evidence.said, found))
    else:
        show(evidence.said, found)
    return int(found.verdict == "differs")


def warn_of_lava(alarms: int) -> None:
    """Say on a terminal that Lava is slow."""
    if alarms and sys.stderr.isatty():
        each = f" for each of {alarms:,} alarms" if alarms > 1 else ""
        sys.stderr.write(f"with Lava, where it is installed, this takes about a minute{each}; without: --without-lava\n")


def document(said: Said, found: Replayed) -> dict[str, Any]:
    """Return for machines what each engine made of an alarm."""
    return {
        "device": said.device,
        "kind": said.kind,
        "time_ns": said.time_ns,
        "model": said.model,
        "verdict": found.verdict,
        "differences": list(found.differences),
        f"{found.of}s": found.count,
        "engines": [
            {"engine": one.engine, "verdict": one.verdict, "spikes": one.spikes, "differing": one.differing, "why": one.missing}
            for one in found.engines
        ],
    }


def show(said: Said, found: Replayed) -> None:
    """Print what each engine made of an alarm."""
    since = f"its state and {counted(found.count, 'packet')} since" if found.of == "packet" else counted(found.count, "sample")
    print(printable(f"{found.verdict}: {said.kind} of {said.device} from {since}"))
    for text in found.differences:
        print(f"  differs: {printable(text)}")
    for one in found.engines:
        wrong = ", ".join(f"{count} of {name}" for name, count in one.differing.items())
        what = {"same": f"{counted(one.spikes, 'spike')} of both layers", "differs": f"spikes: {wrong}", "not run": one.missing}
        print(f"  {one.engine}: {one.verdict}: {printable(what[one.verdict])}")


def replay_recording(path: Path, tenant: str, revision: Revision, *, as_json: bool) -> int:
    """Print the alerts of a recording, each computed again from its evidence alone; exit 1 if one differs or a part can't be read."""
    from spikebridge.mapping.backtest import Refusals
    from spikebridge.mapping.replay import replay

    verdicts: Counter[str] = Counter()
    refused = Refusals()
    listed: list[dict[str, Any]] = []
    for raised in _raised(path, tenant, revision, refused):
        alert = raised.alert
        verdict = replay(alert, raised.evidence, revision)
        verdicts[verdict.verdict] += 1
        if len(listed) < LISTED:
            listed.append(
                {
                    "id": alert.id,
                    "time_ns": alert.time_ns,
                    "severity": alert.rule.severity,
                    "threat": alert.rule.threat,
                    "device": alert.device.id,
                    "explanation": alert.explanation,
                    "verdict": verdict.verdict,
                    "differences": verdict.differences,
                }
            )
    if as_json:
        counts = {"verdicts": verdicts, "refused": refused.count, "refusals": refused.first}
        print_json({"revision": revision.number, **counts, "alerts": listed})
    else:
        show_refused(refused.count, refused.first)
        _show_alerts(revision, verdicts, listed)
    return int(verdicts["differs"] > 0 or refused.count > 0)


def _raised(path: Path, tenant: str, revision: Revision, refused: Refusals) -> Iterator[Raised]:
    from spikebridge.mapping.engine import Engine
    from spikebridge.mapping.evidence import Identity

    log = open_recording(path, revision.rule_set.limits.frame_ns)
    engine = Engine(Identity(tenant, log.id, log.partition, live=False), revision, lambda _: None, log.read)
    position, end = log.bounds()
    while position < end and (records := log.poll(position, POLL_BYTES)):
        taken = engine.take(records)
        refused.look(log.partition, taken.dead)
        yield from taken.alerts
        position = records[-1].offset + 1


def _show_alerts(revision: Revision, verdicts: Counter[str], listed: list[dict[str, Any]]) -> None:
    from spikebridge.timestamps import rfc3339_ms

    total = verdicts.total()
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(verdicts.items()))
    print(f"{counted(total, 'alert')} under revision {revision.number}{': ' if told else ''}{told}")
    if listed:
        keys = ("severity", "threat", "device", "verdict", "explanation")
        rows = [(one["id"][:8], rfc3339_ms(one["time_ns"]), *(one[key] for key in keys)) for one in listed[:SHOWN]]
        print_table(("id", "time", *keys), rows)
    for one in listed[:SHOWN]:
        for text in one["differences"]:
            print(f"  {one['id'][:8]} differs: {printable(text)}")
    if total > SHOWN:
        print(f"and {total - SHOWN:,} more: --json has the first {LISTED:,}")
