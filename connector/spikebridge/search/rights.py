"""
The least that a sink's key or user must be allowed to do, in the words of each product. Pure.

Alerts are only ever created; incidents are replaced by newer versions. Reading and deleting is asked for one index alone, in which
`doctor` writes a document, reads it back and leaves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from spikebridge.search.documents import alert_stream, incident_index

if TYPE_CHECKING:
    from spikebridge.search.templates import Flavour, Mode

_CREATE = ["auto_configure", "create_doc"]
_REPLACE = ["auto_configure", "index"]
_TRY = ["auto_configure", "create_doc", "delete_index", "read"]
_BULK = ["create_index", "indices:admin/mapping/auto_put", "indices:data/write/bulk*", "indices:data/write/index"]


class Rights(NamedTuple):
    """A request that makes what a sink needs: what it makes, method and path, and the body."""

    what: str
    request: str
    body: dict[str, Any]


def probe_index(mode: Mode, tenant: str) -> str:
    """Name where `doctor` writes: under the pattern of the alerts, so that it meets their template, and no tenant's or day's own."""
    return f"{alert_stream(tenant)}-probe" if mode == "stream" else f"spikebridge-alerts-{tenant}-probe"


def needed(flavour: Flavour, mode: Mode, tenant: str) -> Rights:
    """Return the request that makes an API key (Elasticsearch) or a role (OpenSearch) with the least rights."""
    name = f"spikebridge-{tenant}"
    if flavour == "elasticsearch":
        body = {"name": name, "role_descriptors": {name: {"cluster": [], "indices": indices(mode, tenant)}}}
        return Rights("an API key", "POST /_security/api_key", body)
    targets = [_alerts(mode, tenant), incident_index(tenant)]
    permissions = [
        {"index_patterns": targets, "allowed_actions": _BULK},
        {"index_patterns": [probe_index(mode, tenant)], "allowed_actions": [*_BULK, "read", "delete", "indices:admin/delete"]},
    ]
    role = {"cluster_permissions": ["indices:data/write/bulk"], "index_permissions": permissions}
    return Rights("a role, to map your user to", f"PUT /_plugins/_security/api/roles/{name}", role)


def indices(mode: Mode, tenant: str) -> list[dict[str, Any]]:
    """Return the rights by index as Elasticsearch writes them: for a role, and to ask whether we have them."""
    return [
        {"names": [_alerts(mode, tenant)], "privileges": _CREATE},
        {"names": [incident_index(tenant)], "privileges": _REPLACE},
        {"names": [probe_index(mode, tenant)], "privileges": _TRY},
    ]


def _alerts(mode: Mode, tenant: str) -> str:
    return alert_stream(tenant) if mode == "stream" else f"spikebridge-alerts-{tenant}-*"
