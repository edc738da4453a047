"""The key vectors of the specification, and what all key kinds have in common."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.crypto import ecc, ed25519, rsa, secp256k1, x25519
from libp2p.crypto.keys import SENT_KEY_TYPES, KeyPair, KeyType, PrivateKey, PublicKey
from libp2p.crypto.pb import crypto_pb2
from libp2p.crypto.serialization import (
    MAX_KEY_MESSAGE_BYTES,
    deserialize_private_key,
    deserialize_public_key,
)
from libp2p.exceptions import CryptographyError, MissingDeserializerError

DATA = Path(__file__).parents[2] / "data" / "libp2p_spec_vectors.json"
KEYS = {
    name: bytes.fromhex(encoded)
    for name, encoded in json.loads(DATA.read_text())["keys_protobuf_hex"].items()
}
KINDS = {
    "rsa": KeyType.RSA,
    "ed25519": KeyType.Ed25519,
    "secp256k1": KeyType.Secp256k1,
    "ecdsa": KeyType.ECDSA,
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@cache
def vector_pair(kind: str) -> KeyPair:
    return KeyPair(
        deserialize_private_key(KEYS[f"{kind} private key"]),
        deserialize_public_key(KEYS[f"{kind} public key"]),
    )


@pytest.fixture
def pair(kind: str) -> KeyPair:
    return vector_pair(kind)


def test_the_vectors_cover_every_kind_that_is_sent() -> None:
    assert KEYS.keys() == {f"{kind} {half} key" for kind in KINDS for half in ("private", "public")}


def test_keys_keep_their_exact_bytes(kind: str, pair: KeyPair) -> None:
    assert pair.private_key.serialize() == KEYS[f"{kind} private key"]
    assert pair.public_key.serialize() == KEYS[f"{kind} public key"]
    assert pair.private_key.get_type() is pair.public_key.get_type() is KINDS[kind]


def test_the_private_key_leads_to_the_public_one(pair: KeyPair) -> None:
    assert pair.private_key.get_public_key() == pair.public_key
    assert hash(pair.private_key.get_public_key()) == hash(pair.public_key)


def test_signatures_verify_for_their_data_and_key_only(pair: KeyPair) -> None:
    signature = pair.private_key.sign(b"data")
    verify = pair.public_key.verify
    assert verify(b"data", signature)
    assert verify(memoryview(b"data"), signature)
    assert not verify(b"other", signature)
    flipped = signature[:-1] + bytes((signature[-1] ^ 1,))
    for wrong in (b"", signature[:-1], flipped, signature + b"\0", bytes(64)):
        assert not verify(b"data", wrong)


def test_private_keys_show_nothing(pair: KeyPair) -> None:
    secret = pair.private_key.to_bytes()
    assert secret.hex()[:16] not in repr(pair.private_key)
    assert pair.public_key.to_bytes().hex()[:16] in repr(pair.public_key)


def test_protobuf_messages_by_py_libp2ps_names(kind: str, pair: KeyPair) -> None:
    public = PublicKey.deserialize_from_protobuf(pair.public_key.serialize())
    private = PrivateKey.deserialize_from_protobuf(pair.private_key.serialize())
    assert (public.data, private.data) == (pair.public_key.to_bytes(), pair.private_key.to_bytes())
    assert public.key_type == private.key_type == KINDS[kind].value


def test_keys_are_equal_by_kind_half_and_bytes() -> None:
    first, second = ed25519.create_new_key_pair(bytes(32)), ed25519.create_new_key_pair()
    agreement = x25519.X25519PublicKey.from_bytes(first.public_key.to_bytes())
    assert first.public_key == ed25519.create_new_key_pair(bytes(32)).public_key
    assert first.private_key == ed25519.create_new_key_pair(bytes(32)).private_key
    assert hash(first.private_key) == hash(ed25519.create_new_key_pair(bytes(32)).private_key)
    assert first.public_key not in (second.public_key, first.private_key, agreement, "key")


@pytest.mark.parametrize("module", [ecc, ed25519, rsa, secp256k1], ids=lambda m: m.__name__)
def test_new_keys_are_new_and_survive_their_encoding(module: object) -> None:
    pair: KeyPair = module.create_new_key_pair()  # type: ignore[attr-defined]
    again: KeyPair = module.create_new_key_pair()  # type: ignore[attr-defined]
    assert pair.public_key != again.public_key
    assert deserialize_private_key(pair.private_key.serialize()) == pair.private_key
    assert deserialize_public_key(pair.public_key.serialize()) == pair.public_key


@pytest.mark.parametrize("deserialize", [deserialize_public_key, deserialize_private_key])
@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b"", MissingDeserializerError),
        (bytes.fromhex("08051200"), MissingDeserializerError),  # X25519 is never sent
        (bytes.fromhex("1200"), MissingDeserializerError),
        (b"\x08", CryptographyError),
        (b"\xff" * 40, CryptographyError),
        (bytes(MAX_KEY_MESSAGE_BYTES + 1), CryptographyError),
        *((bytes((8, kind, 0x12, 3)) + b"abc", CryptographyError) for kind in range(4)),
        *((bytes((8, kind)), CryptographyError) for kind in range(4)),
    ],
)
def test_malformed_messages_are_refused(
    deserialize: object, message: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        deserialize(message)  # type: ignore[operator]


def test_key_types_are_those_of_the_schema() -> None:
    assert {kind.name: kind.value for kind in SENT_KEY_TYPES} == dict(crypto_pb2.KeyType.items())


FIELDS = st.one_of(
    st.integers(0, 5).map(lambda kind: bytes((0x08, kind))),
    st.binary(max_size=40).map(lambda data: b"\x12" + bytes((len(data),)) + data),
    st.sampled_from((b"\x18\x05", b"\x22\x01x", b"\x0a\x01\x01", b"\x10\x07", b"\x25abcd")),
)


@given(st.lists(FIELDS, max_size=5).map(b"".join))
def test_a_message_is_read_as_protobuf_reads_it(message: bytes) -> None:
    theirs = crypto_pb2.PublicKey.FromString(message)
    if not theirs.HasField("key_type"):
        with pytest.raises(MissingDeserializerError):
            deserialize_public_key(message)
        return
    canonical = crypto_pb2.PublicKey(key_type=theirs.key_type, data=theirs.data)
    try:
        key = deserialize_public_key(message)
    except CryptographyError:
        with pytest.raises(CryptographyError):
            deserialize_public_key(canonical.SerializeToString())
    else:
        assert key == deserialize_public_key(canonical.SerializeToString())
