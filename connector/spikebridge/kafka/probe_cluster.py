"""What `doctor` asks of a cluster, from the name of a broker to our name there: the part that logs and sinks share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from spikebridge.errors import LogDenied, LogError, SpikebridgeError
from spikebridge.kafka.connection import connect
from spikebridge.probe import Check, certificate, dial, look_up
from spikebridge.tls import BadTls, tls_context

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from spikebridge.kafka.client import Admin, Client
    from spikebridge.kafka.connection import Connection


def reach(connection: Connection) -> Generator[Check, None, tuple[Client, Admin] | None]:
    """Yield a check for each step to each server; return the client and its admin, which is to be closed, or None."""
    reached = False
    for server in connection.servers:
        check: Check | None = None
        for check in _server(connection, server):
            yield check
        reached = reached or bool(check and check.ok)
    if not reached:
        return None
    try:
        client = connect(connection)
        admin = client.admin()
    except LogDenied as error:
        yield Check("credentials", False, str(error), "check `sasl` and `tls` of this log or sink, and the user on the brokers")
        return None
    except LogError as error:
        yield Check("cluster", False, str(error), "look at the brokers' own logs")
        return None
    except SpikebridgeError as error:
        yield Check("client", False, str(error), "install what is missing")
        return None
    yield _credentials(connection)
    return client, admin


def _server(connection: Connection, server: str) -> Iterator[Check]:
    host, _, text = server.rpartition(":")
    host, port = host.strip("[]"), int(text)
    for step in (look_up, dial):
        check = step(host, port)
        yield check
        if not check.ok:
            return
    if connection.tls is None:
        return
    try:
        context = tls_context(connection.tls)
    except BadTls as error:
        yield Check("TLS files", False, str(error), "name files in PEM that this user may read, and the key's password")
        return
    yield certificate(host, port, context, time.time())


def _credentials(connection: Connection) -> Check:
    if connection.sasl is None:
        who = "by our certificate" if connection.tls and connection.tls.certificate else "without a login"
        return Check("credentials", True, f"the brokers answer us {who}")
    name = connection.sasl.user or "the token's owner"
    detail = f"known as {name}, by {connection.sasl.mechanism}"
    if connection.tls is None and connection.sasl.mechanism in ("PLAIN", "OAUTHBEARER"):
        return Check("credentials", True, f"{detail}, unencrypted: everybody on the way can read the secret", "use `tls`")
    return Check("credentials", True, detail)
