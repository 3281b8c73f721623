"""The demonstration's proof: it sees what is lost, changed or invented, and it can be trusted when it sees nothing."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from spikebridge.alerts import Alert, alert_entry, read_finding
from spikebridge.cli.demo import summary
from spikebridge.config.load import shipped_mappings
from spikebridge.demo import site
from spikebridge.demo.directory import TENANT, prepare
from spikebridge.demo.episodes import LIVE
from spikebridge.demo.play import Demo, Kill
from spikebridge.demo.proof import prove
from spikebridge.demo.sensed import MODEL
from spikebridge.detect.load import load_models
from spikebridge.errors import SpikebridgeError
from spikebridge.limits import SECOND, Limits
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.load import load
from spikebridge.mapping.rules import rule_set_content
from spikebridge.pipeline import SpikesStage
from spikebridge.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spikebridge.mapping.engine import DeadRecord, Taken


class Silent:
    """An observer that nothing must be told."""

    def batch(self, stage: SpikesStage, records: int, taken: Taken) -> None:
        """Hear of a batch."""

    def dead(self, log: str, partition: int, records: Sequence[DeadRecord]) -> None:
        """Refuse dead letters: the site writes good records."""
        raise AssertionError((log, partition, records))


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Give a demonstration whose spikes were matched and whose alerts are in the store."""
    place = prepare(tmp_path / "demo")
    with Demo(place) as demo, Store(place.directory) as store:
        models = load_models([MODEL], None)
        loaded = load([shipped_mappings()], place.inventory, Limits(), models)
        demo.spool.publish(rule_set_content(loaded.rule_set))
        plan = site.live(5, time.time_ns() - 30 * SECOND, SECOND, repeats=False)
        for slots in (range(50), range(50, 150)):
            demo.spool.append([value for slot in slots for value in site.records(plan, slot)])
        identity = Identity(TENANT, demo.spool.id, demo.spool.partition)
        stage = SpikesStage(identity, demo.spool, demo.spool, demo.spool, Silent(), time.time_ns)
        stage.open()
        while stage.step():
            pass
        stage.close()
        store.write(demo.spool.poll_alerts(0, 1_000))
        yield demo


def change(demo: Demo, statement: str) -> None:
    """Do to the store what must never happen."""
    with sqlite3.connect(demo.place.directory / "store.db") as connection:
        connection.execute(statement)
    connection.close()


def test_a_store_that_holds_everything_is_proven(demo: Demo) -> None:
    """All planned alerts, no loss, and a summary that says so."""
    proof = prove(demo)

    assert proof.holds
    assert sum(proof.alerts.values()) >= len(set().union(*(episode.alerts for episode in LIVE)))
    assert proof.spikes > 10_000
    assert proof.latency.alerts == sum(proof.alerts.values())
    assert "0 alerts lost, 0 differ, 0 too many" in summary(demo, proof)
    assert max(map(len, summary(demo, proof).splitlines())) < 80


def test_one_lost_alert_is_seen(demo: Demo) -> None:
    """The second computation has it, the store hasn't."""
    change(demo, "DELETE FROM findings WHERE id = (SELECT min(id) FROM findings)")

    proof = prove(demo)

    assert (proof.lost, proof.differing, proof.foreign) == (1, 0, 0)
    assert not proof.holds
    assert "1 alerts lost, 0 differ, 0 too many THIS MUST NOT HAPPEN" in summary(demo, proof)


def test_one_changed_byte_is_seen(demo: Demo) -> None:
    """Bodies are compared whole."""
    change(
        demo,
        "UPDATE findings SET body = CAST(replace(CAST(body AS TEXT), 'DDoS_', 'DDOS_') AS BLOB) WHERE rule = 'net-ddos-burst'",
    )

    proof = prove(demo)

    assert proof.lost == 0
    assert proof.differing >= 1


def test_one_invented_alert_is_seen(demo: Demo) -> None:
    """An alert that no computation gives has no place in the store."""
    found = read_finding(demo.spool.poll_alerts(0, 1)[0].body)
    assert isinstance(found, Alert)
    invented = alert_entry(found, ())._replace(id="00000000-0000-5000-8000-000000000000")
    body = invented.body.replace(found.id.encode(), invented.id.encode())
    with Store(demo.place.directory) as store:
        store.write([invented._replace(body=body)])

    assert prove(demo).foreign == 1


def test_alerts_that_waited_for_a_worker_are_told_apart(demo: Demo) -> None:
    """Latency is that of a running worker; what came while none ran is said beside it."""
    now_ns = time.time_ns()
    demo.kill = Kill(pid=1, after_ns=SECOND, from_ns=0, upto=1, waited=1, back_ns=now_ns)

    latency = prove(demo).latency

    assert latency.alerts == 0
    assert latency.waited > 0
    assert latency.longest_wait_ns > 0


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    """An earlier demonstration goes on, anything else stays untouched."""
    prepare(tmp_path / "demo")
    prepare(tmp_path / "demo")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "spool.db").touch()

    with pytest.raises(SpikebridgeError, match="expected an empty directory"):
        prepare(tmp_path / "other")
