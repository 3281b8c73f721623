"""Keys: made once, for their owner alone, and of one kind."""

from __future__ import annotations

import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from tests.reference.models import KEY, whole

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.container import split
from spikebridge_detectors.model.file import load
from spikebridge_detectors.model.keys import Trust, generate, key_id, private_key, public_key, signed

if TYPE_CHECKING:
    from pathlib import Path

OTHERS = [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65_537, 2048)]


def test_a_pair_is_made_for_its_owner_and_verifies_what_it_signs(tmp_path: Path) -> None:
    """The private key is never readable by others, not even for a moment."""
    private, public = generate(tmp_path / "release")

    assert (private.name, public.name) == ("release.key", "release.pub")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    key = private_key(private)
    assert key_id(public_key(public)) == key_id(key.public_key())
    data = signed(split(whole()), key)
    assert load(data, Trust.in_directory(tmp_path)).signer == key_id(key.public_key()).hex()


@pytest.mark.parametrize("there", ["release.key", "release.pub"])
def test_no_key_is_written_over(tmp_path: Path, there: str) -> None:
    """One of the two that is there is enough to leave all as it is."""
    (tmp_path / there).symlink_to(tmp_path / "nowhere")

    with pytest.raises(ModelError, match=f"{there}: expected no such file; keys are never written over"):
        generate(tmp_path / "release")
    assert [one.name for one in tmp_path.iterdir()] == [there]


def test_the_same_key_signs_the_same_bytes() -> None:
    """No luck is in a signature, so none can be bad."""
    assert whole() == signed(split(whole()), KEY)


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """As ssh does."""
    private, _ = generate(tmp_path / "release")
    private.chmod(0o640)

    with pytest.raises(ModelError, match="expected a private key that only its owner may read: chmod 600"):
        private_key(private)


def test_a_public_key_signs_nothing_and_is_called_one(tmp_path: Path) -> None:
    """Whoever may read it is no matter: its other half is what is wanted."""
    _, public = generate(tmp_path / "release")

    with pytest.raises(
        ModelError, match=r"release\.pub: expected a private key, found a public one; .* wrote .*release\.key beside"
    ):
        private_key(public)


@pytest.mark.parametrize("key", OTHERS, ids=lambda one: type(one).__name__)
def test_only_the_curve_of_the_format_is_taken(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Another curve, or no curve at all."""
    private, public = tmp_path / "other.key", tmp_path / "other.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    with pytest.raises(ModelError, match=r"other\.key: expected a key on the curve P-256, found another"):
        private_key(private)
    with pytest.raises(ModelError, match=r"other\.pub: expected a key on the curve P-256, found another"):
        Trust.in_directory(tmp_path)


def test_what_is_no_key_is_said(tmp_path: Path) -> None:
    """Rubbish, a private key where a public one belongs, a passphrase that nobody could be asked for, nothing at all."""
    with pytest.raises(ModelError, match=r"expected 1 to 64 public keys \*\.pub, found 0"):
        Trust.in_directory(tmp_path)
    plain = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    locked = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    for number, data in enumerate((b"", b"rubbish", plain, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")):
        path = tmp_path / f"{number}.pub"
        path.write_bytes(data)
        with pytest.raises(ModelError, match=f"{number}.pub: expected a public key in PEM"):
            public_key(path)
    for name, data, reason in (("a", b"rubbish", "expected a private key in PEM"), ("b", locked, "found an encrypted one")):
        path = tmp_path / f"{name}.key"
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(ModelError, match=reason):
            private_key(path)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_another_program_can_verify(tmp_path: Path) -> None:
    """The content, the key and the signature in DER: all that openssl asks for."""
    envelope = split(whole())
    r, s = (int.from_bytes(half, "big") for half in (envelope.signature[:32], envelope.signature[32:]))
    (tmp_path / "content").write_bytes(envelope.content)
    (tmp_path / "signature").write_bytes(encode_dss_signature(r, s))
    (tmp_path / "key.pub").write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    command = ["openssl", "dgst", "-sha256", "-verify", "key.pub", "-signature", "signature", "content"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert done.stdout == "Verified OK\n"
