"""What `replay ID` does: an alert from its evidence; where a model in the service read it, on each engine that is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from spikebridge.cli.replay_attached import networks
from spikebridge.cli.terminal import counted, print_json, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spikebridge.alerts import Alert
    from spikebridge.cli.replay_attached import Network
    from spikebridge.detect.again import Heard
    from spikebridge.detect.running import Run
    from spikebridge.mapping.replay import Verdict
    from spikebridge.mapping.rules import Revision

    Stored = tuple[Alert, Sequence[bytes]]


class Ran(NamedTuple):
    """What one engine made of the networks and of the alert: so many spikes are otherwise; `why` it didn't run."""

    engine: str
    verdict: str = "not run"
    spikes: int = 0
    differing: int = 0
    differences: Sequence[str] = ()
    why: str = ""


class Replayed(NamedTuple):
    """
    The alert's verdict, and that of each engine; of an alert without networks there are none.

    `networks` are those at the edge, whose evidence came with their frames.
    """

    verdict: str
    differences: Sequence[str]
    taken_as_recorded: Sequence[str]
    engines: Sequence[Ran]
    networks: Sequence[Network] = ()


def replay_alert(stored: Stored, revision: Revision, folder: Path | None, *, lava: bool, as_json: bool) -> int:
    """Print the verdict; exit 1 if anything differs. `folder` is where sensing keeps what doesn't travel."""
    alert, evidence = stored
    found = replayed(alert, evidence, revision, lava=lava)
    at_the_edge = networks(alert, evidence, folder, lava=lava)
    verdict = "differs" if any(one.verdict == "differs" for one in at_the_edge) else found.verdict
    found = found._replace(verdict=verdict, networks=at_the_edge)
    if as_json:
        print_json(_document(alert, found))
    else:
        _show(alert, found)
    return int(found.verdict == "differs")


def replayed(alert: Alert, evidence: Sequence[bytes], revision: Revision, *, lava: bool) -> Replayed:
    """Compute an alert with NumPy and, if networks were run for it, on every other engine."""
    from spikebridge.detect.again import Heard
    from spikebridge.mapping.replay import replay

    heard = Heard()
    first = replay(alert, evidence, revision, heard.begin)
    if not heard:
        return Replayed(first.verdict, first.differences, first.taken_as_recorded, ())
    engines = [Ran("NumPy", first.verdict, heard.spikes, 0, first.differences)]
    for name, run in _others(lava=lava):
        engines.append(run if isinstance(run, Ran) else _ran(name, heard, run, (alert, evidence, revision)))
    differences = dict.fromkeys(text for one in engines for text in one.differences)
    differs = any(one.verdict == "differs" for one in engines)
    return Replayed("differs" if differs else first.verdict, [*differences], first.taken_as_recorded, engines)


def _others(*, lava: bool) -> Iterator[tuple[str, Run | Ran]]:
    """Yield the engines beside NumPy, or why one isn't here."""
    from spikebridge_detectors.backends.loihi import Lava
    from spikebridge_detectors.engine import engine
    from spikebridge_detectors.errors import BackendError

    best = engine()
    yield "compiled", best.run if best.name == "compiled" else Ran("compiled", why="the extra isn't installed")
    if lava:
        try:
            yield "Lava", Lava.found().run
        except BackendError as error:
            yield "Lava", Ran("Lava", why=str(error))


def _ran(name: str, heard: Heard, run: Run, of: tuple[Alert, Sequence[bytes], Revision]) -> Ran:
    """Run the networks on one engine, and compute the alert from what it answers."""
    from spikebridge.mapping.replay import replay
    from spikebridge_detectors.errors import BackendError, ModelError

    try:
        again = heard.on(run)
    except (BackendError, ModelError) as error:
        return Ran(name, why=str(error))
    found: Verdict = replay(*of, again.begin)
    verdict = "differs" if again.differing else found.verdict
    return Ran(name, verdict, heard.spikes, again.differing, found.differences)


def _document(alert: Alert, found: Replayed) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": alert.id,
        "verdict": found.verdict,
        "differences": found.differences,
        "taken_as_recorded": found.taken_as_recorded,
    }
    document |= {"engines": [one._asdict() for one in found.engines]} if found.engines else {}
    return document | ({"networks": [one.document() for one in found.networks]} if found.networks else {})


def _show(alert: Alert, found: Replayed) -> None:
    print(f"{found.verdict}: alert {alert.id} from {counted(alert.evidence.total, 'record')}, revision {alert.revision}")
    for text in found.differences:
        print(f"  differs: {printable(text)}")
    for text in found.taken_as_recorded:
        print(f"  taken as recorded: {text}")
    for one in found.engines:
        of = f"{counted(one.spikes, 'spike')} of the network"
        print(
            f"  {one.engine}: {one.verdict}: {printable(one.why) or (f'{one.differing:,} otherwise, of {of}' if one.differing else of)}"
        )
    for network in found.networks:
        network.show()
