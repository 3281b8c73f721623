"""What is written into real search servers: documents that their templates understand, incidents by version, streams and their limit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.live.delivering import TODAY, Host, an_alert, an_incident
from tests.live.search_places import a_sink, flavour_of, found_ids, install_templates, settings_of

from spikebridge import cli
from spikebridge.errors import SinkUnavailable
from spikebridge.search import documents, probe_server
from spikebridge.search.templates import ALERTS, CUSTOM, STREAM

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.servers.search import SearchServer

    from spikebridge.probe import Check

pytestmark = pytest.mark.live

PRODUCTS = ["elasticsearch", "opensearch"]


@pytest.fixture(params=PRODUCTS)
def server(request: pytest.FixtureRequest) -> SearchServer:
    """Give each test both products."""
    found: SearchServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def tenant(unique: str) -> str:
    """Name a tenant that no other test uses."""
    return unique.replace("-", "_")


def test_an_older_server_takes_the_same_requests(elasticsearch8: SearchServer, tenant: str) -> None:
    """Written, known, and one refusal."""
    install_templates(elasticsearch8)
    alerts = [an_alert(number, tenant) for number in range(5)]
    sink = a_sink(elasticsearch8)
    sink.open()
    assert sink.write(alerts) == 0
    assert sink.write(alerts) == 5
    elasticsearch8.admin.put(f"/spikebridge-alerts-{tenant}-{TODAY}/_settings", {"index.blocks.write": True}).expect()
    with pytest.raises(SinkUnavailable, match="403 cluster_block_exception"):
        sink.write([an_alert(9, tenant)])
    sink.close()


def test_an_alert_is_found_under_the_alias_by_explicit_fields(server: SearchServer, tenant: str) -> None:
    """The template's types are in force: a keyword is found whole, a date by its range."""
    install_templates(server)
    Host().deliver(a_sink(server), [an_alert(1, tenant, device="thermostat 7")])
    server.admin.post(f"/{ALERTS}/_refresh").expect()
    query = {
        "query": {
            "bool": {
                "filter": [
                    {"term": {"labels.tenant": tenant}},
                    {"term": {"host.id": "thermostat 7"}},
                    {"range": {"@timestamp": {"gte": "2026-11-21T11:59:59Z", "lte": "2026-11-21T12:00:01Z"}}},
                ]
            }
        }
    }
    (hit,) = server.admin.post(f"/{ALERTS}/_search", query).expect().json["hits"]["hits"]
    assert hit["_index"] == f"{ALERTS}-{tenant}-{TODAY}"
    assert hit["_id"] == hit["_source"]["event"]["id"] == f"{tenant}-000001"


def test_a_newer_version_of_an_incident_replaces_an_older_one_and_never_the_other_way(server: SearchServer, tenant: str) -> None:
    """Whatever order they are written in; what is not newer counts as known."""
    install_templates(server)
    sink = a_sink(server)
    assert sink.write([an_incident(1, tenant), an_incident(3, tenant)]) == 0
    assert sink.write([an_incident(2, tenant), an_incident(3, tenant)]) == 2
    sink.close()
    found = server.admin.get(f"/{documents.incident_index(tenant)}/_doc/{tenant}-incident").expect().json
    assert found["_version"] == found["_source"]["spike"]["version"] == 3


def test_a_stream_holds_twice_what_is_repeated_after_a_rollover(server: SearchServer, tenant: str) -> None:
    """Before it a repeat is known; an id is unique within a backing index only. Mode `index` has no such moment."""
    install_templates(server, "stream")
    alerts = [an_alert(number, tenant) for number in range(5)]
    ids = [alert.id for alert in alerts]
    stream = documents.alert_stream(tenant)
    sink = a_sink(server, mode="stream")
    sink.open()
    assert sink.write(alerts) == 0
    assert sink.write(alerts) == 5
    assert found_ids(server.admin, stream) == ids
    server.admin.post(f"/{stream}/_rollover").expect()
    assert sink.write(alerts) == 0
    sink.close()
    assert found_ids(server.admin, stream) == sorted([*ids, *ids])
    found = server.admin.post(f"/{stream}/_search", {"size": 1}).expect().json["hits"]["hits"][0]["_source"]
    assert found["data_stream"] == {"type": "logs", "dataset": "spikebridge.alert", "namespace": tenant}
    assert set(ids) <= set(found_ids(server.admin, STREAM))


