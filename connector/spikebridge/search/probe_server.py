"""What `doctor` asks of a search server: from the name of its host to a document that is written, read back and gone again."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from spikebridge import __version__
from spikebridge.errors import SinkUnavailable
from spikebridge.probe import Check, certificate, dial, look_up
from spikebridge.search import answers, rights
from spikebridge.search.connection import connect
from spikebridge.search.templates import template_name
from spikebridge.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.search.connection import Destination
    from spikebridge.search.server import Answer, Server
    from spikebridge.search.templates import Flavour

WHO = {"elasticsearch": "/_security/_authenticate", "opensearch": "/_plugins/_security/authinfo"}
NAMES = {"elasticsearch": "username", "opensearch": "user_name"}

_NO_SUCH_REQUEST = frozenset({400, 404, 405})
_DOCUMENT = {
    "@timestamp": "1970-01-01T00:00:00Z",
    "event": {"kind": "event", "module": "spikebridge", "dataset": "spikebridge.probe"},
    "message": "spikebridge doctor was here",
}


def probe(settings: Destination, tenant: str, flavour: Flavour) -> Iterator[Check]:
    """Yield the checks, from the outside in; the first that makes the rest impossible is the last."""
    reached = False
    for endpoint in settings.endpoint:
        for check in _reach(endpoint):
            yield check
        reached = reached or check.ok
    if not reached:
        return
    try:
        server = connect(settings)
    except SinkUnavailable as error:
        yield Check("TLS", ok=False, detail=str(error), advice="")
        return
    try:
        yield from _talk(server, settings, tenant, flavour)
    except SinkUnavailable as error:
        yield Check("request", ok=False, detail=str(error), advice="look at the server's log, and at what lies in between")
    finally:
        server.close()


def _reach(endpoint: str) -> Iterator[Check]:
    """Look up the host and connect to the port."""
    host, port = _place(endpoint)
    found = look_up(host, port)
    yield found
    if found.ok:
        yield dial(host, port)


def _place(endpoint: str) -> tuple[str, int]:
    parts = urlsplit(endpoint)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _talk(server: Server, settings: Destination, tenant: str, flavour: Flavour) -> Iterator[Check]:
    who = server.ask("GET", WHO[flavour])
    yield from _tls(settings)
    yield _credentials(who, settings, flavour)
    if who.status == HTTPStatus.UNAUTHORIZED:
        return
    yield _version(server.ask("GET", "/"))
    yield _template(server, settings, flavour)
    if flavour == "elasticsearch" and who.status == HTTPStatus.OK:
        check = _privileges(server, settings, tenant)
        yield check
        if not check.ok:
            return
    yield from _write(server, settings, tenant)


def _tls(settings: Destination) -> Iterator[Check]:
    """Say by what the certificates are trusted; a request has been answered already."""
    if not all(endpoint.startswith("https:") for endpoint in settings.endpoint):
        anonymous = settings.authorization() is None
        detail = f"none: everybody on the way can read {'the alerts' if anonymous else 'our credentials'}"
        yield Check("TLS", ok=anonymous, detail=detail, advice="use https")
    elif settings.tls.fingerprint:
        yield Check("TLS", ok=True, detail=f"the certificate is trusted by {settings.tls.fingerprint}")
    else:
        context = tls_context(settings.tls)
        for endpoint in settings.endpoint:
            yield certificate(*_place(endpoint), context, time.time())


def _credentials(who: Answer, settings: Destination, flavour: Flavour) -> Check:
    sent = settings.authorization() is not None
    if who.status == HTTPStatus.OK:
        return Check("credentials", ok=True, detail=f"known as {_field(who, NAMES[flavour]) or 'somebody'}")
    if who.status in _NO_SUCH_REQUEST:
        detail = "the server knows no users: our credentials were not looked at" if sent else "the server knows no users"
        return Check("credentials", ok=True, detail=detail, advice="switch its security on")
    return Check("credentials", ok=False, detail=answers.whole(who.status, who.body).text)


def _version(answer: Answer) -> Check:
    """Say what the server is; one that doesn't tell us is no trouble."""
    version = _field(answer, "version")
    if answer.status != HTTPStatus.OK or not isinstance(version, dict):
        return Check("version", ok=True, detail="we may not ask for it")
    return Check(
        "version", ok=True, detail=answers.cut(f"{version.get('distribution', 'elasticsearch')} {version.get('number', '')}")
    )


