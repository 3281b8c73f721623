"""Sinks that are away, full, or refuse: the others go on, memory stays where it was, and everything arrives, once where the sink knows ids."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from tests.live.kafka_places import everything
from tests.live.running import Instance, Site, await_true, once_each
from tests.live.search_places import install_templates

from spikebridge.alerts import Alert
from spikebridge.search.rights import indices
from spikebridge.search.templates import ALERTS
from spikebridge.store import Query, Store
from spikebridge.testing.hec import Fault, HecServer, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.live.servers.elasticsearch import Elasticsearch
    from tests.live.servers.search import SearchServer

LINES = {"type": "file", "path": "lines.jsonl"}
MEMORY_BYTES = {"kafka-python": 64 << 20, "confluent": (64 + 64 + 32) << 20}
"""By so much a process may grow while a sink is away, however long that is; confluent-kafka fetches ahead what the sink doesn't take."""

SMALL_BYTES = 4 << 20
PROMPT_S = 60.0
"""Within this time the other sinks have an alert, on a machine that is busy with other things."""


def documents(server: SearchServer, tenant: str) -> Counter[str]:
    """Count the documents of a tenant by device; none while the index is being made."""
    index = f"{ALERTS}-{tenant}-*"
    server.admin.post(f"/{index}/_refresh").expect()
    if server.admin.get(f"/_cluster/health/{index}?wait_for_status=yellow&timeout=10s").status != HTTPStatus.OK:
        return Counter()
    query: dict[str, Any] = {"size": 5_000, "sort": [{"event.id": "asc"}], "_source": ["host.id"]}
    found: Counter[str] = Counter()
    while True:
        answer = server.admin.post(f"/{index}/_search", query)
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:  # made since its health was asked for
            return Counter()
        if not (hits := answer.expect().json["hits"]["hits"]):
            return found
        found.update(hit["_source"]["host"]["id"] for hit in hits)
        query["search_after"] = hits[-1]["sort"]


def await_documents(server: SearchServer, site: Site, devices: set[str], instance: Instance) -> None:
    """Wait until each device has a document, and find exactly one of each."""
    await_true(lambda: documents(server, site.tenant).keys() >= devices, tell=instance.tail)
    assert documents(server, site.tenant) == once_each(devices)


@pytest.mark.parametrize(
    ("library", "for_s"),
    [
        pytest.param("kafka-python", 120.0, marks=(pytest.mark.live, pytest.mark.timeout(600))),
        pytest.param("kafka-python", 600.0, marks=(pytest.mark.live_full, pytest.mark.timeout(1_800))),
        pytest.param("confluent", 60.0, marks=(pytest.mark.live_full, pytest.mark.timeout(600))),
    ],
    indirect=["library"],
)
def test_elasticsearch_may_be_away(site: Site, elasticsearch: Elasticsearch, for_s: float) -> None:
    """The other sink is as quick as before, the process no larger, and when it is back everything arrives, once."""
    install_templates(elasticsearch)
    elastic = {"type": "elasticsearch", "endpoint": elasticsearch.url, "timeout": "1s"}
    instance = site.instance(sinks={"elastic": elastic, "lines": LINES}).start()
    sent = site.send(100)
    instance.await_received(sent)
    await_documents(elasticsearch, site, sent, instance)
    memory = instance.memory()
    elasticsearch.stop()
    try:
        slowest_s, end = 0.0, time.monotonic() + for_s
        while time.monotonic() < end:
            began = time.monotonic()
            fresh = site.send(round(24_000 / for_s))  # the file is not to rotate meanwhile
            sent |= fresh
            instance.await_received(fresh)
            slowest_s = max(slowest_s, time.monotonic() - began)
            time.sleep(1)
        grown = instance.memory() - memory
        figures = f"the slowest in the other sink after {slowest_s:.1f} s; {memory >> 20} MB and {grown >> 20} more"
        print(f"{len(sent)} alerts, {figures}")  # noqa: T201  for `-s`: figures are what it is for
        assert slowest_s < PROMPT_S
        assert grown < MEMORY_BYTES[site.library]
        assert instance.metric("sink_up", sink="elastic") == 0
        assert instance.metric("sink_up", sink="lines") == 1
        await_true(lambda: instance.metric("sink_lag_entries", sink="elastic") >= len(sent) - 100, tell=instance.tail)
        assert instance.metric("sink_oldest_seconds", sink="elastic") >= for_s / 2
        assert elasticsearch.url.removeprefix("http://") in instance.await_said("sink elastic: ")
    finally:
        elasticsearch.start()
    await_documents(elasticsearch, site, sent, instance)
    instance.await_metric(0, "sink_lag_entries", sink="elastic")
    assert instance.received() == once_each(sent)


