"""Streams between two peers in memory, as handlers get them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio.testing import memory_stream_one_way_pair

from libp2p.abc import INetStream
from libp2p.exceptions import StreamClosed, StreamEOF, StreamReset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multiaddr import Multiaddr
    from trio.testing import MemoryReceiveStream, MemorySendStream

    from libp2p.abc import IMuxedConn
    from libp2p.base_types import Buffer, TProtocol
    from libp2p.peer.id import ID


class FakeConnection:
    """What a handler may ask of the connection under its stream."""

    def __init__(self, peer_id: ID, addresses: Sequence[Multiaddr] = ()) -> None:
        self.peer_id = peer_id
        self.addresses = list(addresses)

    def get_transport_addresses(self) -> list[Multiaddr]:
        return self.addresses


class MemoryStream(INetStream):
    """One end of a stream; what is written can be read at the other end at once."""

    def __init__(
        self, connection: FakeConnection, incoming: MemoryReceiveStream, outgoing: MemorySendStream
    ) -> None:
        self.muxed_conn: IMuxedConn = connection  # type: ignore[assignment]
        self.other: MemoryStream
        self.was_reset = False
        self._incoming = incoming
        self._outgoing = outgoing
        self._pushed_back = bytearray()
        self._protocol: TProtocol | None = None

    async def receive(self) -> list[Buffer]:
        if self._pushed_back:
            data: bytes = bytes(self._pushed_back)
            self._pushed_back.clear()
            return [data]
        self._check_reset()
        try:
            data = bytes(await self._incoming.receive_some())
        except trio.ClosedResourceError:
            self._check_reset()
            raise StreamClosed from None
        self._check_reset()
        return [data] if data else []

    def unread(self, data: Buffer) -> None:
        self._pushed_back[:0] = data

    async def send(self, buffers: Sequence[Buffer]) -> None:
        self._check_reset()
        try:
            await self._outgoing.send_all(b"".join(buffers))
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            self._check_reset()
            raise StreamClosed from None

    async def read(self, n: int | None = None) -> bytes:
        if n is not None and n >= 0:
            data = b"".join(await self.receive())
            if not data:
                raise StreamEOF
            self.unread(data[n:])
            return data[:n]
        pieces: list[Buffer] = []
        while buffers := await self.receive():
            pieces += buffers
        return b"".join(pieces)

    async def write(self, data: bytes) -> None:
        await self.send([data])

    async def close_write(self) -> None:
        await self._outgoing.aclose()

    async def close_read(self) -> None:
        await self._incoming.aclose()

    async def close(self) -> None:
        await self.close_write()

    async def reset(self, error_code: int = 0) -> None:
        for end in (self, self.other):
            end.was_reset = True
            end._incoming.close()
            end._outgoing.close()

    def get_protocol(self) -> TProtocol | None:
        return self._protocol

    def set_protocol(self, protocol_id: TProtocol) -> None:
        self._protocol = protocol_id

    def get_remote_address(self) -> tuple[str, int] | None:
        return None

    def _check_reset(self) -> None:
        if self.was_reset:
            raise StreamReset


def stream_pair(
    to_second: FakeConnection, to_first: FakeConnection
) -> tuple[MemoryStream, MemoryStream]:
    """Return both ends of a stream: the first peer's, over ``to_second``, and the second's."""
    there_out, there_in = memory_stream_one_way_pair()
    back_out, back_in = memory_stream_one_way_pair()
    first = MemoryStream(to_second, back_in, there_out)
    second = MemoryStream(to_first, there_in, back_out)
    first.other, second.other = second, first
    return first, second
