"""
Splunk, through its HTTP Event Collector (HEC): one event for each finding, shaped for Splunk's Common Information Model.

The event's time is that of the finding, never that of its arrival. Its `event` is the format `cim`, and the indexed field
`spikebridge_id` holds our id: `... | dedup spikebridge_id` drops repeats (for incidents `| sort - spikebridge_version` before it keeps
the newest). The token needs no other right than to write to its index; switch its indexer acknowledgement (`useACK`) on.

::

    sinks:
      splunk:
        type: splunk
        endpoints: https://splunk:8088
        token: a-token-for-spikebridge # better: ${env:SPLUNK_TOKEN} or ${file:token.txt}
        index: security
        tls: {ca: splunk-ca.pem}
"""

from __future__ import annotations

import re
import time
from collections import deque
from threading import Event
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

from pydantic import AfterValidator, Field, SecretStr

from spikebridge.delivery import Batch
from spikebridge.errors import SinkDenied, SinkRefused, SinkUnavailable
from spikebridge.limits import SECOND
from spikebridge.sinks.splunk.checks import endpoints_of, greet, probe
from spikebridge.sinks.splunk.connection import Endpoint, Endpoints
from spikebridge.sinks.splunk.events import Labels
from spikebridge.sinks.splunk.sending import Around, Pace, Sending
from spikebridge.tls import BadTls, Tls
from spikebridge.validation import Content, Duration, Size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from spikebridge.alerts import AlertEntry

__all__ = ["Settings", "SplunkSink", "probe"]

MOST = Batch(entries=10_000, bytes=32_000_000)
"""Acknowledgements come after ten seconds or so, whatever was sent: what is sent in one go decides how many alerts a second there are."""


