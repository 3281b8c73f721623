"""What search servers are sent and what their answers mean, without a server."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.findings import FINDINGS

from spikebridge.alerts import Alert, AlertEntry, Incident, alert_entry, incident_entry
from spikebridge.formats import ecs
from spikebridge.search import answers, documents, fields, rights, templates
from spikebridge.search.answers import LONGEST_REASON, Outcome
from spikebridge.sinks import elasticsearch, opensearch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.search.templates import Flavour, Mode

DAY_NS = 86_400_000_000_000
GOLDEN = sorted((Path(__file__).parents[2] / "golden/formats").glob("*.ecs.json"))
FLAVOURS: list[Flavour] = ["elasticsearch", "opensearch"]
MODES: list[Mode] = ["index", "stream"]


def entry_of(finding: Alert | Incident) -> AlertEntry:
    """Seal a finding."""
    return alert_entry(finding, ()) if isinstance(finding, Alert) else incident_entry(finding)


def lines_of(action: documents.Action) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the two lines of an action."""
    first, second, end = action.lines.split(b"\n")
    assert end == b""
    return json.loads(first), json.loads(second)


def an_error(kind: str, reason: str = "said") -> bytes:
    """Write the body of an error about a whole request."""
    return json.dumps({"error": {"type": kind, "reason": reason, "root_cause": []}, "status": 400}).encode()


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_becomes_one_action_with_its_ecs_document(name: str) -> None:
    """An alert is created under its id in the index of its interval's day; an incident replaces older versions."""
    finding = FINDINGS[name]
    (action,), refused = documents.actions([entry_of(finding)], "index")
    operation, document = lines_of(action)

    assert refused == {}
    assert action.id == finding.id
    assert document == ecs.document(finding)
    if isinstance(finding, Incident):
        target = {"_index": f"spikebridge-incidents-{finding.tenant}", "_id": finding.id}
        assert operation == {"index": {**target, "version": finding.version, "version_type": "external"}}
    else:
        day = ecs.document(finding)["spike"]["interval"]["start"][:10].replace("-", ".")
        assert operation == {"create": {"_index": f"spikebridge-alerts-{finding.tenant}-{day}", "_id": finding.id}}


@pytest.mark.parametrize("name", FINDINGS)
def test_in_a_stream_alerts_say_which_one(name: str) -> None:
    """As the naming scheme of data streams wants it; incidents change, so they have an index in either mode."""
    finding = FINDINGS[name]
    (action,), _ = documents.actions([entry_of(finding)], "stream")
    operation, document = lines_of(action)

    if isinstance(finding, Incident):
        assert "index" in operation
        assert document == ecs.document(finding)
    else:
        stream = f"logs-spikebridge.alert-{finding.tenant}"
        assert operation == {"create": {"_index": stream, "_id": finding.id}}
        assert (
            f"{document['data_stream']['type']}-{document['data_stream']['dataset']}-{document['data_stream']['namespace']}"
            == stream
        )


@pytest.mark.parametrize(("interval_start_ns", "day"), [
    (0, "1970.01.01"), (DAY_NS - 1, "1970.01.01"), (DAY_NS, "1970.01.02"), (1_795_262_400_000_000_000, "2026.11.21"),
])  # fmt: skip
def test_the_index_is_that_of_the_utc_day_on_which_the_interval_starts(interval_start_ns: int, day: str) -> None:
    """Whoever repeats the alert finds the same index, on whatever day that is."""
    assert documents.alert_index("acme", interval_start_ns) == f"spikebridge-alerts-acme-{day}"


def test_what_can_not_be_a_name_of_ours_is_refused_alone() -> None:
    """The alert log may be a topic that others write to: no index but the tenants' own can be named by it."""
    (good,) = [finding for name, finding in FINDINGS.items() if name == "burst"]
    assert isinstance(good, Alert)
    bad = [
        msgspec.structs.replace(good, id="tenant", tenant="../_all"),
        msgspec.structs.replace(good, id="x" * 513),
        msgspec.structs.replace(good, id=""),
    ]
    (incident,) = [finding for finding in FINDINGS.values() if isinstance(finding, Incident)]
    none = msgspec.structs.replace(incident, id="none", version=0)
    unknown = AlertEntry("later", "alert", 1, (-1, 0, 0), b'{"kind":"later"}')
    made, refused = documents.actions([*map(entry_of, bad), entry_of(none), unknown, entry_of(good)], "index")

    assert [action.id for action in made] == [good.id]
    assert set(refused) == {"tenant", "x" * 513, "", "none", "later"}
    assert "no finding that this version can read" in refused["later"]


