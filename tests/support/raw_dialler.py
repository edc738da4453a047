"""A peer that does its handshakes over loopback and then sends what yamux frames it likes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from struct import Struct
from typing import TYPE_CHECKING, Final, cast

from libp2p import new_swarm
from libp2p.transport.tcp.tcp import TCP
from tests.support.ends import DATA, RawFrame
from tests.support.hosts import transport_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from multiaddr import Multiaddr

    from libp2p.crypto.keys import KeyPair
    from libp2p.peer.id import ID
    from libp2p.security.secure_session import SecureSession

_HEADER: Final = Struct(">BBHII")


class RawDialler:
    """The dialling end of a secured connection: its stream ids are odd."""

    def __init__(self, session: SecureSession) -> None:
        self.session = session
        self._wire = bytearray()

    async def send(self, *frames: bytes) -> None:
        await self.session.send(frames)

    async def receive_up_to(self, is_last: Callable[[RawFrame], bool]) -> list[RawFrame]:
        """What comes up to such a frame, or to the end of the connection if there is none."""
        frames: list[RawFrame] = []
        while True:
            while (frame := self._next_frame()) is not None:
                frames.append(frame)
                if is_last(frame):
                    return frames
            if not (pieces := await self.session.receive()):
                assert not self._wire, "the connection ended inside a frame"
                return frames
            self._wire += b"".join(pieces)

    async def receive_all(self) -> list[RawFrame]:
        """What comes up to the end of the connection."""
        return await self.receive_up_to(lambda _: False)

    def _next_frame(self) -> RawFrame | None:
        if len(self._wire) < _HEADER.size:
            return None
        _, kind, flags, stream_id, length = _HEADER.unpack_from(self._wire)
        end = _HEADER.size + (length if kind == DATA else 0)
        if len(self._wire) < end:
            return None
        body = bytes(self._wire[_HEADER.size : end])
        del self._wire[:end]
        return RawFrame(kind, flags, stream_id, length, body)


@asynccontextmanager
async def raw_dialler(
    address: Multiaddr, peer_id: ID, key_pair: KeyPair | None = None
) -> AsyncIterator[RawDialler]:
    """Connect to a peer as a default host does, and play the yamux that was agreed on by hand."""
    swarm = new_swarm(key_pair=key_pair)
    transport = transport_of(swarm)
    connection = await TCP().dial(address)
    try:
        secured = await transport.upgrader.upgrade_security(connection, True, peer_id)
        session = cast("SecureSession", secured)
        assert session.early_muxer == "/yamux/1.0.0"
        yield RawDialler(session)
    finally:
        connection.abort()
