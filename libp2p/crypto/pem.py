"""Private keys as PEM, PKCS#8, without a password, as of OpenSSL and ``ipfs key export``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from libp2p.crypto.ed25519 import KEY_BYTES, Ed25519PrivateKey
from libp2p.crypto.keys import KeyType, checked_bytes
from libp2p.exceptions import CryptographyError
from libp2p.hostile_input import refused_as

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey

__all__ = ["is_pem", "read_private_pem", "write_private_pem"]

#: The largest legal key is an RSA private key of 8192 bits, 6.5 kB in PEM.
MAX_PEM_BYTES: Final = 16 * 1024

_BEGIN: Final = b"-----BEGIN "


def is_pem(data: bytes) -> bool:
    """Tell whether this looks like PEM, of whatever kind."""
    return _BEGIN in data[:MAX_PEM_BYTES]


def write_private_pem(key: PrivateKey) -> bytes:
    """
    Return a private key as PEM, which does not encrypt it.

    :raises CryptographyError: if it is of a kind that PKCS#8 has no form for.
    """
    return _to_standard(key).private_bytes(  # type: ignore[no-any-return]
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def read_private_pem(data: bytes) -> PrivateKey:
    """
    Read a private key from PEM: Ed25519, RSA, ECDSA on P-256 and secp256k1.

    :raises CryptographyError: if it is malformed, encrypted, or of another kind.
    """
    data = checked_bytes(data, "PEM")
    if len(data) > MAX_PEM_BYTES:
        raise CryptographyError(f"PEM of {len(data)} bytes, at most {MAX_PEM_BYTES}")
    # No cause: its text may quote the key.
    with refused_as(lambda _: CryptographyError("the PEM has no private key without password"), ""):
        key = serialization.load_pem_private_key(data, password=None)
    return _from_standard(key)


def _to_standard(key: PrivateKey) -> Any:
    kind, secret = key.get_type(), key.to_bytes()
    if kind is KeyType.Ed25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(secret[:KEY_BYTES])
    if kind is KeyType.Secp256k1:
        return ec.derive_private_key(int.from_bytes(secret), ec.SECP256K1())
    if kind in (KeyType.RSA, KeyType.ECDSA):
        return serialization.load_der_private_key(secret, password=None)
    raise CryptographyError(f"{kind.name} keys have no form in PEM")


def _from_standard(key: object) -> PrivateKey:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Ed25519PrivateKey.from_bytes(key.private_bytes_raw())
    if isinstance(key, rsa.RSAPrivateKey):
        from libp2p.crypto.rsa import RSAPrivateKey

        return RSAPrivateKey(key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if isinstance(key.curve, ec.SECP256K1):
            from libp2p.crypto.secp256k1 import SECRET_BYTES, Secp256k1PrivateKey

            number = key.private_numbers().private_value
            return Secp256k1PrivateKey(number.to_bytes(SECRET_BYTES))
        from libp2p.crypto.ecc import ECCPrivateKey

        return ECCPrivateKey(key)
    raise CryptographyError(f"the PEM has a {type(key).__name__}, which names no peer")
