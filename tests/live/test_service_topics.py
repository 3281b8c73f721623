"""Topics that aren't there, go away, are made again, or take less than is sent: the service waits, says where, and loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.live.kafka_places import everything
from tests.live.running import MAPPINGS, PARTITIONS, PATIENCE_S, Site, await_true, once_each
from tests.live.servers.kafka import Cluster
from tests.live.servers.missing import needed

from spikebridge.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.running import Instance

STAGES = 4
"""The three that do something, and `topics`, which says whether all are there."""

GAP = "Log_Gap"
WATCHES = """
correlations:
- {id: silent, type: absence, timespan: 2m, devices: [sentinel], threat_type: Silent, severity: Medium}
"""


def test_a_topic_that_is_not_there_is_waited_for(site: Site) -> None:
    """The log names it and the command that makes it; from then on everything goes its way, without a restart."""
    site.cluster.delete_topic(site.spikes)
    instance = site.instance().launch()
    instance.await_said(
        rf"kafka .*: topic {site.spikes}: expected to be there, found none; .*spikebridge setup kafka; waiting for it"
    )
    instance.await_metric(0, "stage_up", stage="spikes")
    assert site.spikes in instance.troubles()
    site.create("spikes")
    devices = site.send()
    instance.await_received(devices)
    assert instance.received() == once_each(devices)
    instance.await_metric(STAGES, "stage_up")


def test_a_spike_topic_may_be_deleted_and_made_again(site: Site) -> None:
    """While it is gone that is said; every record of the new one is read, under ids of its own, after a located gap alert."""
    instance = site.instance().start()
    before = site.send()
    instance.await_received(before)
    site.cluster.delete_topic(site.spikes)
    assert site.spikes in instance.await_said("it was there and is gone; make it with: spikebridge setup kafka")
    instance.await_metric(0, "stage_up", stage="topics")
    assert site.spikes in instance.troubles()
    site.create("spikes")
    after = site.send(8)
    instance.await_received(after)
    instance.await_metric(STAGES, "stage_up")
    assert site.alerted() - Counter({GAP: PARTITIONS}) == once_each(before | after)
    assert site.alerted()[GAP] >= 1
    logs = {alert.log for alert in site.findings()}
    assert len(logs) == 2, "the new topic is another log"


def test_a_spike_topic_that_is_replaced_in_a_moment_loses_no_record(site: Site) -> None:
    """A consumer that went on from its position would miss the first records in silence."""
    instance = site.instance().start()
    before = site.send(12)
    instance.await_received(before)
    site.cluster.delete_topic(site.spikes)
    site.create("spikes")
    after = site.send(12)
    instance.await_received(after)
    assert instance.said("the topic was deleted and made again: reading the new one from its beginning")
    assert site.alerted() - Counter({GAP: PARTITIONS}) == once_each(before | after)
    assert site.alerted()[GAP] >= 1


def test_an_alert_topic_may_be_deleted_and_made_again(site: Site) -> None:
    """Alerts wait until it is there; what the sinks had before they have once."""
    instance = site.instance().start()
    before = site.send()
    instance.await_received(before)
    site.cluster.delete_topic(site.alerts)
    waiting = site.send()
    instance.await_metric(0, "stage_up", stage="spikes")
    assert site.alerts in instance.await_said(rf"spikes: .*{site.alerts}.*there is no such topic")
    site.create("alerts")
    instance.await_received(waiting, 90)
    later = site.send()
    instance.await_received(later)
    assert instance.received() == once_each(before | waiting | later)
    instance.await_metric(STAGES, "stage_up", 90)


def test_an_alert_topic_that_is_replaced_in_a_moment_is_read_from_its_beginning(site: Site) -> None:
    """A cursor of the old topic means nothing in the new one."""
    instance = site.instance().start()
    before = site.send(12)
    instance.await_received(before)
    site.cluster.delete_topic(site.alerts)
    site.create("alerts")
    after = site.send(12)
    instance.await_received(after, 90)
    assert instance.received() == once_each(before | after)


def test_an_alert_that_its_topic_never_takes_is_a_dead_letter_of_every_sink(kafka: Cluster, tmp_path: Path, library: str) -> None:
    """Its neighbours pass it; it is said, counted, in the dead-letter topic and the store, and can be delivered from there."""
    with Site(kafka, tmp_path, library=library, configs={"alerts": {"max.message.bytes": "6000"}}) as site:
        instance = site.instance().start()
        before = site.send(40, partition=0)
        large = json.dumps({"device_id": "large", "neuron_id": 42, "note": "n" * 8_000}).encode()
        site.append({"large": large}, partition=0)
        after = site.send(40, partition=0)
        instance.await_received(before | after)
        said = instance.await_said("is a dead letter of every sink now")
        assert site.alerts in said
        assert "raise max.message.bytes" in said
        assert site.alerted() == once_each(before | after)
        assert instance.metric("unappended_total") == 1
        (letter,) = everything(kafka, site.letters)
        with Store(instance.directory / "data") as store:
            (kept,) = store.letters(kind="sink", place="lines")
            assert (letter.key or b"").decode() in said
            store.retry([kept.id])
        instance.await_received({"large"})
        assert instance.received() == once_each(before | after | {"large"})


def test_what_an_instance_keeps_is_delivered_only_over_its_store(kafka: Cluster, tmp_path: Path, library: str) -> None:
    """Where one instance reads spikes and another delivers, as in the shipped composition, the letter waits for the sink's stage beside it."""
    with Site(kafka, tmp_path, library=library, configs={"alerts": {"max.message.bytes": "6000"}}) as site:
        reads, delivers = site.instance(), site.instance()
        devices = site.send(partition=0)
        large = json.dumps({"device_id": "large", "neuron_id": 42, "note": "n" * 8_000}).encode()
        site.append({"large": large}, partition=0)

        def done(instance: Instance, *words: str) -> None:
            command = [sys.executable, "-m", "spikebridge", *words]
            subprocess.run(command, cwd=instance.directory, capture_output=True, check=True, timeout=PATIENCE_S)

        done(reads, "run", "--stages", "spikes", "--once")
        done(reads, "deadletters", "retry", "--all")
        done(delivers, "run", "--stages", "deliver:lines", "--once")
        assert delivers.received() == once_each(devices)
        done(reads, "run", "--stages", "deliver:lines", "--once")
        assert reads.received() == once_each({"large"})


