"""Whether an endpoint is well: asked in a few words at the start, and step by step for `doctor`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spikebridge.limits import SECOND
from spikebridge.probe import Check, certificate, dial, look_up
from spikebridge.sinks.splunk.answers import HOLD_S, Outcome, acknowledged, judge
from spikebridge.sinks.splunk.connection import ACK_PATH, EVENT_PATH, HEALTH_PATH, Endpoint
from spikebridge.tls import BadTls, tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.sinks.splunk import Settings

_JSON = {"Content-Type": "application/json"}


def endpoints_of(settings: Settings) -> list[Endpoint]:
    """Make the configured endpoints, not connected yet; `BadTls` if certificates can't be read."""
    if any(url.startswith("https:") for url in settings.endpoints):
        tls_context(settings.tls)
    return [Endpoint(url, settings.token, settings.tls, settings.timeout_ns / SECOND) for url in settings.endpoints]


def greet(endpoint: Endpoint, *, insist: bool) -> Outcome | None:
    """Say what keeps an endpoint from being used, None if nothing does; `insist` on acknowledgements."""
    answer = endpoint.ask("GET", HEALTH_PATH)
    outcome = judge(answer)
    if not answer.status or outcome.action in ("again", "denied"):
        return outcome
    if not insist:
        return None
    found = _acknowledgement(endpoint)
    if found is None or found.action in ("again", "denied", "hold"):
        return found
    reason = f"acknowledge is on, but there are none ({found.reason}): switch useACK on for the token, or set acknowledge to auto"
    return Outcome("hold", reason, HOLD_S)


def probe(settings: Settings, tenant: str) -> Iterator[Check]:
    """
    Try every endpoint: name, port, TLS, health, token and index, acknowledgement.

    It writes one event, which Splunk keeps: its sourcetype ends in `:test`.
    """
    try:
        endpoints = endpoints_of(settings)
    except BadTls as error:
        yield Check("TLS files", ok=False, detail=str(error), advice="name files in PEM that this process may read")
        return
    for endpoint in endpoints:
        try:
            yield from _probe(endpoint, settings, tenant)
        finally:
            endpoint.close()


def _probe(endpoint: Endpoint, settings: Settings, tenant: str) -> Iterator[Check]:
    parts = urlsplit(endpoint.url)
    host, port = str(parts.hostname), int(parts.port or 0)
    for step in (look_up, dial):
        check = step(host, port)
        yield check
        if not check.ok:
            return
    answer = endpoint.ask("GET", HEALTH_PATH)
    if parts.scheme == "https":
        advice = "set tls.ca to the file of the authority that signed Splunk's certificate, and endpoints to the name in it"
        if answer.trouble:
            yield Check("TLS", ok=False, detail=f"{endpoint.url}: {answer.trouble}", advice=advice)
            return
        yield certificate(host, port, tls_context(settings.tls), time.time())
    health = judge(answer)
    well = health.action != "again"
    yield Check("health", well, f"{endpoint.url}: {health.reason}", "" if well else "look at Splunk's own health first")
    if health.action != "again":
        yield from _write(endpoint, settings, tenant)


def _write(endpoint: Endpoint, settings: Settings, tenant: str) -> Iterator[Check]:
    """Write a test event: only that shows whether token and index are accepted."""
    event = {
        "time": round(time.time(), 3),
        "host": settings.host,
        "source": settings.source,
        "sourcetype": f"{settings.sourcetype}:test",
        "event": {"message": "a test of spikebridge doctor", "tenant": tenant},
    } | ({"index": settings.index} if settings.index else {})
    channel = {} if settings.acknowledge == "off" else {"X-Splunk-Request-Channel": endpoint.channel}
    outcome = judge(endpoint.ask("POST", EVENT_PATH, json.dumps(event).encode(), {**_JSON, **channel}))
    index = f"index {settings.index}" if settings.index else "the token's index"
    taken = outcome.action == "taken"
    name = "token" if outcome.action == "denied" else "write"
    advice = "" if taken else "mend what the answer says, then run doctor again"
    yield Check(name, taken, f"{endpoint.url}: a test event into {index}: {outcome.reason}", advice)
    if taken:
        yield _acknowledges(settings.acknowledge, outcome.ack is not None)


def _acknowledges(mode: str, named: bool) -> Check:  # noqa: FBT001 -- one fact
    if named and mode != "off":
        return Check("acknowledgement", True, "the token gives them: an alert counts as delivered when the indexers have it")
    if mode == "on":
        return Check("acknowledgement", False, "acknowledge is on, but the token gives none", "switch useACK on for the token")
    advice = (
        "switch useACK on for the token, and leave acknowledge on auto: what is in Splunk's queue when it dies is lost without"
    )
    return Check("acknowledgement", True, "none: an alert counts as delivered when Splunk accepted it", advice)


def _acknowledgement(endpoint: Endpoint) -> Outcome | None:
    """Ask for an acknowledgement that nobody gave: the answer tells whether there are any."""
    body = json.dumps({"acks": [0]}).encode()
    headers = {**_JSON, "X-Splunk-Request-Channel": endpoint.channel}
    found = acknowledged(endpoint.ask("POST", f"{ACK_PATH}?channel={endpoint.channel}", body, headers), [0])
    return found if isinstance(found, Outcome) else None