def _template(server: Server, settings: Destination, flavour: Flavour) -> Check:
    name = template_name(settings.mode)
    answer = server.ask("GET", f"/_index_template/{name}?filter_path=index_templates.index_template._meta.version")
    command = f"spikebridge setup {flavour}"
    if answer.status == HTTPStatus.NOT_FOUND:
        return Check("template", ok=False, detail=f'"{name}" is missing', advice=f"install it with `{command}`")
    if answer.status != HTTPStatus.OK:
        return Check("template", ok=True, detail="we may not look, which is as it should be")
    version = _template_version(answer.body)
    if version != __version__:
        detail = f'"{name}" is {f"of version {version}" if version else "your own"}, this is {__version__}'
        return Check("template", ok=True, detail=detail, advice=f"`{command}` makes new fields searchable")
    return Check("template", ok=True, detail=f'"{name}" is of this version')


def _template_version(body: bytes) -> str:
    try:
        return answers.cut(_read_version(body).index_templates[0].index_template.meta["version"])
    except (msgspec.MsgspecError, IndexError, KeyError):
        return ""


class _Inner(msgspec.Struct, rename={"meta": "_meta"}):
    meta: dict[str, str] = {}


class _Named(msgspec.Struct):
    index_template: _Inner


class _Templates(msgspec.Struct):
    index_templates: list[_Named] = []


_read_version = msgspec.json.Decoder(_Templates).decode


def _privileges(server: Server, settings: Destination, tenant: str) -> Check:
    asked = {"index": rights.indices(settings.mode, tenant)}
    answer = server.ask("POST", "/_security/user/_has_privileges", msgspec.json.encode(asked))
    if answer.status != HTTPStatus.OK:
        return Check("rights", ok=False, detail=answers.whole(answer.status, answer.body).text)
    found: dict[str, dict[str, bool]] = _field(answer, "index") or {}
    lacking = [f"{right} on {name}" for name, granted in found.items() for right, has in granted.items() if not has]
    if lacking:
        advice = "make a key as `spikebridge setup elasticsearch --dry-run` prints it"
        return Check("rights", ok=False, detail=f"lacking: {', '.join(lacking)}", advice=advice)
    return Check("rights", ok=True, detail="all that is needed")


def _write(server: Server, settings: Destination, tenant: str) -> Iterator[Check]:
    """Write, read back and remove, in an index that nobody else uses; without the right to remove nothing is written."""
    name = rights.probe_index(settings.mode, tenant)
    path = f"/_data_stream/{name}" if settings.mode == "stream" else f"/{name}"
    removal = server.ask("DELETE", path)
    if removal.status not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
        detail = f"not tried: {name} could not be removed again: {answers.whole(removal.status, removal.body).text}"
        yield Check("write", ok=False, detail=detail, advice="grant the rights that `spikebridge setup NAME --dry-run` prints")
        return
    lines = msgspec.json.encode({"create": {"_index": name, "_id": "probe"}}) + b"\n" + msgspec.json.encode(_DOCUMENT) + b"\n"
    target = f"/_bulk?refresh=true&timeout={settings.timeout_ns // 1_000_000}ms"
    answer = server.ask("POST", target, lines, {"content-type": "application/x-ndjson"})
    try:
        verdicts = answers.items(answer.body, 1) if answer.status == HTTPStatus.OK else None
        verdict = verdicts[0] if verdicts else answers.whole(answer.status, answer.body)
        if verdict.outcome is not answers.Outcome.DELIVERED:
            yield Check("write", ok=False, detail=f"{name}: {verdict.text}")
            return
        yield Check("write", ok=True, detail=f"a document was created in {name}")
        yield _read_back(server, settings, name)
    finally:
        removal = server.ask("DELETE", path)
    if removal.status != HTTPStatus.OK:
        detail = f"{name} is still there: {answers.whole(removal.status, removal.body).text}"
        yield Check("clean up", ok=False, detail=detail, advice="delete it by hand")


def _read_back(server: Server, settings: Destination, name: str) -> Check:
    """Find the document by its id: in a stream by a search, for its index has a name of its own."""
    if settings.mode == "index":
        answer = server.ask("GET", f"/{name}/_doc/probe")
        found = answer.status == HTTPStatus.OK and _field(answer, "_source") == _DOCUMENT
    else:
        answer = server.ask("GET", f"/{name}/_search?q=_id:probe&filter_path=hits.hits._source")
        hits: Any = _field(answer, "hits")
        found = answer.status == HTTPStatus.OK and [hit["_source"] for hit in (hits or {}).get("hits", ())] == [_DOCUMENT]
    if found:
        return Check("read back", ok=True, detail="it was found again, and removed")
    return Check(
        "read back",
        ok=False,
        detail=answers.whole(answer.status, answer.body).text if answer.status != HTTPStatus.OK else "not found",
    )


def _field(answer: Answer, name: str) -> Any:
    """Return a field of a JSON object; None where the answer is something else."""
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found.get(name) if isinstance(found, dict) else None
