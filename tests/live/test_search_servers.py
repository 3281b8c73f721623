"""The search servers that sinks are tested with do what the sinks count on, and refuse what they must handle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.live.servers.search_client import Client, User
from tests.live.servers.search_templates import loadable
from tests.live.servers.tls import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.servers.elasticsearch import Elasticsearch
    from tests.live.servers.opensearch import OpenSearch
    from tests.live.servers.search import SearchServer
    from tests.live.servers.search_client import Answer

pytestmark = pytest.mark.live

VERSIONS = {
    "elasticsearch": "9.5.3",
    "elasticsearch_secured": "9.5.3",
    "elasticsearch8": "8.19.21",
    "opensearch": "3.8.0",
    "opensearch_secured": "3.4.0",
}
NEWEST = ["elasticsearch", "opensearch"]
DOCUMENT = {"@timestamp": "2026-11-21T12:00:00Z", "message": "one"}


def fixture(request: pytest.FixtureRequest, name: str) -> SearchServer:
    """Start the server of a parametrized test, or return the one that runs."""
    server: SearchServer = request.getfixturevalue(name)
    return server


def write(client: Client, index: str, op: str = "create", **action: object) -> Answer:
    """Send a bulk of one document."""
    return client.bulk([{op: {"_index": index, **action}}, DOCUMENT], "")


def statuses(answer: Answer) -> list[int]:
    """Return the status of each item of a bulk that was taken as a whole."""
    return [item["status"] for line in answer.expect(200).json["items"] for item in line.values()]


@pytest.mark.parametrize("name", VERSIONS)
def test_each_server_says_what_it_is(request: pytest.FixtureRequest, name: str) -> None:
    """Clients ask for it first; the small distribution of Elasticsearch can't answer by itself."""
    server = fixture(request, name)
    assert server.admin.get("/").expect(200).json["version"]["number"] == VERSIONS[name]
    assert server.admin.request("HEAD", "/").status == 200


@pytest.mark.parametrize("name", VERSIONS)
def test_a_document_is_created_once(request: pytest.FixtureRequest, name: str, unique: str) -> None:
    """201, and 409 for whoever comes again with the same id."""
    client = fixture(request, name).admin
    assert statuses(write(client, unique, _id="a")) == [201]
    again = write(client, unique, _id="a")
    assert statuses(again) == [409]
    assert again.json["items"][0]["create"]["error"]["type"] == "version_conflict_engine_exception"


@pytest.mark.parametrize("name", ["elasticsearch", "elasticsearch8", "opensearch"])
def test_an_older_external_version_never_wins(request: pytest.FixtureRequest, name: str, unique: str) -> None:
    """Only a higher one is taken; `create` knows no external version, and takes the whole bulk down."""
    client = fixture(request, name).admin
    found = [
        statuses(write(client, unique, "index", _id="a", version=version, version_type="external"))[0] for version in (2, 3, 3, 1)
    ]
    assert found == [201, 200, 409, 409]
    refused = write(client, unique, _id="b", version=1, version_type="external").expect(400)
    assert refused.json["error"]["type"] == "action_request_validation_exception"


@pytest.mark.parametrize("name", NEWEST)
def test_a_template_makes_a_data_stream(request: pytest.FixtureRequest, name: str, unique: str) -> None:
    """An id is unique until the stream rolls over, and no longer."""
    client = fixture(request, name).admin
    client.put(f"/_index_template/{unique}", {"index_patterns": [unique], "data_stream": {}, "priority": 500}).expect()
    first, again, indexed = (write(client, unique, op, _id="a") for op in ("create", "create", "index"))
    assert (statuses(first), statuses(again), statuses(indexed)) == ([201], [409], [400])
    assert first.json["items"][0]["create"]["_index"].startswith(f".ds-{unique}-")
    client.post(f"/{unique}/_rollover").expect()
    assert statuses(write(client, unique, _id="a")) == [201]


