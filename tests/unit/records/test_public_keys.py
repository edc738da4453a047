"""Records of public keys, and records that are signed as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.rsa import RSAPrivateKey
from libp2p.crypto.secp256k1 import Secp256k1PrivateKey
from libp2p.exceptions import InvalidRecordType
from libp2p.peer.id import ID
from libp2p.records.pubkey import (
    PublicKeyValidator,
    public_key_record_key,
    unmarshal_public_key,
)
from libp2p.records.record import make_put_record, make_signed_put_record
from libp2p.records.utils import key_to_text, sign_record, verify_record

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey

KEYS: list[PrivateKey] = [
    Ed25519PrivateKey.new(bytes(32)),
    Secp256k1PrivateKey.new(),
    RSAPrivateKey.new(2048),
]
KINDS = ["ed25519", "secp256k1", "rsa"]


@pytest.mark.parametrize("key", KEYS, ids=KINDS)
def test_the_key_of_the_peer_is_accepted(key: PrivateKey) -> None:
    public = key.get_public_key()
    record_key, value = public_key_record_key(ID.from_pubkey(public)), public.serialize()
    validator = PublicKeyValidator()
    validator.validate(record_key, value)
    validator.validate(key_to_text(record_key), value)
    validator.validate(f"/pk/{ID.from_pubkey(public).to_bytes().hex()}", value)
    assert validator.select(record_key, [value, value]) == 0
    assert unmarshal_public_key(value) == public


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (b"/ipns/x", b"", "not 'pk' but 'ipns'"),
        (b"/pk/x", b"", "no valid multihash"),
        (None, b"\x08\x01\x12\x01x", "no public key"),
        (None, KEYS[1].get_public_key().serialize(), "does not match"),
        (None, b"\x08\x00" + KEYS[0].get_public_key().serialize(), "canonical"),
    ],
    ids=["namespace", "no peer", "no key", "another peer", "other form"],
)
def test_anything_else_is_refused(key: bytes | None, value: bytes, why: str) -> None:
    key = key or public_key_record_key(ID.from_pubkey(KEYS[0].get_public_key()))
    with pytest.raises(InvalidRecordType, match=why):
        PublicKeyValidator().validate(key, value)


@pytest.mark.parametrize("key", KEYS, ids=KINDS)
def test_a_record_is_signed_as_a_whole(key: PrivateKey) -> None:
    signature, author = sign_record(key, b"key", b"value")
    assert verify_record(signature, author, b"key", b"value")
    assert not verify_record(signature, author, b"key", b"other")
    assert not verify_record(b"", author, b"key", b"value")
    assert not verify_record(signature, b"no key", b"key", b"value")


def test_messages_of_records() -> None:
    record = make_put_record(b"k", b"v")
    assert record.SerializeToString() == b"\x0a\x01k\x12\x01v"
    signed = make_signed_put_record(b"k", b"v", KEYS[0])
    assert verify_record(signed.signature, signed.author, signed.key, signed.value)