def leaves(node: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every value in a document."""
    for name, value in node.items():
        inner = f"{path}.{name}" if path else name
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from leaves(one, inner)
            else:
                yield inner


def typed(mapping: dict[str, Any], path: str = "") -> dict[str, str]:
    """Return the type of every field that a mapping names."""
    found: dict[str, str] = {}
    for name, field in mapping["properties"].items():
        inner = f"{path}.{name}" if path else name
        found |= typed(field, inner) if "properties" in field else {inner: field["type"]}
    return found


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_every_field_of_a_document_has_an_explicit_type(path: Path) -> None:
    """`dynamic: false` leaves a field without one unsearchable: the test names it."""
    known = typed(fields.mappings())

    assert sorted({leaf for leaf in leaves(json.loads(path.read_text())) if leaf not in known}) == []


def test_every_type_is_used_by_a_document() -> None:
    """A field that no document has is a slip of the pen, or one that the golden documents don't show."""
    shown = {leaf for path in GOLDEN for leaf in leaves(json.loads(path.read_text()))}

    assert sorted(set(typed(fields.mappings())) - shown) == []


VALUES = {
    "keyword": str, "match_only_text": str, "date": str, "ip": str, "long": int, "float": float, "boolean": bool,
}  # fmt: skip


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_every_value_is_of_its_type(path: Path) -> None:
    """A server would refuse it, or turn it into something else."""
    known = typed(fields.mappings())

    def check(node: dict[str, Any], place: str) -> None:
        for name, value in node.items():
            inner = f"{place}.{name}" if place else name
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    check(one, inner)
                else:
                    assert type(one) is VALUES[known[inner]], inner

    check(json.loads(path.read_text()), "")


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("mode", MODES)
def test_templates_fit_the_names_that_are_written(flavour: Flavour, mode: Mode) -> None:
    """Alerts get their alias, streams are streams, and no alias holds both kinds."""
    made = {step.path.rpartition("/")[2]: step.body for step in templates.templates(flavour, mode, 90)}
    name = documents.alert_stream("acme") if mode == "stream" else documents.alert_index("acme", 0)
    alerts = made[templates.template_name(mode)]

    assert name.startswith(alerts["index_patterns"][0].removesuffix("*"))
    assert documents.incident_index("acme").startswith(made[templates.INCIDENTS]["index_patterns"][0].removesuffix("*"))
    assert list(alerts["template"]["aliases"]) == [templates.STREAM if mode == "stream" else templates.ALERTS]
    assert ("data_stream" in alerts) == (mode == "stream")
    assert "data_stream" not in made[templates.INCIDENTS]
    assert set(alerts["composed_of"]) <= set(made)


def test_what_deletes_old_alerts_is_what_each_product_has() -> None:
    """A policy, a policy that finds its indices, or the stream's own lifecycle; a template names only a policy that is there."""
    (ilm,) = templates.policies("elasticsearch", "index", 90)
    (ism,) = templates.policies("opensearch", "stream", 90)
    managed = {step.path.rpartition("/")[2]: step.body for step in templates.templates("elasticsearch", "index", 90)}
    unmanaged = {
        step.path.rpartition("/")[2]: step.body for step in templates.templates("elasticsearch", "index", 90, managed=False)
    }
    stream = {step.path.rpartition("/")[2]: step.body for step in templates.templates("elasticsearch", "stream", 90)}

    assert ilm.body["policy"]["phases"]["delete"]["min_age"] == "90d"
    assert managed[templates.ALERTS]["template"]["settings"] == {"index.lifecycle.name": ilm.path.rpartition("/")[2]}
    assert "settings" not in unmanaged[templates.ALERTS]["template"]
    assert ism.body["policy"]["ism_template"][0]["index_patterns"] == ["logs-spikebridge.alert-*"]
    assert ism.body["policy"]["states"][0]["transitions"][0]["conditions"] == {"min_index_age": "90d"}
    assert stream[templates.STREAM]["template"]["lifecycle"] == {"data_retention": "90d"}
    assert templates.policies("elasticsearch", "stream", 90) == []


@pytest.mark.parametrize("mode", MODES)
def test_rights_name_what_is_written_and_only_the_probe_may_be_read_or_deleted(mode: Mode) -> None:
    """One tenant's key reaches no other tenant's alerts."""
    alerts, incidents, probe = rights.indices(mode, "acme")

    assert alerts["privileges"] == ["auto_configure", "create_doc"]
    assert incidents == {"names": ["spikebridge-incidents-acme"], "privileges": ["auto_configure", "index"]}
    assert probe["names"] == [rights.probe_index(mode, "acme")]
    foreign = documents.alert_stream("acme_2") if mode == "stream" else documents.alert_index("acme_2", 0)
    own = documents.alert_stream("acme") if mode == "stream" else documents.alert_index("acme", 0)
    assert fnmatchcase(own, alerts["names"][0])
    assert not fnmatchcase(foreign, alerts["names"][0])


@pytest.mark.parametrize(("status", "kind", "reason", "outcome"), [
    (201, "", "", Outcome.DELIVERED),
    (200, "", "", Outcome.DELIVERED),
    (409, "version_conflict_engine_exception", "", Outcome.KNOWN),
    (400, "document_parsing_exception", "failed to parse", Outcome.REFUSED),
    (400, "mapper_parsing_exception", "failed to parse", Outcome.REFUSED),
    (400, "strict_dynamic_mapping_exception", "", Outcome.REFUSED),
    (400, "illegal_argument_exception", "Document contains at least one immense term", Outcome.REFUSED),
    (400, "illegal_argument_exception", "pipeline with id [x] does not exist", Outcome.HOLD),
    (400, "illegal_argument_exception", "no write index is defined for alias [x]", Outcome.HOLD),
    (400, "illegal_argument_exception", "only write ops with an op_type of create are allowed in data streams", Outcome.HOLD),
    (400, "index_closed_exception", "closed", Outcome.HOLD),
    (400, "invalid_index_name_exception", "", Outcome.HOLD),
    (400, "validation_exception", "this action would add [2] shards", Outcome.HOLD),
    (403, "cluster_block_exception", "FORBIDDEN/8/index write (api)", Outcome.HOLD),
    (403, "security_exception", "action is unauthorized", Outcome.DENIED),
    (404, "index_not_found_exception", "no such index", Outcome.HOLD),
    (429, "cluster_block_exception", "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark", Outcome.SLOW),
    (429, "es_rejected_execution_exception", "", Outcome.RETRY),
    (429, "rejected_execution_exception", "", Outcome.RETRY),
    (503, "unavailable_shards_exception", "primary shard is not active", Outcome.RETRY),
    (500, "null_pointer_exception", "", Outcome.RETRY),
    (418, "teapot_exception", "", Outcome.HOLD),
])  # fmt: skip
def test_what_becomes_of_one_document(status: int, kind: str, reason: str, outcome: Outcome) -> None:
    """Each line that a server was seen to answer, and one that nobody has seen yet."""
    error = {"error": {"type": kind, "reason": reason}} if kind else {}
    (verdict,) = (
        answers.items(json.dumps({"errors": bool(kind), "items": [{"create": {"status": status, **error}}]}).encode(), 1) or []
    )

    assert verdict.outcome is outcome
    assert bool(verdict.text) == (outcome not in (Outcome.DELIVERED, Outcome.KNOWN))


@pytest.mark.parametrize(("status", "body", "outcome"), [
    (400, an_error("action_request_validation_exception"), Outcome.SPLIT),
    (400, an_error("illegal_argument_exception"), Outcome.HOLD),
    (400, an_error("media_type_header_exception"), Outcome.HOLD),
    (401, b"Unauthorized", Outcome.DENIED),
    (401, an_error("security_exception"), Outcome.DENIED),
    (403, an_error("cluster_block_exception"), Outcome.HOLD),
    (403, an_error("security_exception"), Outcome.DENIED),
    (404, b'{"error":"no handler found for uri [/x] and method [POST]"}', Outcome.HOLD),
    (406, an_error("illegal_argument_exception"), Outcome.HOLD),
    (408, b"", Outcome.RETRY),
    (413, b"", Outcome.SPLIT),
    (429, an_error("es_rejected_execution_exception"), Outcome.SMALLER),
    (429, an_error("circuit_breaking_exception"), Outcome.SMALLER),
    (429, an_error("cluster_block_exception"), Outcome.SLOW),
    (502, b"", Outcome.RETRY),
    (503, b"<html><body><h1>503 Service Unavailable</h1></body></html>", Outcome.RETRY),
    (503, an_error("cluster_block_exception"), Outcome.RETRY),
    (504, b"", Outcome.RETRY),
    (200, b"<html>Please log in</html>", Outcome.RETRY),
    (301, b"", Outcome.HOLD),
])  # fmt: skip
def test_what_becomes_of_a_whole_request(status: int, body: bytes, outcome: Outcome) -> None:
    """Also where a proxy answers, or nobody says why."""
    assert answers.whole(status, body).outcome is outcome


@given(st.binary(max_size=200), st.integers(100, 599))
def test_no_answer_gives_an_alert_up(body: bytes, status: int) -> None:
    """Whatever is in it: refused for good is only what an answer of the right shape says of one document."""
    assert answers.whole(status, body).outcome is not Outcome.REFUSED
    assert answers.items(body, 3) is None or msgspec.json.decode(body)["items"]


def test_answers_of_another_shape_are_no_answers() -> None:
    """Fewer items, more items, two operations in one, no items, deep nesting."""
    good = {"create": {"status": 201}}
    for items in ([], [good], [good] * 3, [good, {**good, "index": {"status": 201}}], [good, {"create": {"status": "201"}}]):
        assert answers.items(json.dumps({"items": items}).encode(), 2) is None
    assert answers.items(b'{"items":' + b"[" * 100_000, 2) is None
    assert answers.whole(200, b"[" * 100_000).outcome is Outcome.RETRY


def test_a_reason_is_a_short_line_without_what_steers_a_terminal() -> None:
    """Servers quote whole values, which others have written."""
    said = answers.whole(500, an_error("parse_exception", "\x1b[2J\n<b>bold</b>  " + "value " * 10_000)).text

    assert len(said) < LONGEST_REASON + 100
    assert said.isprintable()
    assert "<b>" not in said


@pytest.mark.parametrize(("settings", "message"), [
    ({"endpoint": "search:9200"}, "expected a URL"),
    ({"endpoint": "https://"}, "expected a URL"),
    ({"endpoint": "ftp://search"}, "expected a URL"),
    ({"endpoint": "https://search:99999"}, "expected a URL"),
    ({"endpoint": "https://search/?pretty"}, "expected a URL"),
    ({"endpoint": "https://me:hunter2@search:9200"}, "without user and password"),
    ({"endpoint": []}, "at least 1 item"),
    ({"endpoint": ["https://a:1", "https://a:1"]}, "each one once"),
    ({"endpoint": "https://a:1", "user": "me"}, "both of user and password"),
    ({"endpoint": "http://a:1", "tls": {"ca": "ca.pem"}}, "https endpoints only"),
    ({"endpoint": "https://a:1", "tls": {"ca": "ca.pem", "fingerprint": "0" * 64}}, "found both"),
    ({"endpoint": "https://a:1", "tls": {"fingerprint": "00:11"}}, "64 hexadecimal digits"),
    ({"endpoint": "https://a:1", "timeout": "1ms"}, "greater than or equal"),
    ({"endpoint": "https://a:1", "api_key": "hunter2 hunter2"}, "without spaces"),
    ({"endpoint": "https://a:1", "api_key": "key", "user": "me", "password": "hunter2"}, "api_key or user"),
])  # fmt: skip
def test_settings_that_can_not_be_meant_are_refused_without_repeating_a_secret(settings: dict[str, Any], message: str) -> None:
    """At the start, not at the first alert."""
    with pytest.raises(ValidationError, match=message) as error:
        elasticsearch.Settings.model_validate(settings)
    assert "hunter2" not in str(error.value)


def test_secrets_are_in_no_representation() -> None:
    """They are in the header, and nowhere else."""
    by_key = elasticsearch.Settings.model_validate({"endpoint": "https://a:1", "api_key": "hunter2"})
    by_password = opensearch.Settings.model_validate({"endpoint": "https://a:1", "user": "me", "password": "hunter2"})

    assert "hunter2" not in repr((by_key, by_password))
    assert by_key.authorization() == "ApiKey hunter2"
    assert by_password.authorization() == "Basic bWU6aHVudGVyMg=="
