"""Search servers that are small, busy, frozen or killed: what fits goes in, what doesn't is said, and everything arrives once."""

from __future__ import annotations

import random
import time
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from tests.live.delivering import Host, an_alert
from tests.live.search_places import a_sink, found_ids, install_templates
from tests.live.servers import elasticsearch, opensearch
from tests.live.servers.elasticsearch import Elasticsearch
from tests.live.servers.missing import needed
from tests.live.servers.opensearch import OpenSearch

from spikebridge import metrics as numbers
from spikebridge.errors import SinkRefused, SinkUnavailable
from spikebridge.search.bulk import SMALLEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.servers.search import SearchServer

    from spikebridge.alerts import AlertEntry

pytestmark = pytest.mark.live

ALL = "spikebridge-alerts"

SMALL: dict[str, object] = {"http.max_content_length": "1mb"}
SHORT_OF_MEMORY: dict[str, object] = {"indexing_pressure.memory.limit": f"{2 * SMALLEST_BYTES}b"}
NARROW: dict[str, object] = {"thread_pool.write.size": 1, "thread_pool.write.queue_size": 1}


@pytest.fixture(scope="module", params=["elasticsearch", "opensearch"])
def own(request: pytest.FixtureRequest) -> Iterator[SearchServer]:
    """Start a server of the module's own."""
    product, version = (
        (Elasticsearch, elasticsearch.NEWEST) if request.param == "elasticsearch" else (OpenSearch, opensearch.NEWEST)
    )
    made = product(version, SMALL)
    with needed(), made as server:
        yield server


def prepared(server: SearchServer, settings: dict[str, object]) -> SearchServer:
    """Give the server these settings, and no alerts."""
    if server.settings != settings:
        server.restart(settings)
    install_templates(server)
    for line in server.admin.get("/_cat/indices/spikebridge-alerts-*?format=json").expect().json:
        server.admin.delete(f"/{line['index']}").expect()
    return server


def alerts_of(count: int, tenant: str = "acme", first: int = 0) -> list[AlertEntry]:
    """Make so many alerts."""
    return [an_alert(number, tenant) for number in range(first, first + count)]


def ids_of(alerts: list[AlertEntry]) -> list[str]:
    """Return their ids."""
    return [alert.id for alert in alerts]


@pytest.mark.timeout(600)
def test_what_is_too_large_for_the_server_goes_in_parts(own: SearchServer) -> None:
    """The limit counts what is unpacked; 413 has no body; a document that is too large alone is refused, with the others delivered."""
    server = prepared(own, SMALL)
    large = an_alert(9_999, "acme", explanation="word " * 250_000)
    alerts = alerts_of(2_000)
    sink = a_sink(server, batch_entries=5_000)
    with pytest.raises(SinkRefused) as refusal:
        sink.write([*alerts[:1_000], large, *alerts[1_000:]])
    sink.close()

    assert sorted(found_ids(server.admin, ALL)) == ids_of(alerts)
    assert list(refusal.value.reasons) == [large.id]
    assert "413" in refusal.value.reasons[large.id]
    assert refusal.value.known == 0


@pytest.mark.timeout(600)
def test_a_server_that_stands_still_is_left_after_a_while(own: SearchServer) -> None:
    """We wait 10 s longer than it was asked to take, and go on when it does."""
    server = prepared(own, SMALL)
    sink = a_sink(server, timeout="1s")
    sink.open()
    server.process.freeze()
    began_s = time.monotonic()
    try:
        with pytest.raises(SinkUnavailable, match="no answer in time"):
            sink.write(alerts_of(5))
        waited_s = time.monotonic() - began_s
    finally:
        server.process.thaw()

    assert 10 < waited_s < 40
    sink.write(alerts_of(5))  # while the server may still be writing what it was sent before
    assert sorted(found_ids(server.admin, ALL)) == ids_of(alerts_of(5))
    sink.close()


@pytest.mark.live_full
@pytest.mark.timeout(900)
def test_ten_thousand_alerts_arrive_once_though_the_server_is_killed(own: SearchServer) -> None:
    """Killed three times in the middle of writing and started again; what it had written but never answered is known to it."""
    server = prepared(own, SMALL)
    alerts = alerts_of(10_000)
    host = Host(pass_time=lambda seconds: time.sleep(min(seconds, 0.2)))
    killed_at: list[float] = []

    def kill() -> None:
        for share in (0.2, 0.5, 0.8):
            while host.metrics.value(numbers.DELIVERED, sink="siem") < share * len(alerts):
                time.sleep(0.005)
            time.sleep(random.uniform(0, 0.1))
            killed_at.append(host.metrics.value(numbers.DELIVERED, sink="siem"))
            server.kill()
            server.start()

    killer = Thread(target=kill)
    killer.start()
    host.deliver(a_sink(server, batch_entries=20), alerts)
    killer.join()

    assert sorted(found_ids(server.admin, ALL)) == ids_of(alerts)
    assert host.metrics.value(numbers.DELIVERED, sink="siem") == 10_000
    assert len(killed_at) == 3
    assert killed_at[-1] < 10_000
    assert host.waits
    assert host.refused == {}


@pytest.mark.timeout(600)
def test_a_server_short_of_memory_is_given_less_at_once(own: SearchServer) -> None:
    """429 for the whole request, and nothing of it taken."""
    server = prepared(own, SHORT_OF_MEMORY)
    alerts = alerts_of(1_000)
    host = Host()
    host.deliver(a_sink(server), alerts)

    assert sorted(found_ids(server.admin, ALL)) == ids_of(alerts)
    assert 0 < len(host.waits) < 10
    assert "429" in host.errors[0]
    assert "rejected_execution_exception" in host.errors[0]
    assert host.metrics.value(numbers.KNOWN, sink="siem") == 0


@pytest.mark.timeout(600)
def test_a_full_queue_refuses_some_documents_and_they_come_again(own: SearchServer) -> None:
    """Many who write at once; each entry's own line of the answer counts."""
    server = prepared(own, NARROW)
    parts = [alerts_of(500, first=500 * part) for part in range(16)]
    hosts = [Host(pass_time=lambda seconds: time.sleep(min(seconds, 0.05))) for _ in parts]
    threads = [
        Thread(target=host.deliver, args=(a_sink(server, batch_entries=25), part))
        for host, part in zip(hosts, parts, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found_ids(server.admin, ALL)) == ids_of(alerts_of(8_000))
    errors = {error for host in hosts for error in host.errors}
    assert any("429" in error and "rejected_execution_exception" in error for error in errors)
    assert not any(host.refused for host in hosts)
