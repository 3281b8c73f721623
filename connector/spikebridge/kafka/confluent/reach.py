"""How confluent-kafka reaches a cluster, and what is found where it doesn't: its own errors don't say."""

# ruff: noqa: SLF001  the library's own error codes begin with an underscore

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from spikebridge.errors import LogBusy, LogDenied, LogError, LogMissing, LogRefused, LogTooLarge, LogUnavailable
from spikebridge.kafka.client import CALL_S
from spikebridge.located import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from confluent_kafka import Consumer

    from spikebridge.kafka.connection import Connection
    from spikebridge.tls import Tls

REQUEST_S = CALL_S / 2
"""How long one request may take: a call has time for a second one."""

MISSING = frozenset(
    (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    )
)
"""What the library says of topics and partitions that aren't there."""

_NO_LOGIN = frozenset((KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED))
_NO_RIGHT = frozenset(
    (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    )
)
_TOO_LARGE = frozenset((KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE))
_REFUSED = frozenset(
    (
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_ALREADY_EXISTS,
        KafkaError.TOPIC_EXCEPTION,
    )
)
_SILENT = frozenset(
    (
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_COORD,
        KafkaError.REQUEST_TIMED_OUT,
    )
)
_ASK_S = 0.3
_RECONNECT_S = 1.0
_FIND_S = 2 * _RECONNECT_S
"""How long the library may take to find somebody to ask: longer than it waits before it connects again."""

_LONGEST_CAUSE = 300
_TOKEN_BYTES = 64 * 1024
_TOKEN_S = 60.0

_HINTS = (
    (r"Disconnected.* in state APIVERSION", "it closed the connection at our first words: it may speak TLS on this port"),
    (r"Disconnected.* in state UP", "it closed the connection: it may want a login (sasl), or is going down"),
    (r"Disconnected.* in state SSL|wrong version number", "it doesn't speak TLS on this port"),
    (r"Failed to resolve", "no such host, or no answer from the name server"),
    (r"certificate|unknown ca", "TLS"),
    (r"SASL (\S+) mechanism handshake failed", r"it doesn't take \1 on this port"),
)
"""What a line of the library's log means, where it doesn't say so itself."""

_log = logging.getLogger(__name__)


