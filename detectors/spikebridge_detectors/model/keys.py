"""Who signed a model: ECDSA keys on the curve P-256, in PEM files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.container import SIGNATURE_BYTES
from spikebridge_detectors.shipped.pins import PINS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spikebridge_detectors.model.container import Envelope

PRIVATE, PUBLIC = ".key", ".pub"
"""How the files of a pair end."""

PINNED = "pinned"
"""Who signed a model that is known by its digest."""

SHOWN = 16
"""So many hexadecimal digits of a key's id are shown to people."""

_MOST_KEYS = 64
_MOST_BYTES = 1 << 13
_HALF = SIGNATURE_BYTES // 2


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose models are run: public keys by their id, and digests of models that need none, which are those that ship."""

    keys: Mapping[bytes, ec.EllipticCurvePublicKey] = field(default_factory=dict)
    pins: frozenset[str] = frozenset(PINS.values())

    @classmethod
    def in_directory(cls, directory: Path) -> Self:
        """Trust every key `*.pub` of a directory, beside the models that ship."""
        found = sorted(directory.glob(f"*{PUBLIC}"))
        if not found or len(found) > _MOST_KEYS:
            todo = "" if found else ": put there the public keys of whom you trust"
            raise ModelError(f"{directory}: expected 1 to {_MOST_KEYS} public keys *{PUBLIC}, found {len(found)}{todo}")
        return cls({key_id(key): key for key in map(public_key, found)})

    def admit(self, envelope: Envelope) -> str:
        """Return who signed it: the id of a key, or `PINNED`; refuse what nobody did whom we trust, or what was changed since."""
        if envelope.digest in self.pins:
            return PINNED
        if not envelope.signature:
            raise ModelError("unsigned: expected a signature by a trusted key; sign it with `spikebridge model sign`")
        signer = envelope.key_id.hex()[:SHOWN]
        key = self.keys.get(envelope.key_id)
        if key is None:
            known = ", ".join(one.hex()[:SHOWN] for one in self.keys)
            wanted = (
                f"one of {known}" if known else "a directory of trusted keys to be named (--keys, model_keys in a configuration)"
            )
            raise ModelError(f"signed by a key that is not trusted: expected {wanted}, found {signer}")
        r, s = (int.from_bytes(half, "big") for half in (envelope.signature[:_HALF], envelope.signature[_HALF:]))
        try:
            key.verify(encode_dss_signature(r, s), envelope.content, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise ModelError(f"altered: it is not what key {signer} signed") from None
        return envelope.key_id.hex()


def signed(envelope: Envelope, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the file with a signature, in place of one that it may have; the same key gives the same bytes."""
    der = key.sign(envelope.content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(der)
    return envelope.content + key_id(key.public_key()) + r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")


def key_id(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return by what a key is known."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return sha256(key.public_bytes(serialization.Encoding.DER, form)).digest()


def generate(stem: Path) -> tuple[Path, Path]:
    """Write a new pair beside each other, the private key for its owner alone; a file that is there is never written over."""
    private, public = stem.with_name(stem.name + PRIVATE), stem.with_name(stem.name + PUBLIC)
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise ModelError(f"{path}: expected no such file; keys are never written over")
    key = ec.generate_private_key(ec.SECP256R1())
    plain = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _create(private, plain, 0o600)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    _create(public, key.public_key().public_bytes(serialization.Encoding.PEM, form), 0o644)
    return private, public


def private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a key to sign with."""
    if b"-----BEGIN PUBLIC KEY-----" in _bounded(path):
        half = path.with_suffix(PRIVATE) if path.suffix == PUBLIC else f"the file *{PRIVATE}"
        raise ModelError(f"{path}: expected a private key, found a public one; `spikebridge model keygen` wrote {half} beside it")
    if path.stat().st_mode & 0o077:
        raise ModelError(f"{path}: expected a private key that only its owner may read: chmod 600")
    try:
        key = serialization.load_pem_private_key(_bounded(path), password=None)
    except TypeError:
        raise ModelError(f"{path}: expected a private key without a passphrase, found an encrypted one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ModelError(f"{path}: expected a private key in PEM, as `spikebridge model keygen` writes it") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ModelError(f"{path}: expected a key on the curve P-256, found another")
    return key


def public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Read a key to verify with."""
    try:
        key = serialization.load_pem_public_key(_bounded(path))
    except (ValueError, UnsupportedAlgorithm):
        raise ModelError(f"{path}: expected a public key in PEM, as `spikebridge model keygen` writes it") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ModelError(f"{path}: expected a key on the curve P-256, found another")
    return key


def _create(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)
