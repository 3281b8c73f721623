"""TLS and rights on secured search servers: the least that we say we need is enough, and whoever refuses us is told apart."""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from tests.live.delivering import an_alert, an_incident
from tests.live.search_places import a_sink, found_ids, install_templates, own_templates, settings_of
from tests.live.servers.tls import Authority

from spikebridge.errors import SinkDenied, SinkUnavailable
from spikebridge.search import documents, probe_server, rights
from spikebridge.search.connection import connect
from spikebridge.search.installing import install

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.servers.elasticsearch import Elasticsearch
    from tests.live.servers.opensearch import OpenSearch
    from tests.live.servers.search import SearchServer

    from spikebridge.search.templates import Mode

pytestmark = pytest.mark.live


@pytest.fixture
def tenant(unique: str) -> str:
    """Name a tenant that no other test uses."""
    return unique.replace("-", "_")


def role(tenant: str, mode: Mode = "index") -> dict[str, Any]:
    """Return the role that `setup` prints for a key of Elasticsearch."""
    (one,) = rights.needed("elasticsearch", mode, tenant).body["role_descriptors"].values()
    found: dict[str, Any] = one
    return found


@pytest.mark.parametrize("mode", ["index", "stream"])
def test_the_least_rights_of_a_key_are_enough(elasticsearch_secured: Elasticsearch, tenant: str, mode: Mode) -> None:
    """Alerts and incidents, written, repeated and changed."""
    install_templates(elasticsearch_secured, mode)
    key = elasticsearch_secured.api_key(role(tenant, mode))
    alerts = [an_alert(number, tenant) for number in range(5)]
    sink = a_sink(elasticsearch_secured, api_key=key.encoded, mode=mode)
    sink.open()
    assert sink.write([*alerts, an_incident(1, tenant)]) == 0
    assert sink.write([*alerts, an_incident(2, tenant)]) == 5
    sink.close()
    target = documents.alert_stream(tenant) if mode == "stream" else f"spikebridge-alerts-{tenant}-*"
    assert found_ids(elasticsearch_secured.admin, target) == [alert.id for alert in alerts]


def test_a_probe_under_a_key_with_the_least_rights_is_content(elasticsearch_secured: Elasticsearch, tenant: str) -> None:
    """It is known, has its rights, writes, reads back, and leaves nothing."""
    install_templates(elasticsearch_secured)
    key = elasticsearch_secured.api_key(role(tenant))
    checks = list(probe_server.probe(settings_of(elasticsearch_secured, api_key=key.encoded), tenant, "elasticsearch"))

    assert [check.name for check in checks if not check.ok] == []
    assert {"rights", "write", "read back"} <= {check.name for check in checks}
    assert tenant not in elasticsearch_secured.admin.get("/_cat/indices?h=index").expect().body.decode()


def test_a_probe_names_the_rights_that_are_lacking(elasticsearch_secured: Elasticsearch, tenant: str) -> None:
    """And writes nothing then."""
    mean = {"cluster": [], "indices": rights.indices("index", tenant)[1:]}
    key = elasticsearch_secured.api_key(mean)
    *_, last = probe_server.probe(settings_of(elasticsearch_secured, api_key=key.encoded), tenant, "elasticsearch")

    assert (last.name, last.ok) == ("rights", False)
    assert f"create_doc on spikebridge-alerts-{tenant}-*" in last.detail


def test_a_probe_under_a_wrong_key_ends_there(elasticsearch_secured: Elasticsearch, tenant: str) -> None:
    """What follows would say the same."""
    *_, last = probe_server.probe(settings_of(elasticsearch_secured, api_key="bm9ib2R5Om5vdGhpbmc="), tenant, "elasticsearch")

    assert (last.name, last.ok) == ("credentials", False)
    assert "401" in last.detail


def test_a_wrong_key_is_denied_and_never_repeated_to_anybody(elasticsearch_secured: Elasticsearch) -> None:
    """At the start already."""
    with pytest.raises(SinkDenied, match="401 security_exception") as denied:
        a_sink(elasticsearch_secured, api_key="bm9ib2R5Om5vdGhpbmc=").open()
    assert "bm9ib2R5" not in str(denied.value)
    assert denied.value.after_s == 300


def test_a_key_that_is_invalidated_holds_everything_until_another_is_there(
    elasticsearch_secured: Elasticsearch, tenant: str
) -> None:
    """In the middle of the work."""
    install_templates(elasticsearch_secured)
    key = elasticsearch_secured.api_key(role(tenant))
    sink = a_sink(elasticsearch_secured, api_key=key.encoded)
    sink.open()
    assert sink.write([an_alert(1, tenant)]) == 0
    elasticsearch_secured.admin.delete("/_security/api_key", {"ids": [key.id]}).expect()
    with pytest.raises(SinkDenied, match="401 security_exception"):
        sink.write([an_alert(2, tenant)])
    sink.close()


