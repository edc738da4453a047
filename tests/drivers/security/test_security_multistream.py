from __future__ import annotations

import pytest
import trio

from libp2p.base_types import TProtocol
from libp2p.exceptions import MultiselectClientError, MultiselectError
from libp2p.protocol_muxer.multiselect_client import select_one
from libp2p.protocol_muxer.negotiation import HEADER, encode_message
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.security_multistream import SecurityMultistream
from tests.support.channels import connection_pair
from tests.support.handshakes import shake_hands
from tests.support.identities import ed25519_pair, peer_id_of

TLS_ID = TProtocol("/tls/1.0.0")


def noise_only(name: str) -> SecurityMultistream:
    return SecurityMultistream({NOISE_ID: NoiseTransport(ed25519_pair(name))})


async def test_both_ends_are_secured_by_what_they_have_in_common() -> None:
    ends = connection_pair()
    alice, bob = noise_only("alice"), noise_only("bob")
    at_alice, at_bob = await shake_hands(alice, bob, ends, peer_id_of("bob"))
    assert at_alice.get_remote_peer() == peer_id_of("bob")
    assert at_bob.get_remote_peer() == peer_id_of("alice")
    assert ends[0].sent.startswith(encode_message(HEADER) + encode_message(NOISE_ID))
    await at_alice.write(b"hello")
    assert await at_bob.read(5) == b"hello"


async def test_a_dialler_that_wants_tls_first_is_led_on_to_noise() -> None:
    alice = noise_only("alice")
    alice.transports = {TLS_ID: alice.transports[NOISE_ID], **alice.transports}
    ends = connection_pair()
    at_alice, _ = await shake_hands(alice, noise_only("bob"), ends, peer_id_of("bob"))
    assert at_alice.get_remote_peer() == peer_id_of("bob")
    proposals = encode_message(TLS_ID) + encode_message(NOISE_ID)
    assert ends[0].sent.startswith(encode_message(HEADER) + proposals)


async def test_a_transport_added_again_becomes_the_least_wanted() -> None:
    security = noise_only("alice")
    noise = security.transports[NOISE_ID]
    plaintext = InsecureTransport(ed25519_pair("alice"))
    security.add_transport(PLAINTEXT_PROTOCOL_ID, plaintext)
    assert list(security.transports) == [NOISE_ID, PLAINTEXT_PROTOCOL_ID]
    security.add_transport(NOISE_ID, noise)
    assert list(security.transports) == [PLAINTEXT_PROTOCOL_ID, NOISE_ID]


async def test_the_choice_can_be_asked_for_without_the_handshake() -> None:
    dialler, listener = connection_pair()
    bob = noise_only("bob")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(select_one, dialler, [NOISE_ID])
        chosen = await bob.select_transport_and_protocol(listener, is_initiator=False)
    assert chosen == (NOISE_ID, bob.transports[NOISE_ID])


async def test_plaintext_is_refused_unless_it_was_asked_for() -> None:
    dialler, listener = connection_pair()
    bob = noise_only("bob")

    async def listen() -> None:
        # The refused handshake's first message is behind the proposal.
        with pytest.raises(MultiselectError, match=r"hung up|line feed"):
            await bob.secure_inbound(listener)
        await listener.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        alice = SecurityMultistream({PLAINTEXT_PROTOCOL_ID: InsecureTransport(ed25519_pair("a"))})
        with pytest.raises(MultiselectClientError, match="hung up"):
            await alice.secure_outbound(dialler, peer_id_of("bob"))
        await dialler.close()
