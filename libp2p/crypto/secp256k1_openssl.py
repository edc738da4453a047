"""secp256k1 by OpenSSL, for Pythons without coincurve; see `libp2p.crypto.secp256k1`."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from libp2p.exceptions import CryptographyError
from libp2p.hostile_input import accepts, refused_as

_GROUP_ORDER: Final = ec.SECP256K1.group_order
_ALGORITHM: Final = ec.ECDSA(utils.Prehashed(hashes.SHA256()))


def compress(point: bytes) -> bytes:
    """Return the compressed form; :raises CryptographyError: if it is not on the curve."""
    return _compressed(_load(point))


def public_point(secret: bytes) -> bytes:
    """Return the compressed public point of a valid ``secret``."""
    return _compressed(_private(secret).public_key())


def sign(secret: bytes, digest: bytes) -> bytes:
    """Sign a SHA-256 ``digest``."""
    signature = _private(secret).sign(digest, _ALGORITHM)
    r, s = utils.decode_dss_signature(signature)
    return utils.encode_dss_signature(r, min(s, _GROUP_ORDER - s))


def verify(point: bytes, digest: bytes, signature: bytes) -> bool:
    """Return whether ``signature`` is one of ``digest``, whichever half S is in."""
    return accepts(_load(point).verify, signature, digest, _ALGORITHM)


def _load(point: bytes) -> ec.EllipticCurvePublicKey:
    with refused_as(CryptographyError, "secp256k1 public key is not a point of the curve"):
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), bytes(point))


def _private(secret: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256K1())


def _compressed(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