def test_an_api_key_may_do_what_its_role_says(elasticsearch_secured: Elasticsearch, unique: str) -> None:
    """A missing right is an item's 403 in a bulk and a request's 403 elsewhere; a key that ended is a 401."""
    server = elasticsearch_secured
    rights = {"names": [f"{unique}-*"], "privileges": ["create_doc", "auto_configure"]}
    key = server.api_key({"cluster": ["monitor"], "index": [rights]})
    writer = server.client(key)
    assert statuses(write(writer, f"{unique}-a", _id="a")) == [201]
    assert statuses(write(writer, f"{unique}-a", _id="a")) == [409]
    assert statuses(write(writer, f"{unique}-a", "index", _id="a")) == [403]
    assert statuses(write(writer, "another", _id="a")) == [403]
    assert writer.get(f"/{unique}-a/_search").status == 403
    server.admin.delete("/_security/api_key", {"ids": [key.id]}).expect()
    ended = write(writer, f"{unique}-a", _id="b").expect(401)
    assert ended.json["error"]["type"] == "security_exception"
    assert "www-authenticate" in ended.headers


def test_an_elasticsearch_user_may_do_what_a_role_says(elasticsearch_secured: Elasticsearch, unique: str) -> None:
    """As with a key; a wrong password is a 401."""
    user = elasticsearch_secured.user({"index": [{"names": [unique], "privileges": ["index", "auto_configure"]}]})
    writer = elasticsearch_secured.client(user)
    assert statuses(write(writer, unique, "index", _id="a", version=7, version_type="external")) == [201]
    assert statuses(write(writer, "another", _id="a")) == [403]
    assert write(elasticsearch_secured.client(User(user.name, "wrong")), unique).status == 401


def test_an_opensearch_user_may_do_what_a_role_says(opensearch_secured: OpenSearch, unique: str) -> None:
    """The rights that a writer needs, no more; a wrong password is a 401 whose body isn't JSON."""
    actions = ["create_index", "indices:data/write/bulk*", "indices:data/write/index", "indices:admin/mapping/auto_put"]
    user = opensearch_secured.user(
        {
            "cluster_permissions": ["indices:data/write/bulk", "cluster:monitor/main", "cluster:monitor/health"],
            "index_permissions": [{"index_patterns": [unique], "allowed_actions": actions}],
        }
    )
    writer = opensearch_secured.client(user)
    assert statuses(write(writer, unique, _id="a")) == [201]
    assert statuses(write(writer, unique, _id="a")) == [409]
    assert statuses(write(writer, "another", _id="a")) == [403]
    assert writer.get(f"/{unique}/_search").status == 403
    refused = write(opensearch_secured.client(User(user.name, "wrong")), unique)
    assert (refused.status, refused.body) == (401, b"Unauthorized")