def test_one_document_of_the_wrong_type_is_a_dead_letter(site: Site, elasticsearch: Elasticsearch) -> None:
    """An index in which names of hosts are addresses refuses one device: the rest of its batch is delivered."""
    install_templates(elasticsearch)
    keyword = {"type": "keyword"}
    hosts = {"properties": {"name": {"type": "ip"}, "id": keyword}}
    mappings = {"properties": {"host": hosts, "event": {"properties": {"id": keyword}}}}
    pattern = {"index_patterns": [f"{ALERTS}-{site.tenant}-*"], "priority": 900, "template": {"mappings": mappings}}
    elasticsearch.admin.put(f"/_index_template/{site.tenant}", pattern).expect()
    instance = site.instance(sinks={"elastic": {"type": "elasticsearch", "endpoint": elasticsearch.url}}).start()
    good = {f"10.0.0.{number}" for number in range(1, 20)}
    devices = {
        name: b'{"device_id": "%s", "neuron_id": 42}' % name.encode() for name in (*sorted(good)[:9], "cam", *sorted(good)[9:])
    }
    site.append(devices, partition=0)
    await_true(
        lambda: site.committed("deliver.elastic") and instance.metric("dead_letters_total", sink="elastic") == 1,
        tell=instance.tail,
    )
    await_true(lambda: documents(elasticsearch, site.tenant).keys() >= good, tell=instance.tail)
    with Store(instance.directory / "data") as store:
        (letter,) = store.letters(kind="sink", place="elastic")
    assert "host.name" in letter.reason
    assert instance.said("sink elastic refused alert .*host.name")
    assert instance.metric("sink_up", sink="elastic") == 1
    elasticsearch.admin.delete(f"/_index_template/{site.tenant}").expect()


def test_an_api_key_that_was_taken_back_is_said_and_a_new_one_is_read_at_a_restart(
    site: Site, elasticsearch_secured: Elasticsearch, tmp_path: Path
) -> None:
    """Nothing but this sink waits for it; what waited arrives once."""
    server = elasticsearch_secured
    install_templates(server)
    role = {"cluster": [], "indices": indices("index", site.tenant)}
    key, file = server.api_key(role), tmp_path / "key"
    file.write_text(key.encoded)
    elastic = {"type": "elasticsearch", "endpoint": server.url, "api_key": f"${{file:{file}}}", "tls": {"ca": str(server.ca)}}
    instance = site.instance(sinks={"elastic": elastic, "lines": LINES}).start()
    sent = site.send()
    await_documents(server, site, sent, instance)
    server.admin.delete("/_security/api_key", {"ids": [key.id]}).expect()
    waiting = site.send()
    instance.await_received(waiting)
    told = instance.await_said("sink elastic: .*401")
    assert server.url in told
    assert "check the API key" in told
    assert "restart" in told
    assert key.encoded not in instance.server.log.read_text()
    instance.await_metric(0, "sink_up", sink="elastic")
    file.write_text(server.api_key(role).encoded)
    instance.stop()
    instance.start()
    await_documents(server, site, sent | waiting, instance)
    assert instance.received() == once_each(sent | waiting)


