"""TLS as it is configured everywhere, and as the standard library wants it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, SecretStr

from spikebridge.located import printable
from spikebridge.validation import Content, LocalPath

if TYPE_CHECKING:
    from datetime import datetime


class Tls(Content):
    """Whom to trust, and who we are. `tls: {}` trusts the authorities of the system."""

    ca: LocalPath | None = Field(
        None,
        description="PEM file of the authority that signed the servers' certificates; no other is trusted. Default: those of the system.",
    )
    certificate: LocalPath | None = Field(None, description="PEM file of our own certificate, where servers ask for one.")
    key: LocalPath | None = Field(None, description="PEM file of its key. Default: in the certificate's file.")
    key_password: SecretStr | None = Field(None, description="The password of the key.")


class BadTls(Exception):  # noqa: N818 -- a state of files, named as operators say it
    """A file with certificates or keys can't be used; the text says which."""


def tls_context(tls: Tls | None) -> ssl.SSLContext:
    """
    Read the certificates; names and chains are always checked.

    Whoever has renewed ones reads them into a context of its own: to change one from which another thread makes a connection ends the process.
    """
    made = tls or Tls()
    try:
        context = ssl.create_default_context(cafile=made.ca)
    except (OSError, ValueError) as error:
        raise BadTls(f"tls.ca {made.ca}: {_cause(error)}; expected a PEM file with certificates") from error
    if not made.certificate:
        return context
    password = made.key_password.get_secret_value() if made.key_password else ""
    try:
        # A password that is missing must be a wrong one: asked for none, OpenSSL asks the terminal.
        context.load_cert_chain(made.certificate, made.key, password=lambda: password)
    except (OSError, ValueError) as error:
        where = f"tls.certificate {made.certificate}" + (f", tls.key {made.key}" if made.key else "")
        raise BadTls(f"{where}: {_cause(error)}; expected PEM files of a certificate and its key") from error
    return context


def outdated(tls: Tls | None, now: datetime) -> str:
    """Say that our own certificate isn't good any more, or not yet; servers only say that they don't take it."""
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 -- asked for where something fails

    if tls is None or not tls.certificate:
        return ""
    try:
        found = load_pem_x509_certificate(Path(tls.certificate).read_bytes())
    except (OSError, ValueError):
        return ""
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    if begins <= now <= ends:
        return ""
    when = f"was good until {ends:%Y-%m-%d %H:%M:%SZ}" if ends < now else f"is good from {begins:%Y-%m-%d %H:%M:%SZ} on"
    return f"tls.certificate {tls.certificate} {when}: renew it"


def _cause(error: Exception) -> str:
    return printable(getattr(error, "strerror", None) or str(error) or type(error).__name__)