def test_a_server_that_was_not_set_up_is_told_at_the_start(server: SearchServer) -> None:
    """Guessed types would outlive the mistake."""
    install_templates(server)
    server.admin.delete(f"/_index_template/{ALERTS}").expect()
    with pytest.raises(SinkUnavailable, match=r"install it with `spikebridge setup (elasticsearch|opensearch)`"):
        a_sink(server).open()
    install_templates(server)


def configured(directory: Path, server: SearchServer, tenant: str, **settings: Any) -> str:
    """Write a configuration with one sink for a server."""
    sink = {"type": server.product, "endpoint": server.url, **settings}
    path = directory / "spikebridge.yaml"
    path.write_text(json.dumps({"tenant": tenant, "sinks": {"siem": sink}}))
    return str(path)


@pytest.mark.parametrize("mode", ["index", "stream"])
def test_setup_installs_what_the_sink_asks_for(
    opensearch: SearchServer, tenant: str, tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice, for it is run again after an upgrade; the operator's own component is left alone."""
    config = configured(tmp_path, opensearch, tenant, mode=mode)
    if mode == "index":  # that of streams can't go while another test's stream is there
        opensearch.admin.delete(f"/_index_template/{ALERTS}").expect(200, 404)
    mine = {"template": {"settings": {"index.number_of_replicas": 0}}}
    assert cli.main(["setup", "opensearch", "--config", config]) == 0
    opensearch.admin.put(f"/_component_template/{CUSTOM}", mine).expect()
    assert cli.main(["setup", "opensearch", "siem", "--config", config]) == 0

    said = capsys.readouterr().out
    assert "old alerts stay until somebody deletes their indices" in said
    assert "PUT /_plugins/_security/api/roles/spikebridge-" in said
    sink = a_sink(opensearch, mode=mode)
    sink.open()
    assert sink.write([an_alert(1, tenant)]) == 0
    sink.close()
    kept = opensearch.admin.get(f"/_component_template/{CUSTOM}").expect().json["component_templates"][0]
    assert kept["component_template"]["template"]["settings"]["index"]["number_of_replicas"] == "0"
    opensearch.admin.put(f"/_component_template/{CUSTOM}", {"template": {}}).expect()


def checks_of(server: SearchServer, tenant: str, **settings: Any) -> dict[str, Check]:
    """Probe, and return the checks by name."""
    return {check.name: check for check in probe_server.probe(settings_of(server, **settings), tenant, flavour_of(server))}


def test_a_probe_of_a_server_that_is_well_leaves_nothing_behind(server: SearchServer, tenant: str) -> None:
    """From DNS to a document that was read back."""
    install_templates(server)
    before = server.admin.get("/_cat/indices?h=index&s=index").expect().body
    checks = checks_of(server, tenant)

    assert [*checks] == ["DNS", "TCP", "TLS", "credentials", "version", "template", "write", "read back"]
    assert all(check.ok for check in checks.values())
    assert server.version in checks["version"].detail
    assert server.admin.get("/_cat/indices?h=index&s=index").expect().body == before


def test_a_probe_reads_back_from_a_stream_and_removes_it(opensearch: SearchServer, tenant: str) -> None:
    """The small distribution of Elasticsearch can't remove data streams: there nothing is written, and that is said."""
    install_templates(opensearch, "stream")
    checks = checks_of(opensearch, tenant, mode="stream")

    assert all(check.ok for check in checks.values())
    assert "read back" in checks
    assert tenant not in opensearch.admin.get("/_data_stream").expect().body.decode()


def test_a_probe_writes_nothing_that_it_could_not_remove(elasticsearch: SearchServer, tenant: str) -> None:
    """Which is the case for data streams on the small distribution of Elasticsearch."""
    install_templates(elasticsearch, "stream")
    check = checks_of(elasticsearch, tenant, mode="stream")["write"]

    assert not check.ok
    assert "not tried" in check.detail
    assert elasticsearch.admin.get(f"/_resolve/index/*{tenant}*").expect().json["data_streams"] == []