def _token(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{1,512}", secret.get_secret_value()):
        message = "expected letters, digits and signs, no spaces"
        raise ValueError(message)
    return secret


def _index(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,254}", name):
        message = "expected the name of an index: a-z, 0-9, `_` and `-`"
        raise ValueError(message)
    return name


class Settings(Content):
    """Which collector, and what every event says of where it came from."""

    endpoints: Endpoints = Field(
        min_length=1,
        max_length=100,
        description="https://HOST:PORT, or a list: one is used until it fails, then the next. "
        "A load balancer needs sticky sessions by cookie.",
    )
    token: Annotated[SecretStr, AfterValidator(_token)] = Field(
        description="The token's value; write `${env:NAME}` or `${file:PATH}`."
    )
    tls: Tls | None = Field(None, description="Whom to trust, and our own certificate. Default: the authorities of the system.")
    index: Annotated[str, AfterValidator(_index)] | None = Field(
        None, description="The index. Default: the one that the token names."
    )
    source: str = Field("spikebridge", min_length=1, max_length=255, description="`source` of every event. Default spikebridge.")
    sourcetype: str = Field(
        "spikebridge",
        pattern=r"^[A-Za-z0-9_:.-]{1,200}$",
        description="`sourcetype` is this and `:alert` or `:incident`. The add-on relies on the default, spikebridge.",
    )
    host: str = Field(
        "spikebridge",
        min_length=1,
        max_length=255,
        description="`host` of every event. Default spikebridge: a device names itself, so it could fill Splunk's list of hosts; it is `dvc`.",
    )
    acknowledge: Literal["auto", "on", "off"] = Field(
        "auto",
        description="`on` insists on indexer acknowledgement, `off` counts what was accepted as delivered, "
        "`auto` waits for an acknowledgement where the token gives one. Default auto.",
    )
    ack_timeout_ns: Duration = Field(
        300 * SECOND,
        ge=SECOND,
        alias="ack_timeout",
        description="What isn't acknowledged after so long is sent again. Default 5m: the last events of a quiet hour may take 2m.",
    )
    timeout_ns: Duration = Field(
        30 * SECOND,
        ge=SECOND // 10,
        le=60 * SECOND,
        alias="timeout",
        description="For one request and its whole answer, at most 1m. Default 30s.",
    )
    batch_size: Size = Field(
        900_000, ge=1, le=100_000_000, description="Bytes of events in a request, before compression. Default 900KB."
    )
    batch_events: int = Field(1_000, ge=1, le=100_000, description="Events in a request. Default 1000.")
    in_flight: int = Field(
        32,
        ge=1,
        le=100,
        description="Requests that wait for an acknowledgement at once: as many alerts as they hold, and 10,000 at most, "
        "are sent again after a crash. Default 32.",
    )


class SplunkSink:
    """
    Send findings to Splunk, compressed, and wait until the indexers acknowledge them.

    Told to stop, it sends nothing more and asks for acknowledgements for 15 s yet.
    At least once: what Splunk acknowledged but our cursor had not noted when the process died is sent again, and so is what an answer or
    an acknowledgement was lost for (counted in `spikebridge_doubtful_total`). With `acknowledge: off`, or a token without
    acknowledgement, "accepted" counts as delivered: what lies in Splunk's queue when it dies is lost.
    An event that Splunk can't take becomes a dead letter; with acknowledgements those before it in the request are sent again.
    """

    def __init__(self, settings: Settings, _data: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open nothing yet; the host may set `wait` and `linger`, as `Surroundings` says. `clock` is in seconds."""
        self.settings = settings
        self.wait: Callable[[float], bool] = Event().wait
        self.linger: Callable[[float], bool] = Event().wait
        self._clock = clock
        self._labels = Labels(settings.index or "", settings.source, settings.sourcetype, settings.host)
        self._pace = Pace(
            batch_bytes=settings.batch_size,
            batch_events=settings.batch_events,
            window=settings.in_flight,
            longest_window=settings.in_flight,
            ack_timeout_s=settings.ack_timeout_ns / SECOND,
            wanted=settings.acknowledge != "off",
            insist=settings.acknowledge == "on",
        )
        self._endpoints: deque[Endpoint] = deque()
        self._pauses: list[float] = []

    def open(self) -> None:
        """Find an endpoint that is well; with `acknowledge: on`, one that acknowledges."""
        if self._endpoints:
            return
        try:
            endpoints = deque(endpoints_of(self.settings))
        except BadTls as error:
            raise SinkUnavailable(str(error)) from None
        reasons = []
        self._pauses = []
        for endpoint in list(endpoints):
            trouble = greet(endpoint, insist=self._pace.insist)
            if trouble is None:
                self._endpoints, self._pauses = endpoints, []
                return
            endpoint.close()
            endpoints.rotate(-1)
            self._pauses.append(trouble.after_s)
            reasons.append(f"{endpoint.url}: {trouble.reason}")
            if self.wait(0):  # also what keeps the host's membership while many are slow
                break
        self._raise("; ".join(reasons), denied=trouble is not None and trouble.action == "denied")

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Send all, in batches, and wait for every acknowledgement; HEC can't tell what it had already."""
        self.open()
        endpoint = self._endpoints[0]
        sending = Sending(
            Around(
                endpoint=endpoint, labels=self._labels, pace=self._pace, wait=self.wait, linger=self.linger, clock=self._clock
            ),
            findings,
        )
        sending.run()
        if sending.trouble is not None:
            endpoint.renew()
            self._endpoints.rotate(-1)
            self._pauses.append(sending.trouble.after_s)
            self._raise(f"{endpoint.url}: {sending.trouble.reason}", sending, denied=sending.trouble.action == "denied")
        self._pauses = []
        self._pace.faster()
        if sending.refused or sending.doubtful:
            raise SinkRefused(sending.refused, doubtful=sending.doubtful)
        return 0

    def close(self) -> None:
        """Close every connection."""
        while self._endpoints:
            self._endpoints.pop().close()

    @property
    def batch(self) -> Batch:
        """As much as may be in flight."""
        pace = self._pace
        return Batch(min(MOST.entries, pace.window * pace.batch_events), min(MOST.bytes, pace.window * pace.batch_bytes))

    def _raise(self, message: str, sending: Sending | None = None, *, denied: bool) -> NoReturn:
        """Raise what the host should know; while there are endpoints that were not tried, it need not wait."""
        tried_all = len(self._pauses) >= len(self.settings.endpoints)
        after_s = max(self._pauses) if tried_all else 0.0
        if tried_all:
            self._pauses = []
        raised = SinkDenied if denied and tried_all else SinkUnavailable
        raise raised(
            message,
            undelivered=sending.left if sending else None,
            refused=sending.refused if sending else None,
            after_s=after_s,
            doubtful=sending.doubtful if sending else 0,
        )
