"""How kafka-python reaches a cluster, and what is found where it doesn't: its own errors don't say."""

# ruff: noqa: SLF001  what the library does wrong inside can be answered only there

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.net.sasl.oauth import AbstractTokenProvider

from spikebridge.errors import LogBusy, LogDenied, LogError, LogMissing, LogRefused, LogTooLarge, LogUnavailable
from spikebridge.kafka.client import CALL_S
from spikebridge.kafka.kafka_python.causes import Cause, Causes, reason
from spikebridge.located import printable

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from ssl import SSLContext, SSLSocket

    from spikebridge.kafka.connection import Connection

REQUEST_S = CALL_S / 2
"""How long one request may take: a call has time for a second one."""

_ATTEMPT_S = 3.0
_ATTEMPTS = 3
_TOKEN_BYTES = 64 * 1024

_WITHOUT_CAUSE = (errors.KafkaTimeoutError, errors.KafkaConnectionError, errors.NodeNotReadyError)
_OURS: tuple[tuple[Any, type[LogError], str], ...] = (
    (
        errors.FencedInstanceIdError,
        LogBusy,
        "another instance uses this name; give each instance an `instance` of its own",
    ),
    (errors.SaslAuthenticationFailedError, LogDenied, "it refuses our login: {}"),
    (errors.AuthorizationError, LogDenied, "no right to do it: {}"),
    (errors.UnknownTopicOrPartitionError, LogMissing, "there is no such topic or partition"),
    (errors.InvalidTopicError, LogRefused, ""),
    (errors.MessageSizeTooLargeError, LogTooLarge, ""),
    (errors.RecordListTooLargeError, LogTooLarge, ""),
    (errors.InvalidRecordError, LogRefused, ""),
    (errors.InvalidTimestampError, LogRefused, ""),
    (errors.InvalidConfigurationError, LogRefused, ""),
    (errors.PolicyViolationError, LogRefused, ""),
    (errors.OffsetMetadataTooLargeError, LogRefused, ""),
)

# At its debug level the library writes passwords and tokens; what it says from INFO on, it says to whoever asks for the logger "kafka".
logging.getLogger("kafka").setLevel(logging.INFO)
logging.getLogger("kafka").addHandler(logging.NullHandler())


