"""Both arithmetics of secp256k1 give the same answers."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from libp2p.crypto import secp256k1, secp256k1_openssl
from libp2p.crypto.secp256k1 import GROUP_ORDER, Secp256k1PrivateKey, Secp256k1PublicKey
from libp2p.exceptions import CryptographyError

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST = hashlib.sha256(b"data").digest()
SECRETS = [
    (1).to_bytes(32, "big"),
    (GROUP_ORDER - 1).to_bytes(32, "big"),
    hashlib.sha256(b"key").digest(),
]
# The base point of the curve, https://www.secg.org/sec2-v2.pdf, 2.4.1
BASE_POINT = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


def installed_backends() -> Iterator[ModuleType]:
    yield secp256k1_openssl
    if sys.version_info < (3, 14):
        yield importlib.import_module("libp2p.crypto.secp256k1_coincurve")


BACKENDS = list(installed_backends())


@pytest.fixture(params=BACKENDS, ids=lambda module: module.__name__.rpartition("_")[2])
def backend(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def high_half(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, GROUP_ORDER - s)


def test_public_points(backend: ModuleType) -> None:
    assert backend.public_point(SECRETS[0]).hex() == BASE_POINT
    for secret in SECRETS:
        assert backend.public_point(secret) == secp256k1_openssl.public_point(secret)


@pytest.mark.parametrize("signer", BACKENDS)
@pytest.mark.parametrize("secret", SECRETS)
def test_each_verifies_the_others_signatures(
    backend: ModuleType, signer: ModuleType, secret: bytes
) -> None:
    point, signature = signer.public_point(secret), signer.sign(secret, DIGEST)
    assert backend.verify(point, DIGEST, signature)
    assert not backend.verify(point, hashlib.sha256(b"other").digest(), signature)


def test_signatures_are_in_the_lower_half_and_accepted_in_either(backend: ModuleType) -> None:
    point = backend.public_point(SECRETS[2])
    for number in range(8):
        digest = hashlib.sha256(bytes((number,))).digest()
        signature = backend.sign(SECRETS[2], digest)
        assert decode_dss_signature(signature)[1] <= GROUP_ORDER // 2
        assert backend.verify(point, digest, high_half(signature))


@pytest.mark.parametrize(
    "signature", [b"", b"\x30", bytes(72), encode_dss_signature(0, 1), encode_dss_signature(1, 0)]
)
def test_malformed_signatures_do_not_verify(backend: ModuleType, signature: bytes) -> None:
    assert not backend.verify(backend.public_point(SECRETS[2]), DIGEST, signature)


def test_points_are_compressed(backend: ModuleType) -> None:
    point = bytes.fromhex(BASE_POINT)
    y = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    assert backend.compress(point) == point
    assert backend.compress(b"\x04" + point[1:] + bytes.fromhex(y)) == point


@pytest.mark.parametrize(
    "point",
    [b"", b"\0", bytes(33), b"\x02" + bytes(31), b"\x02" + b"\xff" * 32, b"\x04" + bytes(64)],
)
def test_what_is_no_point_is_refused(backend: ModuleType, point: bytes) -> None:
    with pytest.raises(CryptographyError):
        backend.compress(point)


def test_a_python_without_coincurve_uses_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libp2p.crypto.secp256k1_coincurve", None)
    monkeypatch.delattr("libp2p.crypto.secp256k1_coincurve", raising=False)
    specification = importlib.util.spec_from_file_location("again", secp256k1.__file__)
    assert specification is not None
    assert specification.loader is not None
    again = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(again)
    assert again.backend is secp256k1_openssl
    key = again.create_new_key_pair(SECRETS[2])
    signature = key.private_key.sign(b"data")
    assert secp256k1.create_new_key_pair(SECRETS[2]).public_key.verify(b"data", signature)


@pytest.mark.parametrize(
    "secret", [b"", bytes(32), bytes(31) + b"\1\0", GROUP_ORDER.to_bytes(32, "big")]
)
def test_secrets_out_of_range_are_refused(secret: bytes) -> None:
    with pytest.raises(CryptographyError):
        Secp256k1PrivateKey.from_bytes(secret)


def test_names_of_py_libp2p() -> None:
    pair = secp256k1.create_new_key_pair(b"\x01")
    assert pair.public_key.to_bytes().hex() == BASE_POINT
    assert Secp256k1PublicKey.deserialize(pair.public_key.serialize()) == pair.public_key
    assert Secp256k1PrivateKey.deserialize(pair.private_key.serialize()) == pair.private_key


def test_this_python_signs_with_the_fastest_that_is_installed() -> None:
    assert vars(secp256k1)["backend"] is BACKENDS[-1]
