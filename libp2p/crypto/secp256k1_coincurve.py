"""secp256k1 by libsecp256k1; see `libp2p.crypto.secp256k1`."""

from __future__ import annotations

import coincurve
from coincurve.ecdsa import cdata_to_der, der_to_cdata, signature_normalize

from libp2p.exceptions import CryptographyError
from libp2p.hostile_input import accepts, refused_as


def compress(point: bytes) -> bytes:
    """Return the compressed form; :raises CryptographyError: if it is not on the curve."""
    with refused_as(CryptographyError, "secp256k1 public key is not a point of the curve"):
        return coincurve.PublicKey(bytes(point)).format()


def public_point(secret: bytes) -> bytes:
    """Return the compressed public point of a valid ``secret``."""
    return coincurve.PublicKey.from_valid_secret(secret).format()


def sign(secret: bytes, digest: bytes) -> bytes:
    """Sign a SHA-256 ``digest`` (deterministically, RFC 6979)."""
    return coincurve.PrivateKey(secret).sign(digest, hasher=None)


def verify(point: bytes, digest: bytes, signature: bytes) -> bool:
    """Return whether ``signature`` is one of ``digest``, whichever half S is in."""
    return accepts(_verify, point, digest, signature)


def _verify(point: bytes, digest: bytes, signature: bytes) -> None:
    # libsecp256k1 verifies only the lower half.
    _, normalized = signature_normalize(der_to_cdata(signature))
    if not coincurve.PublicKey(point).verify(cdata_to_der(normalized), digest, hasher=None):
        raise ValueError("the signature does not verify")