class Heard:
    """
    What one client of the library says by itself: its log, and errors that belong to no call.

    Fault: a call that meets a wrong password, a foreign certificate or a closed port says "timed out".
    """

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self.forget()

    def forget(self) -> None:
        """Begin anew after an answer."""
        self.cause = ""
        self.denied = False
        self.down = False
        self.quiet_since_s = time.monotonic()

    def log(self, _level: int, text: str, *words: str) -> None:
        """Take a line as a `logging.Logger` does; the library never logs passwords or tokens at its default level."""
        line = printable(text % words)
        _log.debug("%s", line)
        if "FAIL" in words:
            self._keep(line.partition("]: ")[2])

    def error(self, error: KafkaError) -> None:
        """Take an error; that all servers are gone is never the first one."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.down = True
        else:
            self._keep(printable(error.str()))
            self.denied |= error.code() in _NO_LOGIN

    def _keep(self, line: str) -> None:
        hint = next((f"{found.expand(hint)}: " for pattern, hint in _HINTS if (found := re.search(pattern, line))), "")
        self.cause = hint + re.sub(r" \(after \d+ms in state [^)]*\)", "", line)[:_LONGEST_CAUSE]
        self.denied = hint.startswith("TLS")


class Reach:
    """One cluster under one set of credentials: the library's settings for it, and its errors in our words."""

    def __init__(self, connection: Connection) -> None:
        """Take the settings, with certificates that can be read; nothing is connected."""
        self.where = f"kafka {connection.where}"
        self._connection = connection
        self._settings: dict[str, Any] = {
            "client.id": "spikebridge",
            "bootstrap.servers": ",".join(connection.servers),
            "security.protocol": ("SASL_" if connection.sasl else "") + ("SSL" if connection.tls else "PLAINTEXT"),
            "socket.timeout.ms": milliseconds(REQUEST_S),
            "socket.nagle.disable": True,
            "reconnect.backoff.max.ms": milliseconds(_RECONNECT_S),
            "retry.backoff.ms": 5,
            "retry.backoff.max.ms": 100,
            "topic.metadata.propagation.max.ms": milliseconds(REQUEST_S),
        }
        self._us = f"it refuses {connection.sasl.user or 'our token'}: " if connection.sasl else ""
        self._files: list[str] = []
        if connection.tls:
            connection.ssl_context()  # Fault: the library meets a file that it can't read at the first use, and doesn't name it.
            self._settings |= _tls(connection.tls)
            self._files = [path for path in (connection.tls.ca, connection.tls.certificate, connection.tls.key) if path]
        if connection.sasl:
            self._settings["sasl.mechanism"] = connection.sasl.mechanism
        self._token: _TokenFile | None = None
        if connection.sasl and connection.sasl.token_file:
            self._token = self._settings["oauth_cb"] = _TokenFile(connection.sasl.token_file)
        elif connection.sasl:
            self._settings["sasl.username"] = connection.sasl.user
            self._settings["sasl.password"] = connection.sasl.password.get_secret_value()

    def settings(self, heard: Heard, more: Mapping[str, Any]) -> dict[str, Any]:
        """Return the library's settings for one of its clients, which tells `heard`."""
        return {**self._settings, **more, "error_cb": heard.error, "logger": heard}

    def check(self, what: str) -> None:
        """
        Reach one server, log in and ask it for the cluster, or raise what was found.

        Fault: the library tries on until the time is up, also with a password that was refused.
        """
        heard = Heard()
        try:
            if self._token:
                self._token()  # Fault: without one the library waits for 10 s, and doesn't say what is wrong with the file.
            admin = AdminClient(self.settings(heard, {}))
        except (OSError, ValueError) as error:
            raise LogDenied(f"{self.where}: {what}: {printable(str(error))}") from error
        except KafkaException as error:
            raise LogDenied(f"{self.where}: {what}: {self._refused(error.args[0])}") from error
        end = time.monotonic() + CALL_S
        while True:
            try:
                admin.cluster_id(timeout=_ASK_S)
            except KafkaException as error:
                admin.poll(0)
                if heard.denied or (heard.down and heard.cause) or time.monotonic() > end:
                    raise self.log_error(what, error.args[0], heard) from error
            else:
                return

    def stranded(self, what: str, heard: Heard, library: Consumer, topic: str | None) -> bool:
        """
        Say whether `library` knows no server any more while one answers us; raise where none does.

        Asked where nothing was heard for `CALL_S`, and not sooner again: polls bring nothing then, for ever.
        Fault: that servers went isn't always told. And a server that is going down names none in its last answer: the library forgets
        them all, and never looks for one again (https://github.com/confluentinc/librdkafka/issues/5301).
        """
        if time.monotonic() - heard.quiet_since_s < CALL_S:
            return False
        heard.quiet_since_s = time.monotonic()
        if not has_nobody_to_ask(library, topic, heard):
            return False
        self.check(what)
        if not has_nobody_to_ask(library, topic, heard):
            return False
        _log.warning("%s: %s: the library doesn't find it any more, though it answers: connecting anew", self.where, what)
        return True

    @contextmanager
    def told(self, what: str, heard: Heard) -> Iterator[None]:
        """Have the library's errors raised as ours, with the servers, `what` was done, and the cause."""
        try:
            yield
        except KafkaException as error:
            raise self.log_error(what, error.args[0], heard) from error

    def log_error(self, what: str, error: KafkaError, heard: Heard) -> LogError:
        """Say an error of the library in our words; one without a cause gets what was heard."""
        code, text = error.code(), reason(error)
        kind: type[LogError] = LogUnavailable
        if code == KafkaError.FENCED_INSTANCE_ID or (code == KafkaError._FATAL and "fenced" in text):
            kind, text = LogBusy, "another instance uses this name; give each instance an `instance` of its own"
        elif code in MISSING:
            kind, text = LogMissing, "there is no such topic or partition"
        elif code in _TOO_LARGE:
            kind = LogTooLarge
        elif code in _REFUSED:
            kind = LogRefused
        elif code in _NO_RIGHT:
            kind, text = LogDenied, f"no right to do it: {text}"
        elif code in _NO_LOGIN:
            kind = LogDenied
        elif code in _SILENT and heard.denied:
            kind, text = LogDenied, (self._us if "SASL" in heard.cause and "handshake" not in heard.cause else "") + heard.cause
            text += self._connection.outdated()
        elif code in _SILENT:
            text = heard.cause or f"no answer in time: {text}"
        return kind(f"{self.where}: {what}: {text}")

    def _refused(self, error: KafkaError) -> str:
        """Say why the library doesn't take our settings: it never names the file."""
        for path in self._files:
            try:
                Path(path).open("rb").close()
            except OSError as missing:
                return f"tls: {path}: {missing.strerror}"
        files = f"tls: {', '.join(self._files)}: " if self._files else ""
        return files + reason(error) + ("; expected PEM files and the key's password" if files else "")


class _TokenFile:
    """
    Reads the token anew each minute: whoever renews it writes the file.

    Fault: the library doesn't ask for each connection, but when most of a token's life is over; so it is told that it lives a minute.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def __call__(self, _settings: str = "") -> tuple[str, float]:
        with self._path.open("rb") as file:
            token = file.read(_TOKEN_BYTES).strip()
        if not re.fullmatch(rb"[\x21-\x7e]+", token):
            message = f"{self._path}: expected a token, printable ASCII without spaces"
            raise ValueError(message)
        return token.decode("ascii"), time.time() + _TOKEN_S


def has_nobody_to_ask(library: Consumer | AdminClient, topic: str | None, heard: Heard) -> bool:
    """Ask for something small; of who doesn't answer in time the library knows at least."""
    try:
        library.list_topics(topic, timeout=_FIND_S)
    except KafkaException as error:
        return bool(error.args[0].code() == KafkaError._TRANSPORT)
    heard.forget()
    return False


def reason(error: KafkaError) -> str:
    """Return what the library says, in one printable line of bounded length."""
    return printable(error.str() or error.name())[:_LONGEST_CAUSE]


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, at least one."""
    return max(1, round(seconds * 1000))


def _tls(tls: Tls) -> dict[str, str]:
    files = {
        "ssl.ca.location": tls.ca,
        "ssl.certificate.location": tls.certificate,
        "ssl.key.location": tls.key or tls.certificate,
        "ssl.key.password": tls.key_password.get_secret_value() if tls.key_password else None,
    }
    return {name: value for name, value in files.items() if value is not None}
