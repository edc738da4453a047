"""The DER forms that ECDSA and RSA keys share: PKIX for public keys, the older ones for private."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization

from libp2p.exceptions import MalformedKey
from libp2p.hostile_input import refused_as

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa


def read_public(data: bytes, kind: type, name: str) -> Any:
    """
    Read a SubjectPublicKeyInfo; return a key of the interface ``kind``.

    :raises MalformedKey: if it is malformed or of another kind of key than ``name``.
    """
    with refused_as(MalformedKey, f"{name} public key is malformed"):
        key = serialization.load_der_public_key(data)
        write_public(key)  # type: ignore[arg-type]  # what cannot be written can name no peer
    if not isinstance(key, kind):
        raise MalformedKey(f"the encoded public key is not an {name} key")
    return key


def read_private(data: bytes, kind: type, name: str) -> Any:
    """
    Read a SEC 1 ECPrivateKey or a PKCS#1 RSAPrivateKey, or PKCS#8, likewise.

    :raises MalformedKey: if it is malformed or of another kind of key than ``name``.
    """
    # No cause: its text may quote the key.
    with refused_as(lambda _: MalformedKey(f"{name} private key is malformed"), ""):
        key = serialization.load_der_private_key(data, password=None)
    if not isinstance(key, kind):
        raise MalformedKey(f"the encoded private key is not an {name} key")
    return key


def write_public(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def write_private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return the ECPrivateKey or the RSAPrivateKey."""
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
