from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.base_types import TProtocol
from libp2p.crypto.ecc import create_new_key_pair as new_ecdsa_pair
from libp2p.crypto.rsa import create_new_key_pair as new_rsa_pair
from libp2p.crypto.secp256k1 import create_new_key_pair as new_secp256k1_pair
from libp2p.exceptions import HandshakeFailure, InvalidSignature, PeerIDMismatchesPubkey
from libp2p.peer.id import ID
from libp2p.security.noise.payload import (
    MAX_STREAM_MUXERS,
    choose_early_muxer,
    make_payload,
    open_payload,
)
from libp2p.security.noise.pb import noise_pb2
from tests.support.identities import ed25519_pair, peer_id_of

if TYPE_CHECKING:
    from libp2p.crypto.keys import KeyPair

STATIC = bytes(range(32))
ALICE = ed25519_pair("alice")
YAMUX = TProtocol("/yamux/1.0.0")
MPLEX = TProtocol("/mplex/6.7.0")


def test_the_payload_is_the_key_and_a_signature_of_the_prefixed_static_key() -> None:
    key = ALICE.public_key.serialize()
    signature = ALICE.private_key.sign(b"noise-libp2p-static-key:" + STATIC)
    expected = b"\x0a\x24" + key + b"\x12\x40" + signature
    assert make_payload(ALICE.private_key, STATIC) == expected


def test_muxers_are_field_2_of_the_extensions_in_field_4() -> None:
    without = make_payload(ALICE.private_key, STATIC)
    payload = make_payload(ALICE.private_key, STATIC, [YAMUX, MPLEX])
    assert payload == without + b"\x22\x1c\x12\x0c/yamux/1.0.0\x12\x0c/mplex/6.7.0"


@pytest.mark.parametrize(
    "pair",
    [
        ALICE,
        new_secp256k1_pair(),
        new_ecdsa_pair("P-256"),
        pytest.param(new_rsa_pair(2048), marks=pytest.mark.slow),
    ],
    ids=["ed25519", "secp256k1", "ecdsa", "rsa"],
)
def test_a_payload_proves_who_made_it(pair: KeyPair) -> None:
    remote = open_payload(make_payload(pair.private_key, STATIC, [YAMUX]), STATIC)
    assert remote.public_key == pair.public_key
    assert remote.peer_id == ID.from_pubkey(pair.public_key)
    assert remote.stream_muxers == (YAMUX,)


def test_the_peer_must_be_the_one_that_was_dialled() -> None:
    payload = make_payload(ALICE.private_key, STATIC)
    assert open_payload(payload, STATIC, peer_id_of("alice")).peer_id == peer_id_of("alice")
    with pytest.raises(PeerIDMismatchesPubkey, match=str(peer_id_of("alice"))):
        open_payload(payload, STATIC, peer_id_of("bob"))


def test_a_signature_of_another_static_key_proves_nothing() -> None:
    payload = make_payload(ALICE.private_key, STATIC)
    with pytest.raises(InvalidSignature):
        open_payload(payload, bytes(32), peer_id_of("alice"))


def test_another_ones_signature_is_refused_before_the_peer_id_is_looked_at() -> None:
    forged = noise_pb2.NoiseHandshakePayload(
        identity_key=ALICE.public_key.serialize(),
        identity_sig=ed25519_pair("mallory").private_key.sign(b"noise-libp2p-static-key:" + STATIC),
    )
    with pytest.raises(InvalidSignature):
        open_payload(forged.SerializeToString(), STATIC, peer_id_of("bob"))


def test_a_signature_without_the_prefix_is_refused() -> None:
    bare = noise_pb2.NoiseHandshakePayload(
        identity_key=ALICE.public_key.serialize(), identity_sig=ALICE.private_key.sign(STATIC)
    )
    with pytest.raises(InvalidSignature):
        open_payload(bare.SerializeToString(), STATIC)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"", "identity key"),
        (b"\x0a\x02\x08\x09\x12\x00", "identity key"),
        (b"\x0a\xff", "malformed"),
        (b"\x0a\x04\x08\x01\x12\x00", "identity key"),
    ],
)
def test_malformed_payloads_are_refused(payload: bytes, complaint: str) -> None:
    with pytest.raises(HandshakeFailure, match=complaint):
        open_payload(payload, STATIC)


@given(st.binary(max_size=300))
def test_no_garbage_is_ever_an_identity(payload: bytes) -> None:
    with pytest.raises(HandshakeFailure):
        open_payload(payload, STATIC)


def test_unknown_fields_are_ignored() -> None:
    # Among them the `data` that the specification once had, and py-libp2p's early data.
    payload = make_payload(ALICE.private_key, STATIC, [YAMUX]) + b"\x1a\x05early\xfa\x01\x00"
    assert open_payload(payload, STATIC).stream_muxers == (YAMUX,)


def test_a_list_of_more_than_100_muxers_is_ignored() -> None:
    muxers = [TProtocol(f"/muxer/{number}") for number in range(MAX_STREAM_MUXERS + 1)]
    full = open_payload(make_payload(ALICE.private_key, STATIC, muxers[:-1]), STATIC)
    assert full.stream_muxers == tuple(muxers[:-1])
    assert open_payload(make_payload(ALICE.private_key, STATIC, muxers), STATIC).stream_muxers == ()


def test_a_muxer_that_is_not_text_is_no_error() -> None:
    extensions = noise_pb2.NoiseExtensions(stream_muxers=[b"\xff\xfe", YAMUX.encode()])
    payload = make_payload(ALICE.private_key, STATIC)
    payload += noise_pb2.NoiseHandshakePayload(extensions=extensions).SerializeToString()
    assert open_payload(payload, STATIC).stream_muxers[1] == YAMUX


@pytest.mark.parametrize(
    ("initiators", "responders", "expected"),
    [
        ([], [], None),
        ([YAMUX], [], None),
        ([], [YAMUX], None),
        ([YAMUX], [MPLEX], None),
        ([YAMUX, MPLEX], [MPLEX, YAMUX], YAMUX),
        ([MPLEX, YAMUX], [YAMUX], YAMUX),
    ],
)
def test_the_initiators_first_common_muxer_is_chosen(
    initiators: list[TProtocol], responders: list[TProtocol], expected: TProtocol | None
) -> None:
    assert choose_early_muxer(initiators, responders) == expected