def test_a_full_disk_of_the_store_holds_up_the_store_alone(site: Site, tmp_path: Path) -> None:
    """Every other sink goes on; with room again the store has everything, once."""
    topic = f"documents-{site.tenant}"
    site.cluster.create_topic(topic)
    data = tmp_path / "small"
    data.mkdir()
    sinks = {
        "store": {"type": "store"},
        "topic": {"type": "kafka", "servers": site.cluster.bootstrap().split(","), "client": site.library, "topic": topic},
    }
    with small_disk(data) as fill:
        instance = site.instance(sinks=sinks, data=data).start()
        sent = site.send()
        await_true(lambda: in_store(data).keys() >= sent, tell=instance.tail)
        with fill(instance):
            waiting = site.send(400) | site.send(400)
            await_true(lambda: len(everything(site.cluster, topic)) >= len(sent | waiting), tell=instance.tail)
            instance.await_metric(0, "sink_up", sink="store")
            assert instance.metric("sink_up", sink="topic") == 1
            assert "store.db" in instance.await_said("sink store: .*full")
        await_true(lambda: in_store(data).keys() >= sent | waiting, tell=instance.tail)
        assert in_store(data) == once_each(sent | waiting)
        instance.await_metric(0, "sink_lag_entries", sink="store")
        instance.stop()


def in_store(data: Path) -> Counter[str]:
    """Count the alerts in a store by device."""
    with Store(data, read_only=True) as store:
        return Counter(one.device.id for one in map(store.opened, store.findings(Query(limit=5_000))) if isinstance(one, Alert))


@contextmanager
def small_disk(directory: Path) -> Iterator[Callable[[Instance], AbstractContextManager[None]]]:
    """Make a directory's disk a small one, and give what fills it for a while; who isn't root may limit the process instead."""
    if os.geteuid():
        yield limited
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "spikebridge", directory], check=True)  # noqa: S607

    @contextmanager
    def filled(_: Instance) -> Iterator[None]:
        ballast = directory / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4_096))
        yield
        ballast.unlink()

    try:
        yield filled
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)  # noqa: S607


@contextmanager
def limited(instance: Instance) -> Iterator[None]:
    """Let the process write no file larger than its largest is now."""
    largest = max(file.stat().st_size for file in instance.data.iterdir())
    _, hard = resource.prlimit(instance.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(instance.server.pid, resource.RLIMIT_FSIZE, (largest, hard))
    yield
    resource.prlimit(instance.server.pid, resource.RLIMIT_FSIZE, (hard, hard))


def test_lost_acknowledgements_of_a_collector_repeat_only_what_they_were_for(site: Site) -> None:
    """Every event arrives; those of requests whose acknowledgement was lost twice, counted, and no other."""
    with HecServer({"a-token": Token(acknowledges=True)}) as collector:
        sink = {"type": "splunk", "endpoints": collector.url, "token": "a-token", "ack_timeout": "2s", "batch_events": 10}
        instance = site.instance(sinks={"splunk": sink}).start()
        first = site.send(20)
        ids = {alert.id for alert in await_alerts(site, first)}
        await_true(lambda: collector.counts().keys() >= ids, tell=instance.tail)
        assert set(collector.counts().values()) == {1}
        collector.faults.append(Fault(loses="acknowledgement", times=3))
        second = site.send(60)
        ids |= {alert.id for alert in await_alerts(site, second)}
        await_true(
            lambda: collector.counts().keys() >= ids and instance.metric("sink_lag_entries", sink="splunk") == 0,
            tell=instance.tail,
        )
        counts = collector.counts()
        assert counts.keys() == ids
        repeats = sum(counts.values()) - len(counts)
        assert 0 < repeats <= 3 * 10
        assert instance.metric("doubtful_total", sink="splunk") == repeats


def await_alerts(site: Site, devices: set[str]) -> list[Alert]:
    """Wait until each device has an alert in the alert topic, and return those."""

    def found() -> list[Alert]:
        alerts = [alert for alert in site.findings() if alert.device.id in devices]
        return alerts if len(alerts) == len(devices) else []

    return await_true(found)
