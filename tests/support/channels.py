"""Raw connections in memory, with the habits of real networks on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from libp2p.abc import ConnectionType, IRawConnection
from libp2p.exceptions import ConnectionClosedError, RawConnError
from libp2p.io.chunk_queue import ChunkQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multiaddr import Multiaddr

    from libp2p.base_types import Buffer


class MemoryConnection(IRawConnection):
    """
    One end; see `connection_pair`.

    ``sent`` records every byte that left this end. ``capacity`` bounds what the peer's end holds
    unread. With ``piece_bytes`` the peer receives at most so many bytes at a time. After
    ``hang_up_after`` bytes this end is gone: the peer reads what came, then the end, or with
    ``reset`` an error.
    """

    def __init__(self, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self.peer = self
        self.sent = bytearray()
        self.capacity: int | None = None
        self.piece_bytes: int | None = None
        self.hang_up_after: int | None = None
        self.reset = False
        self.is_closed = False
        self._unread = ChunkQueue()
        self._incoming = ChunkQueue()
        self._finished = False  # nothing more will be sent
        self._gone = False
        self._readable = trio.lowlevel.ParkingLot()
        self._writable = trio.lowlevel.ParkingLot()

    # -- reading ----------------------------------------------------------------------------------

    async def receive(self) -> list[Buffer]:
        await trio.lowlevel.checkpoint()
        if self._unread:
            return self._unread.take_all()
        while not self._incoming:
            self._check_open()
            if self.peer._finished:
                if self.peer.reset:
                    raise RawConnError("connection reset by peer")
                return []
            await self._readable.park()
        limit = self.peer.piece_bytes or len(self._incoming)
        pieces = [self._incoming.take(min(limit, len(self._incoming)))]
        self.peer._writable.unpark_all()
        return list(pieces)

    async def wait_readable(self) -> None:
        self._unread.extend(await self.receive())

    def receive_into(self, buffer: memoryview) -> int | None:
        data = self._unread.take(min(len(self._unread), len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def unread(self, data: Buffer) -> None:
        self._unread.prepend(data)

    async def read(self, n: int | None = None) -> bytes:
        if n is None:
            pieces: list[Buffer] = []
            while more := await self.receive():
                pieces += more
            return b"".join(pieces)
        data = b"".join(await self.receive())
        self.unread(data[n:])
        return data[:n]

    # -- writing ----------------------------------------------------------------------------------

    def send_some(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        self._check_open()
        if self._finished:
            raise RawConnError("broken pipe")
        data = b"".join(buffers)
        room = self._room(len(data))
        data, rest = data[:room], data[room:]
        if self.hang_up_after is not None:
            data = data[: self.hang_up_after - len(self.sent)]
        self.sent += data
        self.peer._incoming.append(data)
        self.peer._readable.unpark_all()
        if len(self.sent) == self.hang_up_after:
            self._gone = True
            self.shutdown_write()
        return [rest] if rest else []

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()
        while True:
            self._check_open()
            if self._room(1) > 0:
                return
            await self._writable.park()

    def _room(self, wanted: int) -> int:
        if self.capacity is None or self.peer.is_closed:  # nobody is there to leave it unread
            return wanted
        return self.capacity - len(self.peer._incoming)

    async def send(self, buffers: Sequence[Buffer]) -> None:
        await trio.lowlevel.checkpoint()
        rest = self.send_some(buffers)
        while rest:
            await self.wait_writable()
            rest = self.send_some(rest)

    async def write(self, data: bytes) -> None:
        await self.send((data,))

    # -- the end ----------------------------------------------------------------------------------

    def delivered_bytes(self) -> int:
        return len(self.sent) - self.undelivered_bytes()

    def undelivered_bytes(self) -> int:
        return 0 if self.peer.is_closed else len(self.peer._incoming)

    def is_reset(self) -> bool:
        return self.peer.reset

    def shutdown_write(self) -> None:
        self._finished = True
        self.peer._readable.unpark_all()

    def abort(self) -> None:
        self.is_closed = True
        self.shutdown_write()
        self._readable.unpark_all()
        self._writable.unpark_all()
        self.peer._writable.unpark_all()

    async def close(self) -> None:
        self.abort()

    def _check_open(self) -> None:
        if self.is_closed:
            raise ConnectionClosedError("the connection was closed by this side")
        if self._gone:
            raise RawConnError("this end hung up")

    # -- addresses --------------------------------------------------------------------------------

    def get_remote_address(self) -> tuple[str, int] | None:
        return ("192.0.2.1", 4001)

    def get_transport_addresses(self) -> list[Multiaddr]:
        return []

    def get_connection_type(self) -> ConnectionType:
        return ConnectionType.DIRECT


def connection_pair() -> tuple[MemoryConnection, MemoryConnection]:
    """Two joined ends: the dialler's and the listener's."""
    dialler, listener = MemoryConnection(True), MemoryConnection(False)
    dialler.peer, listener.peer = listener, dialler
    return dialler, listener