READER = "bob"


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a broker that lets nobody do what no rule grants."""
    with needed(), Cluster(tmp_path_factory.mktemp("restricted"), restricted=True) as cluster:
        yield cluster


def test_who_may_not_append_watches_no_silence(restricted: Cluster, tmp_path: Path, library: str) -> None:
    """A right that is missing is told; with `append: false` a mapping over silence doesn't come into force, and others do by commit."""
    with Site(restricted, tmp_path, library=library) as site:
        restricted.allow(READER, "READ DESCRIBE DESCRIBE_CONFIGS", "TOPIC", site.spikes)
        for topic in (site.alerts, site.revisions, site.letters):
            restricted.allow(READER, "READ WRITE DESCRIBE DESCRIBE_CONFIGS", "TOPIC", topic)
        restricted.allow(READER, "READ DESCRIBE", "GROUP", site.group, prefixed=True)
        restricted.allow(READER, "IDEMPOTENT_WRITE DESCRIBE", "CLUSTER", "kafka-cluster")
        login = {"mechanism": "SCRAM-SHA-512", "user": READER, "password": restricted.passwords[READER]}
        log = {"servers": restricted.bootstrap("SASL_PLAINTEXT").split(","), "sasl": login}
        instance = site.instance({**log, "append": False}).start()
        assert instance.said(f"topic {site.spikes}: silence is not watched: append is false")
        first = site.send()
        instance.await_received(first)
        begun = instance.lines()
        watching = site.publish(MAPPINGS + WATCHES)
        assert instance.await_said(rf"{site.spikes}-0: revision {watching} watches for silence \(silent\)", begun)
        second = site.send(neuron=7) | site.send()
        third = site.publish(MAPPINGS.replace("neuron_id: 42", "neuron_id: 7"))
        await_true(lambda: instance.metric("revision") == third, tell=instance.tail)
        fourth = site.send(neuron=7)
        instance.await_received(fourth)
        assert {alert.revision for alert in site.findings()} == {1, third}
        assert site.alerted().keys() >= first | fourth
        assert site.alerted().keys() <= first | second | fourth
        instance.stop()
        insisting = site.instance(log).start()
        site.publish(MAPPINGS)
        refused = insisting.await_said(f"spikes: {site.spikes}-[01]: .*(no right|not authorized|Authoriz)")
        assert site.spikes in refused
        insisting.await_metric(0, "stage_up", stage="spikes")