@pytest.mark.parametrize("name", ["elasticsearch_secured", "opensearch_secured"])
def test_a_client_that_trusts_another_authority_refuses_the_server(
    request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    """The certificate is real: only whoever knows our authority accepts it, and plain HTTP gets no answer."""
    server = fixture(request, name)
    stranger = Authority(tmp_path / "stranger")
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        Client(server.url, stranger.ca, server.administrator).get("/")
    with pytest.raises(ConnectionError):
        Client(server.url.replace("https", "http")).get("/")


@pytest.mark.parametrize("name", NEWEST)
def test_a_killed_server_keeps_what_it_acknowledged(request: pytest.FixtureRequest, name: str, unique: str) -> None:
    """It comes back on the same port, with the same documents."""
    server = fixture(request, name)
    assert statuses(write(server.admin, unique, _id="a")) == [201]
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        server.admin.get("/")
    server.start()
    assert statuses(write(server.admin, unique, _id="a")) == [409]


@pytest.mark.live_full
@pytest.mark.parametrize("name", NEWEST)
def test_a_restart_brings_other_settings(request: pytest.FixtureRequest, name: str, unique: str) -> None:
    """So each failure that a setting brings about can be provoked; the documents stay."""
    server = fixture(request, name)
    before = server.settings
    assert statuses(write(server.admin, f"{unique}-kept", _id="a")) == [201]
    try:
        server.restart({"action.auto_create_index": False, "http.max_content_length": "10kb"})
        assert statuses(write(server.admin, f"{unique}-kept", _id="a")) == [409]
        assert statuses(write(server.admin, unique, _id="a")) == [404]
        assert server.admin.bulk([{"create": {"_index": unique}}, {"message": "x" * 20_000}]).status == 413
    finally:
        server.restart(before)
    assert statuses(write(server.admin, unique, _id="a")) == [201]


TEMPLATE: dict[str, Any] = {
    "composed_of": ["ecs@mappings"],
    "template": {
        "settings": {"index": {"lifecycle": {"name": "days"}, "number_of_replicas": 0}},
        "mappings": {
            "dynamic_templates": [
                {"words": {"match_mapping_type": "string", "mapping": {"type": "wildcard", "ignore_above": 8}}}
            ],
            "properties": {
                "tenant": {"type": "constant_keyword", "value": "a"},
                "message": {"type": "keyword", "fields": {"text": {"type": "match_only_text"}}},
                "event": {"properties": {"type": {"type": "scaled_float", "scaling_factor": 10}}},
            },
        },
    },
}
LOADABLE: dict[str, Any] = {
    "composed_of": [],
    "template": {
        "settings": {"index": {"number_of_replicas": 0}},
        "mappings": {
            "dynamic_templates": [{"words": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": 8}}}],
            "properties": {
                "tenant": {"type": "keyword"},
                "message": {"type": "keyword", "fields": {"text": {"type": "text"}}},
                "event": {"properties": {"type": {"type": "float"}}},
            },
        },
    },
}
CHANGES = [
    "mappings.dynamic_templates[0].words.mapping: wildcard became keyword",
    "mappings.properties.tenant: constant_keyword became keyword without value",
    "mappings.properties.message.fields.text: match_only_text became text",
    "mappings.properties.event.properties.type: scaled_float became float without scaling_factor",
    "settings: index.lifecycle dropped",
    "composed_of: ecs@mappings dropped",
]


def test_a_template_is_made_loadable_and_says_how() -> None:
    """Only what the test distribution lacks is changed, and all of it is named."""
    assert loadable(TEMPLATE) == (LOADABLE, CHANGES)
    assert loadable(LOADABLE) == (LOADABLE, [])


@pytest.mark.parametrize(
    "settings", [{"index.lifecycle.name": "days"}, {"index": {"lifecycle.name": "days"}}, {"lifecycle": {"name": "days"}}]
)
def test_lifecycles_are_dropped_however_they_are_written(settings: dict[str, Any]) -> None:
    """Settings may be dotted, nested, and leave out the first part of their names."""
    changed = loadable({"settings": {**settings, "number_of_shards": 1}}).template["settings"]
    assert changed in ({"number_of_shards": 1}, {"index": {}, "number_of_shards": 1})


@pytest.mark.parametrize("name", ["elasticsearch", "elasticsearch8"])
def test_elasticsearch_takes_the_loadable_template_only(request: pytest.FixtureRequest, name: str, unique: str) -> None:
    """When a distribution comes that takes the original, the substitutes can go."""
    client, pattern = fixture(request, name).admin, {"index_patterns": [unique]}
    assert client.put(f"/_index_template/{unique}", TEMPLATE | pattern).status == 400
    client.put(f"/_index_template/{unique}", LOADABLE | pattern).expect()
    mappings_only = {"template": {"mappings": TEMPLATE["template"]["mappings"]}}
    assert client.put(f"/_index_template/{unique}", mappings_only | pattern).status == 400


def test_opensearch_has_every_field_type(opensearch: OpenSearch, unique: str) -> None:
    """So templates are tested there with the types that they ship."""
    mappings_only = {"index_patterns": [unique], "template": {"mappings": TEMPLATE["template"]["mappings"]}}
    opensearch.admin.put(f"/_index_template/{unique}", mappings_only).expect()
