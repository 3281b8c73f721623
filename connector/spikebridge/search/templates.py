"""
What `setup` installs, as request bodies: templates with explicit types and aliases, and what deletes old alerts. Pure.

Installed again, each replaces itself, except for how long alerts are kept where nobody says it anew. What a template says holds for indices made after it: for today's index from tomorrow on.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from spikebridge import __version__
from spikebridge.search import fields

Flavour = Literal["elasticsearch", "opensearch"]
Mode = Literal["index", "stream"]
Body = dict[str, Any]

MAPPINGS = "spikebridge-mappings"
CUSTOM = "spikebridge-custom"
"""A component template that is the operator's: replicas, node attributes. `setup` makes it empty where there is none and leaves it alone after."""

ALERTS, STREAM, INCIDENTS = "spikebridge-alerts", "spikebridge-alerts-stream", "spikebridge-incidents"

PATTERNS = {ALERTS: "spikebridge-alerts-*", STREAM: "logs-spikebridge.alert-*", INCIDENTS: "spikebridge-incidents-*"}
PRIORITY = 250
"""Above the built-in template for `logs-*-*` (100), and above those of installed integrations (200)."""

KEEP_DAYS = 365
"""So many days, where nobody says otherwise and nothing is installed yet."""

_META = {"managed_by": "spikebridge", "version": __version__}


class Step(NamedTuple):
    """
    One request of an installation.

    `once`: leave alone what is there. `left`: what that means. `without`: what it means that a server doesn't know such a request; ""
    where that is an error.
    """

    method: str
    path: str
    body: Body
    once: bool = False
    left: str = ""
    without: str = ""


def template_name(mode: Mode) -> str:
    """Name the template of the alerts, which is also their alias."""
    return ALERTS if mode == "index" else STREAM


def policies(flavour: Flavour, mode: Mode, keep_days: int | None) -> list[Step]:
    """
    Return what deletes alerts after so many days; a data stream of Elasticsearch does that by its template.

    None leaves alone what is there.
    """
    name = template_name(mode)
    days = keep_days or KEEP_DAYS
    if flavour == "opensearch":
        return [_ism(name, PATTERNS[name], days)]
    if mode == "stream":
        return []
    policy = {"policy": {"_meta": _META, "phases": {"delete": {"min_age": f"{days}d", "actions": {"delete": {}}}}}}
    return [Step("PUT", f"/_ilm/policy/{name}", policy, once=keep_days is None, left=_KEPT, without=_NOTHING_DELETES)]


def templates(
    flavour: Flavour, mode: Mode, keep_days: int | None, *, managed: bool = True, kept: Body | None = None
) -> list[Step]:
    """Return the templates in order; `managed` where the server has the policies, `kept` what the template there says of a lifecycle."""
    lifecycle = {"lifecycle": {"data_retention": f"{keep_days or KEEP_DAYS}d"}} if keep_days or kept is None else kept
    own = (
        _stream_template(flavour, lifecycle)
        if mode == "stream"
        else _index_template(managed=managed and flavour == "elasticsearch")
    )
    return [
        Step("PUT", f"/_component_template/{MAPPINGS}", _component({"mappings": fields.mappings()})),
        Step("PUT", f"/_component_template/{CUSTOM}", _component({}), once=True),
        Step("PUT", f"/_index_template/{template_name(mode)}", own),
        Step("PUT", f"/_index_template/{INCIDENTS}", _template(INCIDENTS, {})),
    ]


def _component(template: Body) -> Body:
    return {"template": template, "_meta": _META}


def _template(name: str, template: Body) -> Body:
    return {
        "index_patterns": [PATTERNS[name]],
        "priority": PRIORITY,
        "composed_of": [MAPPINGS, CUSTOM],
        "template": template,
        "_meta": _META,
    }


def _index_template(*, managed: bool) -> Body:
    settings = {"settings": {"index.lifecycle.name": ALERTS}} if managed else {}
    return _template(ALERTS, {**settings, "aliases": {ALERTS: {}}})


def _stream_template(flavour: Flavour, lifecycle: Body) -> Body:
    own: Body = {"mappings": fields.stream_mappings(open_constants=flavour == "elasticsearch"), "aliases": {STREAM: {}}}
    if flavour == "elasticsearch":
        own |= lifecycle
    return {**_template(STREAM, own), "data_stream": {}}


def _ism(name: str, pattern: str, keep_days: int) -> Step:
    states = [
        {
            "name": "kept",
            "actions": [],
            "transitions": [{"state_name": "deleted", "conditions": {"min_index_age": f"{keep_days}d"}}],
        },
        {"name": "deleted", "actions": [{"delete": {}}], "transitions": []},
    ]
    policy = {
        "policy": {
            "description": f"Delete alerts after {keep_days} days",
            "default_state": "kept",
            "states": states,
            "ism_template": [{"index_patterns": [pattern], "priority": PRIORITY}],
        }
    }
    path = f"/_plugins/_ism/policies/{name}"
    return Step("PUT", path, policy, once=True, left=_KEPT_THERE, without=_NOTHING_DELETES)


_KEPT = "how long alerts are kept stays as it is: --keep changes it"
_KEPT_THERE = "how long alerts are kept stays as it is: change the policy in OpenSearch"
_NOTHING_DELETES = "this server has no lifecycle policies: old alerts stay until somebody deletes their indices"
