from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio

from libp2p.base_types import TProtocol
from libp2p.exceptions import ProtocolNotSupportedError
from libp2p.protocol_muxer.negotiation import HEADER, encode_message
from libp2p.security.channel import PlainChannel
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from tests.support.channels import MemoryConnection, connection_pair
from tests.support.identities import ed25519_pair, peer_id_of

if TYPE_CHECKING:
    from libp2p.abc import TMuxerClass
    from libp2p.peer.id import ID

YAMUX = TProtocol("/yamux/1.0.0")
OTHER = TProtocol("/other/1.0.0")


class FakeMuxer:
    """Keeps what it was made of."""

    def __init__(self, secured_conn: SecureSession, peer_id: ID) -> None:
        self.secured_conn = secured_conn
        self.peer_id = peer_id


class OtherMuxer(FakeMuxer):
    """Another one."""


FAKE = cast("TMuxerClass", FakeMuxer)
OTHER_FAKE = cast("TMuxerClass", OtherMuxer)


def session(connection: MemoryConnection, early_muxer: TProtocol | None = None) -> SecureSession:
    local, remote = ("alice", "bob") if connection.is_initiator else ("bob", "alice")
    return SecureSession(
        connection,
        PlainChannel(),
        local_peer=peer_id_of(local),
        local_private_key=ed25519_pair(local).private_key,
        remote_peer=peer_id_of(remote),
        remote_public_key=ed25519_pair(remote).public_key,
        is_initiator=connection.is_initiator,
        early_muxer=early_muxer,
    )


async def test_both_ends_negotiate_the_muxer() -> None:
    dialler, listener = connection_pair()
    at_dialler, at_listener = session(dialler), session(listener)
    made: dict[str, object] = {}

    async def listen() -> None:
        muxers = MuxerMultistream({YAMUX: FAKE})
        made["listener"] = await muxers.new_conn(at_listener, peer_id_of("alice"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        muxers = MuxerMultistream({OTHER: OTHER_FAKE, YAMUX: FAKE})
        made["dialler"] = await muxers.new_conn(at_dialler, peer_id_of("bob"))
    muxer = made["dialler"]
    assert type(muxer) is FakeMuxer
    assert type(made["listener"]) is FakeMuxer
    assert muxer.secured_conn is at_dialler
    assert muxer.peer_id == peer_id_of("bob")


@pytest.mark.parametrize("is_initiator", [True, False])
async def test_what_the_handshake_led_to_is_not_negotiated_again(is_initiator: bool) -> None:
    dialler, listener = connection_pair()
    connection = dialler if is_initiator else listener
    muxers = MuxerMultistream({OTHER: OTHER_FAKE, YAMUX: FAKE})
    assert await muxers.select_transport(session(connection, early_muxer=YAMUX)) is FAKE
    assert connection.sent == b""


async def test_without_a_common_muxer_the_dialler_says_so() -> None:
    dialler, listener = connection_pair()
    await listener.send([encode_message(HEADER), encode_message("na")])
    with pytest.raises(ProtocolNotSupportedError, match="/yamux"):
        await MuxerMultistream({YAMUX: FAKE}).new_conn(session(dialler), peer_id_of("bob"))


def test_a_muxer_added_again_becomes_the_least_wanted() -> None:
    muxers = MuxerMultistream({YAMUX: FAKE})
    muxers.add_transport(OTHER, OTHER_FAKE)
    muxers.add_transport(YAMUX, FAKE)
    assert list(muxers.transports) == [OTHER, YAMUX]
