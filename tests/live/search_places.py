"""Elasticsearch and OpenSearch as places for the contract of sinks, and what the live tests of both sinks share."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tests.contract.sink_contract import Place
from tests.live.servers.search_templates import loadable

from spikebridge import registry
from spikebridge.config.load import settings_model
from spikebridge.search.templates import ALERTS, templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import pytest
    from tests.live.servers.search import SearchServer
    from tests.live.servers.search_client import Client

    from spikebridge.delivery import Sink
    from spikebridge.search.templates import Flavour, Mode, Step


def install_templates(server: SearchServer, mode: Mode = "index") -> None:
    """Install what `setup` would, with the types that the test distribution of Elasticsearch has."""
    for step in own_templates(server, mode):
        server.admin.request(step.method, step.path, step.body).expect()


def own_templates(server: SearchServer, mode: Mode = "index") -> list[Step]:
    """Return the templates for a server; a small distribution of Elasticsearch gets substitutes for the types that it lacks."""
    flavour = flavour_of(server)
    made = templates(flavour, mode, 365, managed=False)
    return made if flavour == "opensearch" else [step._replace(body=loadable(step.body).template) for step in made]


def found_ids(client: Client, target: str) -> list[str]:
    """Return the id of every document behind a name, in as many pages as it takes."""
    client.post(f"/{target}/_refresh").expect()
    found: list[str] = []
    query: dict[str, Any] = {"size": 5_000, "sort": [{"event.id": "asc"}], "_source": False}
    while hits := client.post(f"/{target}/_search", query).expect().json["hits"]["hits"]:
        found += [hit["_id"] for hit in hits]
        query["search_after"] = hits[-1]["sort"]
    return found


def search_place(fixture: str) -> Callable[[pytest.FixtureRequest], AbstractContextManager[Place]]:
    """Return what gives a place on the server of a fixture."""

    @contextmanager
    def place(request: pytest.FixtureRequest) -> Iterator[Place]:
        server: SearchServer = request.getfixturevalue(fixture)
        client = server.admin
        index = f"{ALERTS}-acme-1970.01.01"

        @contextmanager
        def not_set_up() -> Iterator[str]:
            client.delete(f"/_index_template/{ALERTS}").expect()
            yield ALERTS
            install_templates(server)

        install_templates(server)
        client.delete(f"/{index}").expect(200, 404)
        yield Place(settings={"endpoint": server.url}, delivered=lambda: found_ids(client, index), blocked=not_set_up)

    return place


def a_sink(server: SearchServer, **settings: Any) -> Sink:
    """Make a sink for a server, closed; settings as the configuration has them."""
    flavour = flavour_of(server)
    return cast("Sink", registry.load("sinks", flavour)(settings_of(server, **settings), Path()))


def settings_of(server: SearchServer, **settings: Any) -> Any:
    """Validate settings for a server as the configuration does."""
    tls = {"tls": {"ca": str(server.ca)}} if server.ca else {}
    return settings_model("sinks", flavour_of(server)).model_validate({"endpoint": server.url, **tls, **settings})


def flavour_of(server: SearchServer) -> Flavour:
    """Say which product it is."""
    return "elasticsearch" if server.product == "elasticsearch" else "opensearch"
