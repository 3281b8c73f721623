"""Why a server was not reached, from what the library shows of it: its own errors don't say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kafka import errors

from spikebridge.located import printable

if TYPE_CHECKING:
    from spikebridge.kafka.connection import Sasl

_CAUSE_LENGTH = 300


class Cause(NamedTuple):
    """Why a server was not reached. `denied`: somebody must act; `cut`: the server's own words may have been lost."""

    text: str
    denied: bool = False
    cut: bool = False


class _Known(NamedTuple):
    seen: str
    text: str
    denied: bool = False
    cut: bool = False
    refused: bool = False


_CAUSES = (
    _Known(r"^SaslAuthenticationFailed", "it refuses {user}: {text}", denied=True, refused=True),
    _Known(r"^UnsupportedSaslMechanism|^IllegalSaslState", "it doesn't take {login} on this port: {text}", denied=True),
    _Known(r"\[SSL: \w*(CERTIFICATE|UNKNOWN_CA)", "TLS: {text}", denied=True),
    _Known(r"\[SSL: \w*(EOF|WRONG_VERSION|RECORD)", "it doesn't speak TLS on this port: {text}"),
    _Known("DNS", "no such host, or no answer from the name server"),
    _Known("ECONNREFUSED", "connection refused, nothing listens on this port ({text})"),
    # What TLS says to a stranger comes before the end, or doesn't; where it comes, it is read as a length.
    _Known(
        "mute; .*(disconnected|Invalid frame length)",
        "it closed the connection at our first words: it may speak TLS on this port, or not be Kafka",
    ),
    _Known("no login; spoke Kafka; ", "it doesn't answer us without a login (sasl): {text}", denied=True),
    _Known(
        "disconnected", "it closed the connection at the login of {user}: the name or the secret is wrong", denied=True, cut=True
    ),
    _Known("Timed?Out|Timeout", "no answer in time"),
)
"""What the library's error, the login and the stage show, in the order in which they are looked for."""


class Causes:
    """
    Says the same of a server as long as the cause is the same, so that it is logged once.

    A refused login comes in the server's own words or, where the library has lost those, as a closed connection: then its last words are said again.
    """

    def __init__(self, sasl: Sasl | None) -> None:
        """Begin with no server refusing us."""
        self._sasl = sasl
        self._words: dict[str, str] = {}

    def of(self, server: str, error: errors.KafkaError, *, spoke_kafka: bool) -> Cause:
        """Return the cause; `spoke_kafka`: the server had answered our first words."""
        text = reason(error)
        login = self._sasl.mechanism if self._sasl else "no"
        seen = f"{type(error).__name__}; {login} login; {'spoke Kafka' if spoke_kafka else 'mute'}; {text}"
        known = next((known for known in _CAUSES if re.search(known.seen, seen)), None)
        if known is None:
            return Cause(text)
        user = (self._sasl.user if self._sasl else "") or "us"
        said = known.text.format(text=text, user=user, login=login)
        if known.refused:
            self._words[server] = said
        elif known.cut and server in self._words:
            return Cause(self._words[server], denied=True)
        return Cause(said, known.denied, known.cut)

    def reached(self, server: str) -> None:
        """Forget a server's words: it let us in."""
        self._words.pop(server, None)


def reason(error: BaseException) -> str:
    """Return what the library says, in one printable line of bounded length."""
    said = str(error).strip()
    text = re.sub(r"^(\[Error -?\d+\] )?(\w+Error: )*", "", said) or type(error).__name__.removesuffix("Error")
    described = getattr(error, "description", None)
    if isinstance(error, errors.BrokerResponseError) and described and text in {type(error).__name__, "None", ""}:
        text = described
    return printable(text)[:_CAUSE_LENGTH]
