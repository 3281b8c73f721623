"""What a search server refuses, provoked on real ones: nothing is lost, nothing is there twice, and the operator is told what to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.live.delivering import TODAY, Host, an_alert
from tests.live.search_places import a_sink, found_ids, install_templates, own_templates

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.servers.search import SearchServer
    from tests.live.servers.search_client import Client

    from spikebridge.alerts import AlertEntry

pytestmark = pytest.mark.live


class Lab:
    """A server with our templates, and a tenant that no other test uses."""

    def __init__(self, server: SearchServer, unique: str) -> None:
        """Install the templates."""
        install_templates(server)
        self.server = server
        self.admin: Client = server.admin
        self.tenant = unique.replace("-", "_")
        self.index = f"spikebridge-alerts-{self.tenant}-{TODAY}"
        self.alerts = [an_alert(number, self.tenant) for number in range(1, 21)]

    def deliver(self, host: Host, alerts: list[AlertEntry] | None = None) -> None:
        """Deliver the alerts through a sink with default settings."""
        host.deliver(a_sink(self.server, timeout="1s"), alerts or self.alerts)

    def index_settings(self, **settings: object) -> None:
        """Change settings of today's index; None takes one back."""
        self.admin.put(f"/{self.index}/_settings", settings).expect()

    def cluster_settings(self, **settings: object) -> None:
        """Change settings of the cluster; None takes one back."""
        self.admin.put("/_cluster/settings", {"persistent": settings}).expect()

    def ids(self) -> list[str]:
        """Return the ids that the alias finds for this tenant: as often as they are there."""
        return [one for one in found_ids(self.admin, f"spikebridge-alerts-{self.tenant}-*") if one.startswith(self.tenant)]


@pytest.fixture(params=["elasticsearch", "opensearch"])
def lab(request: pytest.FixtureRequest, unique: str) -> Lab:
    """Give each test both products."""
    return Lab(request.getfixturevalue(request.param), unique)


def ids_of(alerts: list[AlertEntry]) -> list[str]:
    """Return their ids."""
    return [alert.id for alert in alerts]


def replace_mapping(lab: Lab, **changes: object) -> None:
    """Let an operator's template of higher priority decide the types of this tenant's alerts."""
    (mappings,) = [step.body["template"]["mappings"] for step in own_templates(lab.server) if "mappings" in step.path]
    properties = {name: field for name, field in (mappings["properties"] | changes).items() if field}
    template = {"mappings": {**mappings, "dynamic": "strict", "properties": properties}}
    own = {"index_patterns": [f"spikebridge-alerts-{lab.tenant}-*"], "priority": 500, "template": template}
    lab.admin.put(f"/_index_template/{lab.tenant}", own).expect()


def test_one_document_of_the_wrong_type_is_a_dead_letter_and_the_others_go_in(lab: Lab) -> None:
    """The reason names the field, and is short although the server quotes the whole value."""
    replace_mapping(lab, message={"type": "long"})
    wrong = an_alert(0, lab.tenant, explanation="no number " * 4_000)
    host = Host()
    lab.deliver(host, [wrong, *lab.alerts])

    assert lab.ids() == ids_of(lab.alerts)
    assert list(host.refused) == [wrong.id]
    assert "parsing_exception" in host.refused[wrong.id]
    assert "message" in host.refused[wrong.id]
    assert len(host.refused[wrong.id]) < 600
    assert host.waits == []


def test_a_field_that_a_strict_index_does_not_know_is_a_dead_letter(lab: Lab) -> None:
    """Ours are not strict; an operator's may be."""
    replace_mapping(lab, tags=None)
    tagged = an_alert(0, lab.tenant, tags=["new"])
    host = Host()
    lab.deliver(host, [tagged, *lab.alerts])

    assert lab.ids() == ids_of(lab.alerts)
    assert list(host.refused) == [tagged.id]
    assert "400 strict_dynamic_mapping_exception" in host.refused[tagged.id]


def block(lab: Lab, name: str) -> Callable[[bool | None], None]:
    """Return what sets and takes back a block of today's index."""
    return lambda value: lab.index_settings(**{f"index.blocks.{name}": value})


