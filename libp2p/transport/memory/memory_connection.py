"""Two ends of a connection within one process: two bounded pipes, no socket and no thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio

from libp2p.exceptions import RawConnError
from libp2p.io.chunk_queue import ChunkQueue
from libp2p.transport.raw_connection import RawConnection, closed_here

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import Buffer

#: Unread in one direction of a connection before its writer has to wait. With less than a batch of
#: frames, reader and writer would take turns for each.
PIPE_BYTES: Final = 256 * 1024


class Pipe:
    """One direction of a connection: the bytes that were written and not read yet."""

    def __init__(self, capacity: int = PIPE_BYTES) -> None:
        self._capacity = capacity
        self._unread = ChunkQueue()
        self._is_finished = False  # by the writer: what is unread is the rest
        self._is_broken = False  # the reader has gone
        self._readers = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()

    @property
    def unread_bytes(self) -> int:
        """How many bytes the reader has not taken yet; 0 once the reader has gone."""
        return self._unread.size

    @property
    def is_readable(self) -> bool:
        """True if there is something to read, or the end."""
        return self._unread.size > 0 or self._is_finished

    @property
    def is_writable(self) -> bool:
        """True if something can be written, or fails at once."""
        return self._unread.size < self._capacity or self._is_broken or self._is_finished

    def write(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """
        Take what there is room for; return the rest.

        :raises RawConnError: if the reader has gone, or the writer had finished.
        """
        if self._is_broken:
            raise RawConnError("the connection was reset by the peer")
        if self._is_finished:
            raise RawConnError("nothing can be written after the end")
        room = self._capacity - self._unread.size
        for index, buffer in enumerate(buffers):
            size = len(buffer)
            if size > room:
                view = memoryview(buffer)
                self._unread.append(view[:room])
                self.wake()
                return [view[room:], *buffers[index + 1 :]]
            self._unread.append(buffer)
            room -= size
        self.wake()
        return []

    def read_into(self, buffer: memoryview) -> int | None:
        """Read into ``buffer``; return the number of bytes, 0 at the end, None for nothing yet."""
        if not self._unread.size:
            return 0 if self._is_finished else None
        end = 0
        for piece in self._unread.take_buffers(min(len(buffer), self._unread.size)):
            start, end = end, end + len(piece)
            buffer[start:end] = piece
        self.wake()
        return end

    def finish(self) -> None:
        """Note that the writer has finished."""
        self._is_finished = True
        self.wake()

    def break_off(self) -> None:
        """Note that the reader has gone."""
        self._is_broken = True
        self._unread.clear()
        self.wake()

    def wake(self) -> None:
        """Wake the tasks of both ends that wait."""
        if self._readers:
            self._readers.unpark_all()
        if self._writers:
            self._writers.unpark_all()

    async def wait_readable(self) -> None:
        """Wait until `wake` is called."""
        await self._readers.park()

    async def wait_writable(self) -> None:
        """Wait until `wake` is called."""
        await self._writers.park()


class MemoryConnection(RawConnection):
    """One end of a connection; see `connection_pair`."""

    def __init__(
        self, incoming: Pipe, outgoing: Pipe, remote: Multiaddr, *, is_initiator: bool
    ) -> None:
        super().__init__(is_initiator)
        self._incoming = incoming
        self._outgoing = outgoing
        self._remote = remote
        self._closed = False
        self._sent_bytes = 0

    # -- reading ------------------------------------------------------------------------------

    async def wait_readable(self) -> None:
        """Wait until `receive_into` would read something, or the end; see `RawConnection`."""
        if self._unread:
            return
        await trio.lowlevel.checkpoint()
        while not self._incoming.is_readable:
            self._check_open()
            await self._incoming.wait_readable()
        self._check_open()

    def receive_into(self, buffer: memoryview) -> int | None:
        """Read into ``buffer``; see `RawConnection`."""
        if self._unread:
            return self._read_unread(buffer)
        self._check_open()
        return self._incoming.read_into(buffer)

    # -- writing ------------------------------------------------------------------------------

    def send_some(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Hand over what there is room for; return the rest."""
        self._check_open()
        rest = self._outgoing.write(buffers)
        self._sent_bytes += sum(map(len, buffers)) - sum(map(len, rest))
        return rest

    async def wait_writable(self) -> None:
        """Wait until `send_some` would take something; see `RawConnection`."""
        await trio.lowlevel.checkpoint()
        while not self._outgoing.is_writable:
            self._check_open()
            await self._outgoing.wait_writable()
        self._check_open()

    def delivered_bytes(self) -> int:
        """Return how many of the bytes written the peer has read."""
        return self._sent_bytes - self.undelivered_bytes()

    def undelivered_bytes(self) -> int:
        """Return how many of them the peer has not read."""
        return self._outgoing.unread_bytes

    def is_reset(self) -> bool:
        """Return False: an abort is read as one."""
        return False

    # -- end ----------------------------------------------------------------------------------

    def shutdown_write(self) -> None:
        """Tell the peer that this side writes no more; reading goes on."""
        self._outgoing.finish()

    def abort(self) -> None:
        """Close at once: the peer reads what was written and then the end; its writes fail."""
        if not self._closed:
            self._closed = True
            self._outgoing.finish()
            self._incoming.break_off()

    async def close(self) -> None:
        """Do what `abort` does."""
        self.abort()

    def _check_open(self) -> None:
        if self._closed:
            raise closed_here()

    # -- addresses ----------------------------------------------------------------------------

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return None: the connection has neither a host nor a port."""
        return None

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's address as a multiaddr."""
        return [self._remote]


def connection_pair(
    dialler: Multiaddr, listener: Multiaddr
) -> tuple[MemoryConnection, MemoryConnection]:
    """Return the dialler's and the listener's end of a new connection between two addresses."""
    there, back = Pipe(), Pipe()
    return (
        MemoryConnection(back, there, listener, is_initiator=True),
        MemoryConnection(there, back, dialler, is_initiator=False),
    )
