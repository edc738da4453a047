"""
An encrypted connection: a raw connection's bytes through a cipher core, in batches.

The reader decrypts all that one socket read brought and hands it up as a list; the writer encrypts
a whole batch and gives it to the kernel in one call. One task reads and one writes; cancelling a
reader loses nothing, and what was sealed but not yet sent is kept here, so that the wire never
misses part of a record.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from libp2p.abc import ISecureConn
from libp2p.exceptions import IncompleteReadError, IOException
from libp2p.io.chunk_queue import ChunkQueue
from libp2p.io.utils import read_some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multiaddr import Multiaddr

    from libp2p.connection_types import ConnectionType
    from libp2p.crypto.keys import PrivateKey, PublicKey
    from libp2p.custom_types import Buffer, TProtocol
    from libp2p.io.abc import RawChannel
    from libp2p.peer.id import ID
    from libp2p.security.channel import CipherChannel

#: Room for one whole record of any protocol: enough for a connection that is mostly idle.
SMALL_BUFFER_BYTES: Final = 66 * 1024
#: What a busy connection reads at once. A read wakes tasks all the way up, and is answered with
#: window updates; with a third of this, bulk takes a fifth more processor time.
LARGE_BUFFER_BYTES: Final = 1024 * 1024
#: By so much at a time.
GROWTH: Final = 4
#: After so many reads in a row that a small buffer would have done for, it has to do again.
READS_BEFORE_SHRINKING: Final = 16

# glibc gives free memory at the heap's end back to the kernel and soon gets it again, page by page:
# an eighth of the time that bulk takes. It keeps twice as much as the largest block that it has
# seen come and go.
bytes(1024 * 1024)


class SecureSession(ISecureConn):
    """A raw connection with its handshake done."""

    def __init__(  # noqa: PLR0913 - what a handshake proves; py-libp2p's names
        self,
        raw_conn: RawChannel,
        channel: CipherChannel,
        *,
        local_peer: ID,
        local_private_key: PrivateKey,
        remote_peer: ID,
        remote_public_key: PublicKey,
        is_initiator: bool,
        early_muxer: TProtocol | None = None,
    ) -> None:
        self.raw_conn = raw_conn
        self.is_initiator = is_initiator
        #: The muxer that was agreed on within the handshake, if any.
        self.early_muxer = early_muxer
        self._channel = channel
        self._local_peer = local_peer
        self._local_private_key = local_private_key
        self._remote_peer = remote_peer
        self._remote_public_key = remote_public_key
        self._unread = ChunkQueue()
        self._buffer = memoryview(bytearray(SMALL_BUFFER_BYTES))
        # What lies between these in the buffer has not been decrypted.
        self._start = self._end = 0
        self._small_reads = 0
        self._unsent: list[Buffer] = []

    # -- reading ------------------------------------------------------------------------------

    async def receive(self) -> list[Buffer]:
        """
        Return all decrypted bytes at hand, waiting for at least one; empty at the end.

        :raises DecryptionFailedException: if a record does not authenticate.
        :raises IncompleteReadError: if the peer hung up inside a record.
        """
        if self._unread.size:
            return self._unread.take_all()
        while not self._channel.ended:
            if self._channel.has_more:
                await trio.lowlevel.checkpoint()  # a flood of tiny records must not starve others
            else:
                count = await self.raw_conn.receive_into(self._room())
                if count == 0:
                    if self._end > self._start:
                        raise IncompleteReadError("the peer hung up inside an encrypted record")
                    return []
                self._end += count
            try:
                pieces, used = self._channel.open(self._buffer[self._start : self._end])
            except IOException:
                self._send_last()
                raise
            self._start += used
            if any(pieces):  # an empty record is legal, and not the end
                return pieces
        return []

    def _room(self) -> memoryview:
        """
        Give the room behind an incomplete record, which moves to the front.

        A buffer that was read full grows, one of which little is used for some reads shrinks.
        """
        buffer, start, end = self._buffer, self._start, self._end
        size, rest = len(buffer), end - start
        if end == size < LARGE_BUFFER_BYTES:
            self._buffer = memoryview(bytearray(min(GROWTH * size, LARGE_BUFFER_BYTES)))
        elif end >= SMALL_BUFFER_BYTES or size == SMALL_BUFFER_BYTES:
            self._small_reads = 0
        elif (reads := self._small_reads + 1) < READS_BEFORE_SHRINKING:
            self._small_reads = reads
        else:
            self._buffer = memoryview(bytearray(SMALL_BUFFER_BYTES))
        if rest:
            self._buffer[:rest] = buffer[start:end]
        self._start, self._end = 0, rest
        return self._buffer[rest:]

    def unread(self, data: Buffer) -> None:
        """Put ``data`` back: it is what the next read returns."""
        self._unread.prepend(data)

    async def read(self, n: int | None = None) -> bytes:
        """Return 1 to ``n`` bytes, or with no ``n`` all up to the end; empty at the end."""
        return await read_some(self, n)

    # -- writing ------------------------------------------------------------------------------

    def send_nowait(self, buffers: Sequence[Buffer]) -> bool:
        """
        Encrypt ``buffers`` and give the kernel what it takes; return True if that was all.

        What it does not take is kept: call `send_nowait` again once `wait_writable` returned.
        """
        self._unsent += self._channel.seal(buffers)
        self._unsent = self.raw_conn.send_nowait(self._unsent)
        return not self._unsent

    async def wait_writable(self) -> None:
        """Wait until the kernel would take something."""
        await self.raw_conn.wait_writable()

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """Write all of ``buffers``; if cancelled, the rest goes out first with the next write."""
        done = self.send_nowait(buffers)
        while not done:
            await self.wait_writable()
            done = self.send_nowait(())

    async def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        await self.send((data,))

    # -- the rest -----------------------------------------------------------------------------

    def _send_last(self) -> None:
        """Tell the peer that this side ends, or why, as far as the kernel takes it now."""
        if last := self._channel.close():
            with suppress(IOException):  # it is gone: nobody to be told
                self._unsent = self.raw_conn.send_nowait([*self._unsent, *last])

    def shutdown_write(self) -> None:
        """Tell the peer that nothing more will come; reading goes on."""
        self._send_last()
        self.raw_conn.shutdown_write()

    def abort(self) -> None:
        """Close the raw connection at once."""
        self._send_last()
        self.raw_conn.abort()

    async def close(self) -> None:
        """Close the raw connection."""
        self._send_last()
        await self.raw_conn.close()

    def get_local_peer(self) -> ID:
        """Return this side's peer id."""
        return self._local_peer

    def get_local_private_key(self) -> PrivateKey:
        """Return this side's identity key."""
        return self._local_private_key

    def get_remote_peer(self) -> ID:
        """Return the peer's proven id."""
        return self._remote_peer

    def get_remote_public_key(self) -> PublicKey:
        """Return the peer's identity key."""
        return self._remote_public_key

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port)."""
        return self.raw_conn.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's address as a multiaddr."""
        return self.raw_conn.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        """Tell whether the connection is direct or relayed."""
        return self.raw_conn.get_connection_type()
