from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    HandshakeFailure,
    InvalidSignature,
    LocalProtocolError,
    PeerIDMismatchesPubkey,
)
from libp2p.security.noise.handshake import XXHandshake, frame
from libp2p.security.noise.identity_exchange import IdentityExchange
from libp2p.security.noise.payload import make_payload
from tests.support.fragments import cut, piece_sizes
from tests.support.identities import ed25519_pair, peer_id_of

if TYPE_CHECKING:
    from libp2p.peer.id import ID
    from libp2p.security.channel import Established

YAMUX = TProtocol("/yamux/1.0.0")
MPLEX = TProtocol("/mplex/6.7.0")


def key(seed: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(sha256(seed.encode()).digest())


def side(
    name: str,
    *,
    is_initiator: bool,
    expected: ID | None = None,
    muxers: tuple[TProtocol, ...] = (),
    payload: bytes | None = None,
) -> IdentityExchange:
    static = key(name)
    if payload is None:
        public = static.public_key().public_bytes_raw()
        payload = make_payload(ed25519_pair(name).private_key, public, muxers)
    handshake = XXHandshake(
        is_initiator=is_initiator, static=static, ephemeral=key(f"{name}'s ephemeral key")
    )
    return IdentityExchange(handshake, payload, expected_peer=expected, early_muxers=muxers)


def pump(side: IdentityExchange, data: bytes, sizes: list[int]) -> tuple[bytes, Established | None]:
    """Feed ``data`` piece by piece and collect what comes of it."""
    sent = b""
    for piece in cut(data, sizes):
        to_send, result = side.receive([piece])
        sent += to_send
        if result is not None:
            return sent, result
    return sent, None


def assert_joined(one: Established, other: Established) -> None:
    """What either seals the other opens."""
    for sender, receiver in ((one.channel, other.channel), (other.channel, one.channel)):
        wire = b"".join(sender.seal([b"hello"]))
        assert receiver.open(memoryview(wire)) == ([b"hello"], len(wire))


def test_both_learn_who_the_other_one_is() -> None:
    alice = side("alice", is_initiator=True, expected=peer_id_of("bob"))
    bob = side("bob", is_initiator=False)
    assert bob.start() == b""
    second, nothing = bob.receive([alice.start()])
    assert nothing is None
    third, met_bob = alice.receive([second])
    assert met_bob is not None
    last, met_alice = bob.receive([third])
    assert last == b""
    assert met_alice is not None
    assert met_bob.remote.peer_id == peer_id_of("bob")
    assert met_alice.remote.peer_id == peer_id_of("alice")
    assert met_alice.remote.public_key == ed25519_pair("alice").public_key
    assert_joined(met_alice, met_bob)
    assert met_alice.early_muxer is None
    for exchange in (alice, bob):
        with pytest.raises(LocalProtocolError, match="over"):
            exchange.receive([b"\x00"])


@given(sizes=piece_sizes, records=st.binary(max_size=100))
def test_any_split_leads_to_the_same_keys_and_keeps_what_follows(
    sizes: list[int], records: bytes
) -> None:
    alice, bob = side("alice", is_initiator=True), side("bob", is_initiator=False)
    second, _ = pump(bob, alice.start(), sizes)
    third, met_bob = alice.receive([second + records])
    assert alice.take_leftover() == records
    incoming = list(cut(third + records, sizes))
    met_alice = None
    for index, piece in enumerate(incoming):
        _, met_alice = bob.receive([piece])
        if met_alice is not None:
            assert bob.take_leftover() + b"".join(incoming[index + 1 :]) == records
            break
    assert met_alice is not None
    assert met_bob is not None
    assert_joined(met_alice, met_bob)


@pytest.mark.parametrize(
    ("alices", "bobs", "expected"),
    [
        ((), (), None),
        ((YAMUX,), (), None),
        ((), (YAMUX,), None),
        ((YAMUX, MPLEX), (MPLEX, YAMUX), YAMUX),
        ((MPLEX,), (YAMUX,), None),
    ],
)
def test_both_find_the_same_early_muxer(
    alices: tuple[TProtocol, ...], bobs: tuple[TProtocol, ...], expected: TProtocol | None
) -> None:
    alice = side("alice", is_initiator=True, muxers=alices)
    bob = side("bob", is_initiator=False, muxers=bobs)
    second, _ = bob.receive([alice.start()])
    third, met_bob = alice.receive([second])
    _, met_alice = bob.receive([third])
    assert met_bob is not None
    assert met_alice is not None
    assert met_bob.early_muxer == met_alice.early_muxer == expected


def test_the_initiator_says_nothing_about_itself_to_the_wrong_peer() -> None:
    alice = side("alice", is_initiator=True, expected=peer_id_of("bob"))
    mallory = side("mallory", is_initiator=False)
    second, _ = mallory.receive([alice.start()])
    with pytest.raises(PeerIDMismatchesPubkey):
        alice.receive([second])


def test_an_identity_taken_from_another_handshake_is_refused_by_both_sides() -> None:
    stolen = make_payload(
        ed25519_pair("bob").private_key, key("bob").public_key().public_bytes_raw()
    )
    alice = side("alice", is_initiator=True, expected=peer_id_of("bob"))
    mallory = side("mallory", is_initiator=False, payload=stolen)
    second, _ = mallory.receive([alice.start()])
    with pytest.raises(InvalidSignature):
        alice.receive([second])

    mallory = side("mallory", is_initiator=True, payload=stolen)
    carol = side("carol", is_initiator=False)
    second, _ = carol.receive([mallory.start()])
    third, _ = mallory.receive([second])
    with pytest.raises(InvalidSignature):
        carol.receive([third])


def test_early_data_in_the_first_message_is_not_looked_at() -> None:
    handshake = XXHandshake(is_initiator=True, static=key("alice"), ephemeral=key("e"))
    bob = side("bob", is_initiator=False)
    second, result = bob.receive([frame(handshake.write(b"early data"))])
    assert second
    assert result is None


def test_messages_that_came_before_they_were_due_do_not_authenticate() -> None:
    alice, bob = side("alice", is_initiator=True), side("bob", is_initiator=False)
    with pytest.raises(HandshakeFailure):
        bob.receive([alice.start() + frame(bytes(64))])


@given(st.binary(min_size=2, max_size=300), st.booleans())
def test_garbage_ends_in_a_typed_error_or_in_waiting(garbage: bytes, is_initiator: bool) -> None:
    exchange = side("alice", is_initiator=is_initiator)
    exchange.start()
    try:
        _, result = exchange.receive([garbage])
    except HandshakeFailure:
        return
    assert result is None
