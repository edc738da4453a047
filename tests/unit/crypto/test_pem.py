"""Private keys in PEM: OpenSSL's keys are read, and OpenSSL reads ours."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from libp2p.crypto.ecc import ECCPrivateKey
from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.pem import MAX_PEM_BYTES, is_pem, read_private_pem, write_private_pem
from libp2p.crypto.rsa import RSAPrivateKey
from libp2p.crypto.secp256k1 import Secp256k1PrivateKey
from libp2p.crypto.x25519 import X25519PrivateKey
from libp2p.exceptions import CryptographyError

KEYS: dict[str, Any] = {
    "ed25519": Ed25519PrivateKey.new(),
    "rsa": RSAPrivateKey.new(2048),
    "secp256k1": Secp256k1PrivateKey.new(b"\x01"),
    "ecdsa": ECCPrivateKey.new(),
}
#: Of RFC 8410, section 10.3.
RFC_8410 = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
"""
PEM_FORMAT: dict[str, Any] = {
    "encoding": serialization.Encoding.PEM,
    "format": serialization.PrivateFormat.PKCS8,
}


@pytest.mark.parametrize("kind", KEYS)
def test_what_is_written_is_read(kind: str) -> None:
    key = KEYS[kind]
    pem = write_private_pem(key)
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert is_pem(pem)
    assert not is_pem(key.serialize())
    read = read_private_pem(pem)
    assert (type(read), read) == (type(key), key)


def test_the_key_of_the_rfc() -> None:
    key = read_private_pem(RFC_8410)
    assert key.get_public_key().to_bytes().hex() == (
        "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
    )
    assert write_private_pem(key) == RFC_8410


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the command openssl is not there")
@pytest.mark.parametrize("kind", KEYS)
def test_openssl_derives_the_same_public_key(kind: str) -> None:
    done = subprocess.run(
        ["openssl", "pkey", "-pubout", "-outform", "DER"],
        input=write_private_pem(KEYS[kind]),
        capture_output=True,
        check=True,
    )
    public = serialization.load_der_public_key(done.stdout)
    theirs = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert KEYS[kind].get_public_key().to_bytes()[-32:] in theirs


def _encrypted() -> bytes:
    key = serialization.load_pem_private_key(RFC_8410, None)
    return key.private_bytes(
        **PEM_FORMAT, encryption_algorithm=serialization.BestAvailableEncryption(b"secret")
    )


def _of_curve(curve: ec.EllipticCurve) -> bytes:
    return ec.generate_private_key(curve).private_bytes(
        **PEM_FORMAT, encryption_algorithm=serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (b"", "no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key"),
        (RFC_8410.replace(b"PRIVATE", b"PUBLIC"), "no private key"),
        (_encrypted(), "without password"),
        (_of_curve(ec.SECP384R1()), "P-256"),
        (
            x25519.X25519PrivateKey.generate().private_bytes(
                **PEM_FORMAT, encryption_algorithm=serialization.NoEncryption()
            ),
            "names no peer",
        ),
        (RFC_8410 + bytes(MAX_PEM_BYTES), "at most"),
    ],
)
def test_what_is_no_key_of_a_peer(pem: bytes, why: str) -> None:
    with pytest.raises(CryptographyError, match=why):
        read_private_pem(pem)


def test_keys_without_a_form() -> None:
    with pytest.raises(CryptographyError, match="X25519 keys have no form"):
        write_private_pem(X25519PrivateKey.new())
    with pytest.raises(CryptographyError, match="must be bytes"):
        read_private_pem("text")  # type: ignore[arg-type]
