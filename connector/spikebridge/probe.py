"""
What `spikebridge doctor` asks of everything that is reached over a network: one finding after the other, from the outside in.

A sink's module has `probe(settings, tenant)` beside its class, where there is something to reach; a log's is told the look-back too.
It yields a check as soon as it is known and ends after the first that makes the rest impossible; what it writes it takes away again,
or says where it stays.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
from typing import TYPE_CHECKING, Literal, NamedTuple

from spikebridge.located import printable
from spikebridge.units import format_size

if TYPE_CHECKING:
    from pathlib import Path

CONNECT_S = 5.0
SOON_DAYS = 30
LEAST_FREE_BYTES = 1_000_000_000
_DAY_S = 86_400


class Check(NamedTuple):
    """
    One thing that was tried.

    `detail` says what was found, good or bad; `advice` what to do about it, "" where nothing is to be done. Neither ever holds a secret.
    """

    name: str
    ok: bool
    detail: str
    advice: str = ""

    @property
    def level(self) -> Literal["ok", "warn", "FAIL"]:
        """What is well but comes with an advice is a warning."""
        if not self.ok:
            return "FAIL"
        return "warn" if self.advice else "ok"


def look_up(host: str, port: int) -> Check:
    """Ask for the addresses of a host."""
    try:
        found = sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no name of a host"
        return Check("DNS", False, f"{host}: {printable(reason)}", "check the name, and this machine's resolver")
    return Check("DNS", True, f"{host}: {', '.join(found)}")


def dial(host: str, port: int) -> Check:
    """Connect to a port."""
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        reason = printable(error.strerror or str(error))
        return Check("TCP", False, f"{host}:{port}: {reason}", "is the server running? Check the port, and firewalls in between")
    return Check("TCP", True, f"{host}:{port} takes connections")


def certificate(host: str, port: int, context: ssl.SSLContext, now_s: float) -> Check:
    """Shake hands, and say who signed the server's certificate and how long it is good for."""
    where = f"{host}:{port}"
    try:
        with (
            socket.create_connection((host, port), CONNECT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            found, version = secured.getpeercert() or {}, secured.version()
    except ssl.SSLCertVerificationError as error:
        advice = "name the file of the authority that signed it in `tls.ca`, and the server as its certificate does"
        return Check("TLS", False, f"{where}: the certificate is not trusted: {printable(error.verify_message)}", advice)
    except (OSError, ValueError) as error:
        reason = printable(getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error))
        return Check("TLS", False, f"{where}: {reason}", "does the port speak TLS, and want a certificate of ours?")
    until = str(found.get("notAfter", ""))
    if not until:
        return Check("TLS", True, f"{where}: {version}")
    days = int((ssl.cert_time_to_seconds(until) - now_s) // _DAY_S)
    detail = f"{where}: {version}, the certificate is trusted, fits the name, and is good for {days} days (until {until})"
    return Check("TLS", True, detail, "have it renewed" if days < SOON_DAYS else "")


def writable(directory: Path) -> Check:
    """Say whether files can be made in a directory, or it itself can, and how much room there is."""
    nearest = directory
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        return Check("directory", False, f"{directory}: {nearest} is no directory", "name another, or remove what is there")
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Check(
            "directory", False, f"{directory}: we may not write in {nearest}", f"let this user write there: chown {nearest}"
        )
    free = shutil.disk_usage(nearest).free
    detail = f"{directory}: writable, {format_size(free)} free" + ("" if nearest == directory else ", not there yet")
    return Check("directory", True, detail, "make room" if free < LEAST_FREE_BYTES else "")