class Reach:
    """One cluster under one set of credentials: the library's settings for it, and its errors in our words."""

    def __init__(self, connection: Connection) -> None:
        """Read the certificates; nothing is connected."""
        self.where = f"kafka {connection.where}"
        self._connection = connection
        self._causes = Causes(connection.sasl)
        self.settings: dict[str, Any] = {
            "client_id": "spikebridge",
            "bootstrap_servers": list(connection.servers),
            "bootstrap_timeout_ms": milliseconds(REQUEST_S),
            "request_timeout_ms": milliseconds(REQUEST_S),
            "retry_backoff_ms": 50,
            "reconnect_backoff_max_ms": 1_000,
            "proxy_url": f"{_Socket.SCHEMES[0]}://",
            "kafka_client": _Connections,
            "security_protocol": ("SASL_" if connection.sasl else "") + ("SSL" if connection.tls else "PLAINTEXT"),
        }
        context = connection.ssl_context()
        self._certificates = _Certificates(context, connection) if context else None
        if self._certificates:
            self.settings["ssl_context"] = self._certificates
        if connection.sasl:
            self.settings["sasl_mechanism"] = connection.sasl.mechanism
            self.settings["sasl_plain_username"] = connection.sasl.user
            self.settings["sasl_plain_password"] = connection.sasl.password.get_secret_value()
        if connection.sasl and connection.sasl.token_file:
            self.settings["sasl_oauth_token_provider"] = _TokenFile(connection.sasl.token_file)

    def check(self, what: str) -> None:
        """
        Reach one server, log in and ask it for the cluster, or raise what was found at each.

        The fault it answers: the library tries on for 30 s and says "Unable to bootstrap" for a wrong password, a foreign certificate
        and a closed port alike; and where a port wants credentials that we don't have, it hangs for ever.
        A certificate of ours that was renewed in its file is read here, for the connections of open clients too.
        """
        if self._certificates:
            self._certificates.renew()
        end = time.monotonic() + CALL_S
        causes: dict[str, Cause] = {}
        for _ in range(_ATTEMPTS):
            for number, server in enumerate(self._connection.servers):
                left_s = (end - time.monotonic()) / (len(self._connection.servers) - number)
                if left_s <= 0:
                    break
                cause = self._attempt(server, min(left_s, _ATTEMPT_S))
                if cause is None:
                    return
                causes[server] = cause
            # The library drops an answer that arrives together with the end of the connection, a refused password's most of all.
            if not any(cause.cut for cause in causes.values()):
                break
        found = "; ".join(f"{server}: {cause.text}" for server, cause in causes.items())
        if any(cause.denied for cause in causes.values()):
            raise LogDenied(f"{self.where}: {what}: {found}{self._connection.outdated()}")
        raise LogUnavailable(f"{self.where}: {what}: {found}")

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Have the library's errors raised as ours, with the servers, `what` was done, and the cause."""
        try:
            yield
        except errors.KafkaError as error:
            raise self.log_error(what, error) from error

    def log_error(self, what: str, error: errors.KafkaError) -> LogError:
        """Say an error of the library in our words; one without a cause is looked into."""
        begin = f"{self.where}: {what}"
        if isinstance(error, _WITHOUT_CAUSE):
            try:
                self.check(what)
            except LogError as cause:
                return cause
            return LogUnavailable(f"{begin}: no answer in time, though a server is in reach: {reason(error)}")
        for kinds, ours, text in _OURS:
            if isinstance(error, kinds):
                return ours(f"{begin}: {text.format(reason(error)) if text else reason(error)}")
        return LogUnavailable(f"{begin}: {reason(error)}")

    def _attempt(self, server: str, timeout_s: float) -> Cause | None:
        client = _Connections(**{**self.settings, "bootstrap_servers": [server]})
        client._net.start()
        try:
            manager = client._manager
            node = client.cluster.bootstrap_brokers()[0].node_id
            return manager.run(self._asked, manager, (server, node), timeout_s)  # type: ignore[no-any-return]
        finally:
            client.close()

    async def _asked(self, manager: Any, asked: tuple[str, str], timeout_s: float) -> Cause | None:
        server, node = asked
        connection = manager.get_connection(
            node,
            timeout_ms=milliseconds(timeout_s),
            pop_on_close=False,
            refresh_metadata_on_err=False,
            reset_backoff_on_connect=False,
        )
        try:
            await manager.wait_for(connection.init_future, milliseconds(timeout_s))
            await manager.wait_for(manager.call_soon(manager.cluster.refresh_metadata, node), milliseconds(timeout_s))
        except errors.KafkaError as error:
            return self._causes.of(server, error, spoke_kafka=connection.broker_version_data is not None)
        except (OSError, ValueError) as error:  # the token file's
            return Cause(printable(str(error)), denied=True)
        self._causes.reached(server)
        return None


class _Certificates:
    """
    What the library takes for an `SSLContext`: each connection begins with the certificates that were read last.

    They are read into a new context. To change the one from which another thread of ours makes a connection ends the process.
    """

    def __init__(self, context: SSLContext, connection: Connection) -> None:
        self._context = context
        self._connection = connection

    def wrap_socket(self, sock: socket.socket, **options: Any) -> SSLSocket:
        return self._context.wrap_socket(sock, **options)

    def renew(self) -> None:
        with suppress(LogDenied):  # half written: the next check reads it again
            self._context = self._connection.ssl_context() or self._context


class _Connections(KafkaNetClient):  # type: ignore[misc]
    """
    The connections of one client of the library.

    Fault: `allow_auto_create_topics` doesn't reach the metadata, so that a broker may make a topic for whoever asks about one.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.cluster.config["allow_auto_create_topics"] = False


class _Socket(KafkaNetSocket):  # type: ignore[misc]
    """
    A plain socket; classes for the way to a server are chosen by a scheme.

    Fault: a socket that could not be connected is left open until the garbage is collected, each second one while a server is away.
    """

    SCHEMES = ("spikebridge",)

    async def sock_connect(self, net: Any, sock: socket.socket, sockaddr: Any, timeout_at: float | None = None) -> socket.socket:
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)  # type: ignore[no-any-return]
        except BaseException:
            sock.close()
            raise


class _TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    """Reads the token anew for each connection: whoever renews it writes the file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = Path(path)

    def token(self) -> str:
        with self._path.open("rb") as file:
            token = file.read(_TOKEN_BYTES).strip()
        if not re.fullmatch(rb"[\x21-\x7e]+", token):
            message = f"{self._path}: expected a token, printable ASCII without spaces"
            raise ValueError(message)
        return token.decode("ascii")


def milliseconds(seconds: float) -> int:
    """Round to what the library counts in, at least one."""
    return max(1, round(seconds * 1000))
