"""Records that are no spikes, keys that lie, clocks that are a day off: each is told, counted and kept, and delays nothing behind it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaProducer
from tests.live.kafka_places import everything
from tests.live.running import Site, await_true, once_each

from spikebridge.explanation import explain
from spikebridge.limits import SECOND
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.servers.kafka import Cluster

DAY_S = 86_400.0
LARGE_BYTES = 3 << 20
ROUNDING_S = 60.0


def frame(device: str, start_ns: int) -> bytes:
    """Return a frame with one spike that is mapped."""
    return encode_events(Head(device=device, start_ns=start_ns), [42], [0])


def test_poisoned_records_are_kept_twice_and_passed(site: Site) -> None:
    """In the dead-letter topic, with origin and reason, and in the store, byte for byte; then those behind them are read."""
    instance = site.instance().start()
    poison = {
        "rubbish": b"\x00\xff rubbish",
        "text": b'{"device_id": "text", "neuron_id": ',
        "list": b'[{"device_id": "list", "neuron_id": "many"}]',
        "impostor": frame("somebody-else", time.time_ns()),
        "": b'{"device_id": "keyless", "neuron_id": 42}',
    }
    offsets = site.append(poison, partition=0)
    sent = site.send(6, partition=0)
    instance.await_received(sent)
    assert site.alerted() == once_each(sent)
    letters = everything(site.cluster, site.letters)
    assert len(letters) >= len(poison)
    origins = {int((letter.key or b"").decode().split("/")[-2]): letter.value for letter in letters}
    assert origins.keys() == set(offsets)
    as_sent = dict(zip(poison, offsets, strict=True))
    assert {key: origins[as_sent[key]] for key in ("rubbish", "text", "impostor")} == {
        key: poison[key] for key in ("rubbish", "text", "impostor")
    }
    assert json.loads(origins[as_sent[""]]) == [json.loads(poison[""])], "of a record that can be read, the part that is refused"
    with Store(instance.data) as store:
        kept = store.letters(kind="record")
    assert {letter.raw for letter in kept} == {letter.value for letter in letters}
    assert all(letter.reason for letter in kept)
    assert instance.metric("records_refused_total") == len(kept)
    assert await_true(lambda: max(place.offset for place in site.committed().values()) > max(offsets))


def test_a_position_waits_for_the_dead_letter(site: Site) -> None:
    """While the dead-letter topic is gone the partition stands still at the record, says so, and goes on when it is back."""
    instance = site.instance().start()
    before = site.send(2, partition=0)
    instance.await_received(before)
    site.cluster.delete_topic(site.letters)
    (poisoned,) = site.append({"rubbish": b"rubbish"}, partition=0)
    waiting, others = site.send(2, partition=0), site.send(2, partition=1)
    instance.await_received(others)
    assert site.letters in instance.await_said(
        f"spikes: {site.spikes}-0: .*appending to {site.letters}: .*there is no such topic"
    )
    instance.await_metric(0, "stage_up", stage="spikes")
    assert max(place.offset for partition, place in site.committed().items() if partition.number == 0) <= poisoned
    assert not site.alerted().keys() & waiting
    site.create("letters")
    instance.await_received(waiting)
    assert site.alerted() == once_each(before | waiting | others)
    (letter,) = everything(site.cluster, site.letters)
    assert letter.value == b"rubbish"


def test_records_larger_than_any_of_ours_are_read_told_and_passed(kafka: Cluster, tmp_path: Path, library: str) -> None:
    """A topic may take them: they are dead letters with the reason, whole in the store, and what is behind them is read."""
    with Site(kafka, tmp_path, library=library, configs={"spikes": {"max.message.bytes": str(4 * LARGE_BYTES)}}) as site:
        instance = site.instance().start()
        before = site.send(2, partition=0)
        rubbish = b"{" * LARGE_BYTES
        large = json.dumps({"device_id": "large", "neuron_id": 42, "note": "n" * LARGE_BYTES}).encode()
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap(), max_request_size=4 * LARGE_BYTES)
        for key, value in ((b"rubbish", rubbish), (b"large", large)):
            producer.send(site.spikes, value, key, partition=0).get(timeout=30)
        producer.close()
        after = site.send(2, partition=0)
        instance.await_received(before | after)
        assert site.alerted() == once_each(before | after)
        assert instance.metric("records_refused_total") == 2
        assert instance.metric("stage_up", stage="spikes") == 1
        assert len(everything(kafka, site.letters)) == 2
        with Store(instance.data) as store:
            kept = store.letters(kind="record")
        assert {letter.raw for letter in kept} == {rubbish, large}
        assert all("expected at most 1048576 bytes, found 3145" in letter.reason for letter in kept)


def test_send_appends_what_it_can_and_the_service_keeps_the_rest(site: Site) -> None:
    """Lines that are no spikes are named by the command, and become dead letters of the service."""
    instance = site.instance().start()
    good = {f"sender-{number}" for number in range(5)}
    lines = [json.dumps({"device_id": device, "neuron_id": 42}) for device in sorted(good)]
    lines.insert(2, '{"device_id": "cut", "neuron_id"')
    file = instance.directory / "today.jsonl"
    file.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "spikebridge", "send", str(file), "--to", "kafka:plant", "--json"]
    done = subprocess.run(command, check=False, cwd=instance.directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, "it tells that not all of it is spikes"
    assert f"{file}:3: record: input data was truncated" in done.stderr
    instance.await_received(good)
    assert site.alerted() == once_each(good)
    await_true(lambda: len(everything(site.cluster, site.letters)) == 1)
    assert instance.metric("records_refused_total") == 1


@pytest.mark.parametrize("ahead_s", [DAY_S, -DAY_S])
def test_a_clock_that_is_a_day_off_changes_no_alert(site: Site, ahead_s: float) -> None:
    """Neither ours nor the producer's nor a device's: the brokers stamp, and a time that is out of bounds counts as that stamp."""
    skewed = site.instance(ahead_s=ahead_s).start()
    now_ns = time.time_ns()
    shift_ns = round(ahead_s * SECOND)
    site.append({"ahead": frame("ahead", now_ns + shift_ns), "good": frame("good", now_ns - SECOND)})
    producer = KafkaProducer(bootstrap_servers=site.cluster.bootstrap())
    stamped = producer.send(site.spikes, frame("stamped", now_ns), b"stamped", timestamp_ms=(now_ns + shift_ns) // 1_000_000)
    stamped.get(timeout=30)
    producer.close()
    devices = {"ahead", "good", "stamped"}
    skewed.await_received(devices)
    found = {alert.device.id: alert for alert in site.findings()}
    assert found.keys() == devices
    assert {device: found[device].time_source for device in devices} == {"ahead": "log", "good": "device", "stamped": "device"}
    assert all(abs(alert.append_ns - now_ns) < ROUNDING_S * SECOND for alert in found.values())
    assert all(abs(alert.time_ns - now_ns) < ROUNDING_S * SECOND for alert in found.values())
    assert skewed.metric("retimed_total") == 1
    assert "its clock was out of bounds" in explain(found["ahead"])
    side = "behind" if ahead_s > 0 else "ahead of"
    skewed.await_said(f"the brokers' clock is 1d {side} ours")
    await_true(lambda: abs(skewed.metric("append_clock_ahead_seconds") + ahead_s) < ROUNDING_S, tell=skewed.tail)
    skewed.stop()
    right = site.instance().start()
    sent = site.send()
    right.await_received(sent)
    assert site.alerted() == once_each(devices | sent), "nothing new from the same records"
