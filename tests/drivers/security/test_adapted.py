"""Connections that only read and write, as py-libp2p's do, under security and a muxer of ours."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
import trio
from multiaddr import Multiaddr
from trio.testing import memory_stream_pair

from libp2p.abc import IRawConnection, ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.exceptions import RawConnError, StreamEOF
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.adapted import AdaptedConnection, batched, session_over
from libp2p.security.insecure.transport import InsecureTransport
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.pnet.protector import new_protected_conn
from libp2p.stream_muxer.yamux.yamux import Yamux
from tests.support.channels import connection_pair
from tests.support.identities import ed25519_pair

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey, PublicKey

ALICE, BOB = ed25519_pair("alice"), ed25519_pair("bob")


class Plain(IRawConnection):
    """What py-libp2p has of a connection."""

    def __init__(self, stream: trio.abc.Stream, is_initiator: bool = False) -> None:
        self.is_initiator = is_initiator
        self._stream = stream
        self.closed = trio.Event()

    async def read(self, n: int | None = None) -> bytes:
        return bytes(await self._stream.receive_some(n))

    async def write(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def close(self) -> None:
        self.closed.set()
        await self._stream.aclose()

    def get_remote_address(self) -> tuple[str, int] | None:
        return "192.0.2.1", 4001

    def get_transport_addresses(self) -> list[Multiaddr]:
        return [Multiaddr("/ip4/192.0.2.1/tcp/4001")]

    def get_connection_type(self) -> ConnectionType:
        return ConnectionType.DIRECT


class Secured(Plain, ISecureConn):
    """A secure connection of another library."""

    def get_local_peer(self) -> ID:
        return ID.from_pubkey(ALICE.public_key)

    def get_local_private_key(self) -> PrivateKey:
        return ALICE.private_key

    def get_remote_peer(self) -> ID:
        return ID.from_pubkey(BOB.public_key)

    def get_remote_public_key(self) -> PublicKey:
        return BOB.public_key


def plain_pair() -> tuple[Plain, Plain]:
    near, far = memory_stream_pair()
    return Plain(near, is_initiator=True), Plain(far)


def test_connections_that_move_batches_are_used_as_they_are() -> None:
    near, _ = connection_pair()
    assert batched(near) is near
    assert batched(RawConnection(near, initiator=True)) is near


@pytest.mark.parametrize("kind", [NoiseTransport, InsecureTransport])
async def test_secured_over_reads_and_writes(
    kind: type[NoiseTransport] | type[InsecureTransport],
) -> None:
    near, far = plain_pair()
    bob = kind(BOB)
    async with trio.open_nursery() as nursery:

        async def answer() -> None:
            session = await bob.secure_inbound(far)
            await session.write(await session.read(5))
            await session.close()

        nursery.start_soon(answer)
        session = await kind(ALICE).secure_outbound(near, bob.local_peer)
        await session.write(b"hello")
        assert await session.read() == b"hello"
    assert far.closed.is_set()
    assert session.get_remote_address() == ("192.0.2.1", 4001)
    assert session.get_transport_addresses() == near.get_transport_addresses()
    assert session.get_connection_type() is ConnectionType.DIRECT
    assert session.delivered_bytes() > 0
    assert session.undelivered_bytes() == 0


async def test_plaintext_gives_keys_to_the_peer_store() -> None:
    near, far = plain_pair()
    store, bob = PeerStore(), InsecureTransport(BOB)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bob.secure_inbound, far)
        alice = InsecureTransport(ALICE, secure_bytes_provider=None, peerstore=store)
        await alice.secure_outbound(near, bob.local_peer)
    assert store.pubkey(bob.local_peer) == BOB.public_key
    InsecureTransport(ALICE, secrets.token_bytes, store)
    with pytest.raises(TypeError, match="secure_bytes_provider"):
        InsecureTransport(ALICE, store)  # type: ignore[arg-type]


async def test_yamux_over_a_secure_connection_of_another_library() -> None:
    near, far = memory_stream_pair()
    ours, theirs = Secured(near, is_initiator=True), Secured(far)
    async with trio.open_nursery() as nursery:
        dialler, listener = (Yamux(conn, conn.get_remote_peer()) for conn in (ours, theirs))
        nursery.start_soon(dialler.start)
        nursery.start_soon(listener.start)
        stream = await dialler.open_stream()
        accepted = await listener.accept_stream()
        await stream.write(b"x" * 100_000)
        assert len(await accepted.read_exactly(100_000)) == 100_000
        assert not stream.send_closed
        assert not stream.recv_closed
        assert stream.send_window > 0
        await accepted.reset()
        with pytest.raises(Exception, match="reset"):
            await stream.read(1)
        assert stream.reset_received
        assert stream.closed
        await dialler.close()
    assert listener.event_shutting_down.is_set()
    session = dialler.secured_conn
    assert session_over(session) is session
    assert session.get_remote_peer() == ours.get_remote_peer()


async def test_a_private_network_over_reads_and_writes() -> None:
    near, far = plain_pair()
    ours, theirs = (new_protected_conn(conn, "ab" * 32) for conn in (near, far))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.write, b"hello")
        assert await theirs.read(5) == b"hello"
    theirs.shutdown_write()
    theirs.abort()
    theirs.abort()
    with trio.fail_after(5):
        await far.closed.wait()


class Failing(Plain):
    """A connection that ends in its own ways."""

    error: Exception

    async def read(self, n: int | None = None) -> bytes:
        raise self.error

    async def write(self, data: bytes) -> None:
        raise self.error

    async def close(self) -> None:
        raise self.error


async def test_how_the_connection_below_fails() -> None:
    conn = Failing(memory_stream_pair()[0])
    adapted = AdaptedConnection(conn)
    conn.error = trio.BrokenResourceError("gone")
    with pytest.raises(RawConnError, match="gone"):
        await adapted.read(1)
    with pytest.raises(RawConnError, match="gone"):
        await adapted.write(b"x")
    conn.error = RawConnError("as it is")
    with pytest.raises(RawConnError, match="as it is"):
        await adapted.read(1)
    adapted.unread(b"back")
    assert await adapted.read(4) == b"back"
    conn.error = StreamEOF("end")
    assert await adapted.read(1) == b""
    assert adapted.receive_into(memoryview(bytearray(1))) == 0
    adapted.abort()  # an error of the end is nobody's
    await trio.testing.wait_all_tasks_blocked()