@pytest.mark.parametrize(("name", "found", "wait_s"), [
    ("write", "403 cluster_block_exception", 10),
    ("read_only", "403 cluster_block_exception", 10),
    ("read_only_allow_delete", "429 cluster_block_exception", 30),
])  # fmt: skip
def test_a_blocked_index_holds_everything_until_it_is_free(lab: Lab, name: str, found: str, wait_s: float) -> None:
    """A block is neither a missing right nor a busy server; that of a full disk is looked at every half minute."""
    lab.deliver(Host(), lab.alerts[:5])
    block(lab, name)(True)
    host = Host(mend=lambda: block(lab, name)(None))
    lab.deliver(host)

    assert lab.ids() == ids_of(lab.alerts)
    assert host.waits == [wait_s]
    assert found in host.errors[0]
    assert lab.index in host.errors[0]
    assert host.refused == {}


def test_a_read_only_cluster_holds_everything(lab: Lab) -> None:
    """The answer is a 403 for the whole request, and not about our rights."""
    lab.deliver(Host(), lab.alerts[:5])
    lab.cluster_settings(**{"cluster.blocks.read_only": True})
    host = Host(mend=lambda: lab.cluster_settings(**{"cluster.blocks.read_only": None}))
    lab.deliver(host)

    assert lab.ids() == ids_of(lab.alerts)
    assert host.waits == [10]
    assert "403 cluster_block_exception" in host.errors[0]


def test_a_closed_index_holds_its_alerts(lab: Lab) -> None:
    """A 400 that is not the document's fault."""
    lab.deliver(Host(), lab.alerts[:5])
    lab.admin.post(f"/{lab.index}/_close").expect()

    def mend() -> None:
        lab.admin.post(f"/{lab.index}/_open?wait_for_active_shards=1").expect()

    host = Host(mend=mend)
    lab.deliver(host)

    assert lab.ids() == ids_of(lab.alerts)
    assert host.waits == [10]
    assert "400 index_closed_exception" in host.errors[0]


def test_an_index_that_may_not_be_created_holds_its_alerts(lab: Lab) -> None:
    """404 with automatic creation switched off."""
    lab.cluster_settings(**{"action.auto_create_index": "false"})
    host = Host(mend=lambda: lab.cluster_settings(**{"action.auto_create_index": None}))
    lab.deliver(host)

    assert lab.ids() == ids_of(lab.alerts)
    assert host.waits == [10]
    assert "404 index_not_found_exception" in host.errors[0]


def test_a_cluster_without_room_for_another_index_holds_its_alerts(lab: Lab) -> None:
    """A 400 again: the limit of shards is no reason to give up the alerts of a day."""
    lab.deliver(Host(), lab.alerts[:5])
    lab.admin.delete(f"/{lab.index}").expect()
    lab.cluster_settings(**{"cluster.max_shards_per_node": 1})
    host = Host(mend=lambda: lab.cluster_settings(**{"cluster.max_shards_per_node": None}))
    lab.deliver(host)

    assert lab.ids() == ids_of(lab.alerts)
    assert host.waits == [10]
    assert "400 validation_exception" in host.errors[0]
    assert host.refused == {}


def test_an_index_whose_shard_is_nowhere_is_tried_again(lab: Lab) -> None:
    """The server says so after the second that we gave it, not after its minute."""
    nowhere = {"settings": {"index.routing.allocation.require._name": "nobody"}}
    lab.admin.put(f"/{lab.index}?wait_for_active_shards=0", nowhere).expect()

    def mend() -> None:
        lab.index_settings(**{"index.routing.allocation.require._name": None})
        lab.admin.get(f"/_cluster/health/{lab.index}?wait_for_status=yellow&timeout=30s").expect()

    host = Host(mend=mend)
    lab.deliver(host)

    assert lab.ids() == ids_of(lab.alerts)
    assert len(host.waits) == 1
    assert host.waits[0] < 1
    assert "503 unavailable_shards_exception" in host.errors[0]


def test_a_pipeline_that_is_missing_holds_its_alerts(lab: Lab) -> None:
    """A 400 with the type of a wrong argument: only its reason tells that it is about the index."""
    lab.deliver(Host(), lab.alerts[:5])
    lab.index_settings(**{"index.default_pipeline": "nobody_made_it"})
    host = Host(mend=lambda: lab.index_settings(**{"index.default_pipeline": None}))
    lab.deliver(host)

    assert lab.ids() == ids_of(lab.alerts)
    assert host.waits == [10]
    assert "pipeline with id" in host.errors[0]
