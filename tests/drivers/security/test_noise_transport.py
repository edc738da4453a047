from __future__ import annotations

import pytest

from libp2p.base_types import TProtocol
from libp2p.crypto.x25519 import create_new_key_pair as new_x25519_pair
from libp2p.exceptions import HandshakeFailure, InvalidSignature, LocalProtocolError
from libp2p.security.noise import exceptions as noise_exceptions
from libp2p.security.noise.transport import PROTOCOL_ID, Transport
from tests.support.channels import connection_pair
from tests.support.handshakes import shake_hands
from tests.support.identities import ed25519_pair, peer_id_of

YAMUX = TProtocol("/yamux/1.0.0")
MPLEX = TProtocol("/mplex/6.7.0")


def test_the_protocol_id() -> None:
    assert PROTOCOL_ID == "/noise"


async def test_without_early_muxers_the_muxer_is_left_open() -> None:
    alice = Transport(ed25519_pair("alice"))
    bob = Transport(ed25519_pair("bob"), early_muxers=[YAMUX])
    at_alice, at_bob = await shake_hands(alice, bob)
    assert at_alice.early_muxer is None
    assert at_bob.early_muxer is None


async def test_the_muxer_is_agreed_on_within_the_handshake_if_both_offer_some() -> None:
    alice = Transport(ed25519_pair("alice"), early_muxers=[YAMUX, MPLEX])
    bob = Transport(ed25519_pair("bob"), early_muxers=[MPLEX, YAMUX])
    at_alice, at_bob = await shake_hands(alice, bob)
    assert at_alice.early_muxer == at_bob.early_muxer == YAMUX


async def test_the_handshake_costs_one_and_a_half_round_trips() -> None:
    alice, bob = Transport(ed25519_pair("alice")), Transport(ed25519_pair("bob"))
    dialler, listener = connection_pair()
    await shake_hands(alice, bob, (dialler, listener))
    assert len(listener.sent) == 2 + 96 + 104
    assert len(dialler.sent) == 2 + 32 + 2 + 64 + 104


async def test_no_peer_need_be_named() -> None:
    at_alice, _ = await shake_hands(
        Transport(ed25519_pair("alice")), Transport(ed25519_pair("bob"))
    )
    assert at_alice.get_remote_peer() == peer_id_of("bob")


async def test_connections_have_keys_of_their_own() -> None:
    alice, bob = Transport(ed25519_pair("alice")), Transport(ed25519_pair("bob"))
    first, second = connection_pair(), connection_pair()
    await shake_hands(alice, bob, first)
    await shake_hands(alice, bob, second)
    assert first[0].sent[2:34] != second[0].sent[2:34]


def test_an_x25519_key_becomes_the_static_key() -> None:
    static = new_x25519_pair()
    transport = Transport(ed25519_pair("alice"), static.private_key)
    assert transport._static.private_bytes_raw() == static.private_key.to_bytes()


def test_a_signing_key_does_not() -> None:
    pair = ed25519_pair("alice")
    transport = Transport(pair, noise_privkey=pair.private_key)
    assert transport._static.private_bytes_raw() != pair.private_key.to_bytes()[:32]


def test_early_data_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="early data"):
        Transport(ed25519_pair("alice"), None, b"early")


def test_py_libp2ps_names_of_the_errors() -> None:
    assert noise_exceptions.InvalidSignature is InvalidSignature
    assert noise_exceptions.NoiseFailure is HandshakeFailure
    assert issubclass(noise_exceptions.PeerIDMismatchesPubkey, noise_exceptions.NoiseFailure)
