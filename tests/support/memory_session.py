"""Secure sessions and yamux connections over bounded pipes in memory, without encryption."""

from __future__ import annotations

from array import array
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from libp2p.security.channel import PlainChannel
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.yamux.config import DEFAULT_CONFIG, YamuxConfig
from libp2p.stream_muxer.yamux.yamux import Yamux
from tests.support.channels import MemoryConnection, connection_pair
from tests.support.ends import RawFrame, parse
from tests.support.identities import ed25519_pair, peer_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p.resources import Resources
    from libp2p.security.channel import CipherChannel
    from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream
    from libp2p.transport.tcp.tcp_connection import TcpConnection

#: What the pipe holds before `send_some` takes only a part: far less than a window.
PIPE_BYTES = 64 * 1024


def secured_by(
    connection: MemoryConnection | TcpConnection, channel: CipherChannel | None = None
) -> SecureSession:
    """A session as it is after a handshake."""
    return SecureSession(
        connection,
        channel or PlainChannel(),
        local_peer=peer_id_of("local"),
        local_private_key=ed25519_pair("local").private_key,
        remote_peer=peer_id_of("remote"),
        remote_public_key=ed25519_pair("remote").public_key,
        is_initiator=connection.is_initiator,
    )


def yamux_over(
    connection: MemoryConnection | TcpConnection,
    config: YamuxConfig = DEFAULT_CONFIG,
    resources: Resources | None = None,
) -> Yamux:
    session = secured_by(connection)
    return Yamux(session, session.get_remote_peer(), config=config, resources=resources)


def bounded_pair(pipe_bytes: int = PIPE_BYTES) -> tuple[MemoryConnection, MemoryConnection]:
    dialler, listener = connection_pair()
    dialler.capacity = listener.capacity = pipe_bytes
    return dialler, listener


@asynccontextmanager
async def joined(
    pipe_bytes: int = PIPE_BYTES, config: YamuxConfig = DEFAULT_CONFIG
) -> AsyncIterator[tuple[Yamux, Yamux]]:
    """Two running connections: the dialler's and the listener's."""
    a, b = (yamux_over(raw_conn, config) for raw_conn in bounded_pair(pipe_bytes))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.run)
        nursery.start_soon(b.run)
        yield a, b
        nursery.cancel_scope.cancel()


async def stream_between(a: Yamux, b: Yamux) -> tuple[YamuxStream, YamuxStream]:
    """Both ends of a stream that ``a`` opens and ``b`` accepts."""
    opened = await a.open_stream()
    return opened, await b.accept_stream()


@asynccontextmanager
async def stream_pair(
    pipe_bytes: int = PIPE_BYTES,
) -> AsyncIterator[tuple[YamuxStream, YamuxStream]]:
    """The opener's and the accepter's end of a stream on a connection of its own."""
    async with joined(pipe_bytes) as (a, b):
        yield await stream_between(a, b)


def numbered(size: int) -> bytes:
    """``size`` bytes of which no two neighbourhoods are alike."""
    return array("I", range(size // 4 + 1)).tobytes()[:size]


class RawPeer:
    """The other end of a connection, played by hand: it reads and writes frames as it likes."""

    def __init__(self, connection: MemoryConnection) -> None:
        self.connection = connection
        self._received = b""

    async def send(self, *frames: bytes) -> None:
        await self.connection.send(frames)

    async def receive(self) -> list[RawFrame]:
        """Wait for bytes and return them as frames, to be called while no frame is cut."""
        return parse(b"".join(await self.connection.receive()))

    async def receive_all(self) -> list[RawFrame]:
        """What comes until the other side ends the connection."""
        return parse(await self.connection.read(None))

    async def drain(self) -> None:
        """Read and ignore everything."""
        while await self.connection.receive():
            pass


@asynccontextmanager
async def against_raw_peer(
    pipe_bytes: int | None = PIPE_BYTES,
) -> AsyncIterator[tuple[Yamux, RawPeer]]:
    """A running connection that was dialled, and its peer; the peer's stream ids are even."""
    ours, theirs = connection_pair()
    ours.capacity = theirs.capacity = pipe_bytes
    connection = yamux_over(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        yield connection, RawPeer(theirs)
        nursery.cancel_scope.cancel()
