"""A dialler with a single security protocol: its handshake does not wait for the agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.exceptions import MultiselectClientError, ProtocolNotSupportedError
from libp2p.protocol_muxer.negotiation import HEADER, NOT_AVAILABLE, encode_message
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.security_multistream import SecurityMultistream
from libp2p.security.tls.transport import PROTOCOL_ID as TLS_ID
from libp2p.security.tls.transport import TLSTransport
from tests.support.handshakes import shake_hands
from tests.support.identities import ed25519_pair, peer_id_of
from tests.support.sockets import connected

if TYPE_CHECKING:
    from libp2p.base_types import TProtocol

PROPOSAL = encode_message(HEADER) + encode_message(NOISE_ID)
FIRST_NOISE_MESSAGE = 2 + 32


def security(name: str, protocol: TProtocol) -> SecurityMultistream:
    key = ed25519_pair(name)
    transport = NoiseTransport(key) if protocol == NOISE_ID else TLSTransport(key)
    return SecurityMultistream({protocol: transport})


@pytest.mark.parametrize("protocol", [NOISE_ID, TLS_ID])
async def test_both_ends_are_secured(protocol: TProtocol) -> None:
    async with connected() as (ours, theirs):
        transports = security("alice", protocol), security("bob", protocol)
        alice, bob = await shake_hands(*transports, (ours, theirs), peer_id_of("bob"))
        await bob.write(b"hello")
        assert await alice.read(5) == b"hello"
        await alice.write(b"hi")
        assert await bob.read(2) == b"hi"


async def test_the_proposal_and_the_first_message_are_one_write() -> None:
    async with connected() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(security("alice", NOISE_ID).secure_outbound, ours, peer_id_of("bob"))
        buffer = bytearray(1024)
        await theirs.wait_readable()
        size = theirs.receive_into(memoryview(buffer))
        assert buffer.startswith(PROPOSAL)
        assert size == len(PROPOSAL) + FIRST_NOISE_MESSAGE
        nursery.cancel_scope.cancel()


async def test_a_refusal_is_told_as_such() -> None:
    async with connected() as (ours, theirs):
        await theirs.write(encode_message(HEADER) + encode_message(NOT_AVAILABLE))
        with pytest.raises(ProtocolNotSupportedError, match=NOISE_ID):
            await security("alice", NOISE_ID).secure_outbound(ours, peer_id_of("bob"))


async def test_a_peer_that_hangs_up_instead_of_answering_is_told_as_such() -> None:
    async with connected() as (ours, theirs):
        theirs.shutdown_write()
        with pytest.raises(MultiselectClientError, match="hung up"):
            await security("alice", NOISE_ID).secure_outbound(ours, peer_id_of("bob"))
