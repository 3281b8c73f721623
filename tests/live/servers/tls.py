"""A throwaway certificate authority and what it signed, made by the openssl command in under a second."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.live.servers.missing import Missing

if TYPE_CHECKING:
    from pathlib import Path

CLIENT_NAME = "spikebridge-client"
"""The common name in the client's certificate."""

_KEY = ("-newkey", "rsa:2048", "-nodes")
_DAYS = ("-days", "30")
_EXTENSIONS = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
_TIMEOUT_S = 60


_SIGNS = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
"""Python 3.13 trusts no authority that doesn't say that it signs."""


class Authority:
    """
    Files in PEM: `ca`, and for a server on loopback and one client `NAME_key` (PKCS#8, no password), `NAME_cert`, and `NAME_pem` (key, certificate, CA).

    A second one in another directory is the stranger whose certificates nobody trusts.
    """

    def __init__(self, directory: Path) -> None:
        """Make all of it; `directory` must not hold another."""
        if shutil.which("openssl") is None:
            raise Missing("needs the openssl command; install the package openssl")
        directory.mkdir(parents=True)
        self._directory = directory
        self.ca = directory / "ca.pem"
        self._ca_key = directory / "ca.key"
        self._openssl(
            "req", "-x509", *_KEY, *_DAYS, "-subj", "/CN=spikebridge test CA", *_SIGNS, "-keyout", self._ca_key, "-out", self.ca
        )
        self.server_key, self.server_cert, self.server_pem = self._signed("server", "localhost")
        self.client_key, self.client_cert, self.client_pem = self._signed("client", CLIENT_NAME)

    def _signed(self, name: str, common_name: str) -> tuple[Path, Path, Path]:
        key, cert, pem, request, extensions = (
            self._directory / f"{name}.{suffix}" for suffix in ("key", "crt", "pem", "csr", "ext")
        )
        extensions.write_text(_EXTENSIONS, encoding="ascii")
        self._openssl("req", *_KEY, "-subj", f"/CN={common_name}", "-keyout", key, "-out", request)
        by = ("-CA", self.ca, "-CAkey", self._ca_key, "-CAcreateserial")
        self._openssl("x509", "-req", "-in", request, *by, *_DAYS, "-extfile", extensions, "-out", cert)
        pem.touch(mode=0o600)
        pem.write_text("".join(part.read_text(encoding="ascii") for part in (key, cert, self.ca)), encoding="ascii")
        return key, cert, pem

    def expired(self) -> Path:
        """Sign the client's key once more, until yesterday; return the certificate."""
        authority = x509.load_pem_x509_certificate(self.ca.read_bytes())
        signer, key = (load_pem_private_key(file.read_bytes(), None) for file in (self._ca_key, self.client_key))
        if not isinstance(signer, rsa.RSAPrivateKey) or not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("expected RSA keys")
        yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.load_pem_x509_certificate(self.client_cert.read_bytes()).subject)
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(yesterday - dt.timedelta(days=30))
            .not_valid_after(yesterday)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(signer, hashes.SHA256())
        )
        path = self._directory / f"expired-{made.serial_number:x}.crt"
        path.write_bytes(made.public_bytes(Encoding.PEM))
        return path

    def _openssl(self, *arguments: str | Path) -> None:
        done = subprocess.run(
            ["openssl", *arguments],  # noqa: S607  wherever it's installed
            check=False,
            capture_output=True,
            text=True,
            cwd=self._directory,
            timeout=_TIMEOUT_S,
        )
        if done.returncode:
            raise RuntimeError(f"openssl {arguments[0]} failed:\n{done.stderr}")
