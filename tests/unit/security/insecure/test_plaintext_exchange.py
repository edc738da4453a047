from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import HandshakeFailure, LocalProtocolError, PeerIDMismatchesPubkey
from libp2p.security.insecure.exchange import (
    MAX_EXCHANGE_BYTES,
    ClaimedIdentity,
    PlaintextExchange,
    make_exchange_message,
)
from libp2p.security.insecure.pb import plaintext_pb2
from libp2p.utils.varint import encode_uvarint, encode_varint_prefixed
from tests.support.fragments import cut, piece_sizes
from tests.support.identities import ed25519_pair, peer_id_of

ALICE = ed25519_pair("alice").public_key
BOB = ed25519_pair("bob").public_key


def test_the_message_is_the_id_and_the_key() -> None:
    key = BOB.serialize()
    peer_id = peer_id_of("bob").to_bytes()
    assert PlaintextExchange(BOB).start() == b"\x4e\x0a\x26" + peer_id + b"\x12\x24" + key


@given(piece_sizes, st.binary(max_size=100))
def test_any_split_gives_the_same_peer_and_keeps_what_follows(
    sizes: list[int], trailing: bytes
) -> None:
    alice = PlaintextExchange(ALICE, expected_peer=peer_id_of("bob"))
    pieces = list(cut(PlaintextExchange(BOB).start() + trailing, sizes))
    for index, piece in enumerate(pieces):
        to_send, result = alice.receive([piece])
        assert to_send == b""
        if result is not None:
            assert result.remote == ClaimedIdentity(peer_id_of("bob"), BOB)
            assert alice.take_leftover() + b"".join(pieces[index + 1 :]) == trailing
            break
    else:
        pytest.fail("no identity")
    with pytest.raises(LocalProtocolError):
        alice.receive([b""])


def test_a_length_may_be_split() -> None:
    alice = PlaintextExchange(ALICE)
    assert alice.receive([b"\x80"]) == (b"", None)
    with pytest.raises(HandshakeFailure, match="20480 bytes"):
        alice.receive([b"\xa0\x01"])


def test_another_peer_than_the_dialled_one_is_refused() -> None:
    alice = PlaintextExchange(ALICE, expected_peer=peer_id_of("carol"))
    with pytest.raises(PeerIDMismatchesPubkey, match=str(peer_id_of("bob"))):
        alice.receive([PlaintextExchange(BOB).start()])


def test_an_id_that_is_not_the_keys_is_refused() -> None:
    message = make_exchange_message(BOB)
    message.id = peer_id_of("carol").to_bytes()
    with pytest.raises(PeerIDMismatchesPubkey, match="not the one of its key"):
        PlaintextExchange(ALICE).receive([encode_varint_prefixed(message.SerializeToString())])


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        (b"\x80\x00", "shortest form"),
        (b"\x80\x80\x80", "longer than 3 bytes"),
        (encode_uvarint(MAX_EXCHANGE_BYTES + 1), "16385 bytes"),
        (b"\x02\x0a\xff", "malformed"),
        (b"\x00", "key"),
        (encode_varint_prefixed(plaintext_pb2.Exchange(pubkey=b"?").SerializeToString()), "key"),
    ],
)
def test_malformed_exchanges_are_refused(wire: bytes, complaint: str) -> None:
    with pytest.raises(HandshakeFailure, match=complaint):
        PlaintextExchange(ALICE).receive([wire])