def test_an_index_of_somebody_else_is_denied_and_ours_are_delivered(elasticsearch_secured: Elasticsearch, tenant: str) -> None:
    """The request succeeds and its items don't; the alert that may be written is not written again."""
    install_templates(elasticsearch_secured)
    key = elasticsearch_secured.api_key(role(tenant))
    foreign = an_alert(2, f"{tenant}_2")
    sink = a_sink(elasticsearch_secured, api_key=key.encoded)
    with pytest.raises(SinkDenied, match="403 security_exception") as denied:
        sink.write([an_alert(1, tenant), foreign])
    assert denied.value.undelivered == {foreign.id}
    assert f"spikebridge-alerts-{tenant}_2" in str(denied.value)
    sink.close()


def test_a_key_that_may_only_write_can_not_install(elasticsearch_secured: Elasticsearch, tenant: str) -> None:
    """It is told who can."""
    key = elasticsearch_secured.api_key(role(tenant))
    server = connect(settings_of(elasticsearch_secured, api_key=key.encoded))
    with pytest.raises(SinkDenied, match="needs an administrator"):
        list(install(server, own_templates(elasticsearch_secured)))
    server.close()


def test_a_server_of_another_authority_is_not_trusted(elasticsearch_secured: Elasticsearch, tmp_path: Path) -> None:
    """Nothing is sent to it."""
    other = Authority(tmp_path / "other")
    with pytest.raises(SinkUnavailable, match=r"certificate is not trusted .*check `tls.ca`") as trouble:
        a_sink(elasticsearch_secured, api_key="bm9ib2R5Om5vdGhpbmc=", tls={"ca": str(other.ca)}).open()
    assert not isinstance(trouble.value, SinkDenied)
    assert trouble.value.after_s == 10


def test_a_server_is_known_by_its_fingerprint(elasticsearch_secured: Elasticsearch) -> None:
    """Without an authority; another one is told."""
    host, _, port = elasticsearch_secured.url.removeprefix("https://").partition(":")
    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))
    right = hashlib.sha256(certificate).hexdigest()
    wrong = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(SinkDenied, match="401"):
        a_sink(elasticsearch_secured, api_key="bm9ib2R5Om5vdGhpbmc=", tls={"fingerprint": right}).open()
    with pytest.raises(SinkUnavailable, match="another fingerprint"):
        a_sink(elasticsearch_secured, api_key="bm9ib2R5Om5vdGhpbmc=", tls={"fingerprint": wrong}).open()


def test_plain_http_to_a_port_of_tls_is_told(elasticsearch_secured: Elasticsearch) -> None:
    """And never takes the alerts for delivered."""
    url = elasticsearch_secured.url.replace("https:", "http:")
    with pytest.raises(SinkUnavailable, match=r"http://127.0.0.1:\d+: "):
        a_sink(elasticsearch_secured, endpoint=url, tls={}).open()


def test_https_to_a_port_without_tls_is_told(elasticsearch: SearchServer) -> None:
    """The other way round."""
    with pytest.raises(SinkUnavailable, match=r"no TLS: .*check that the endpoint speaks https"):
        a_sink(elasticsearch, endpoint=elasticsearch.url.replace("http:", "https:")).open()


def test_a_role_of_opensearch_with_the_least_rights_is_enough(opensearch_secured: OpenSearch, tenant: str) -> None:
    """Alerts and incidents, repeated and changed; and a probe that leaves nothing."""
    install_templates(opensearch_secured)
    user = opensearch_secured.user(rights.needed("opensearch", "index", tenant).body)
    identity = {"user": user.name, "password": user.password}
    alerts = [an_alert(number, tenant) for number in range(5)]
    sink = a_sink(opensearch_secured, **identity)
    sink.open()
    assert sink.write([*alerts, an_incident(1, tenant)]) == 0
    assert sink.write([*alerts, an_incident(2, tenant)]) == 5
    sink.close()
    checks = list(probe_server.probe(settings_of(opensearch_secured, **identity), tenant, "opensearch"))
    assert [check for check in checks if not check.ok] == []
    assert "read back" in {check.name for check in checks}
    assert found_ids(opensearch_secured.admin, f"spikebridge-alerts-{tenant}-*") == [alert.id for alert in alerts]


def test_a_wrong_password_is_denied_by_opensearch(opensearch_secured: OpenSearch) -> None:
    """Its answer is a word, not a document."""
    with pytest.raises(SinkDenied, match="401: Unauthorized"):
        a_sink(opensearch_secured, user="administrator", password="guessed").open()  # noqa: S106 -- a wrong one


def test_an_index_of_somebody_else_is_denied_by_opensearch(opensearch_secured: OpenSearch, tenant: str) -> None:
    """By its line of the answer."""
    user = opensearch_secured.user(rights.needed("opensearch", "index", tenant).body)
    sink = a_sink(opensearch_secured, user=user.name, password=user.password)
    foreign = an_alert(2, f"{tenant}_2")
    with pytest.raises(SinkDenied, match="403 security_exception") as denied:
        sink.write([an_alert(1, tenant), foreign])
    assert denied.value.undelivered == {foreign.id}
    sink.close()
