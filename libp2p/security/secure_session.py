"""
An encrypted connection: a raw connection's bytes through a cipher core, in batches.

The reader decrypts all bytes of one socket read and returns them as a list; the writer encrypts a
whole batch and gives it to the kernel in one call. One task reads and one writes at a time: whoever
shares a session among tasks holds a lock from `SecureSession.send_or_keep` until everything is
sent. Cancelling a reader loses nothing. What was encrypted and is not sent yet is kept here, so the
wire never misses a part of a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from libp2p.abc import ISecureConn
from libp2p.exceptions import IncompleteReadError, IOException, LocalProtocolError
from libp2p.io.buffer_pool import BufferPool
from libp2p.io.utils import read_some
from libp2p.utils.allocator import keep_freed_memory
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import Buffer, TProtocol
    from libp2p.connection_types import ConnectionType
    from libp2p.crypto.keys import PrivateKey, PublicKey
    from libp2p.io.abc import RawChannel
    from libp2p.peer.id import ID
    from libp2p.security.channel import CipherChannel

#: Of all connections.
_BUFFERS: Final = BufferPool()


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
        protocol: TProtocol | None = None,
    ) -> None:
        keep_freed_memory()  # an eighth of the time that bulk takes
        self.raw_conn = raw_conn
        self.is_initiator = is_initiator
        #: The muxer that was agreed on within the handshake, if any.
        self.early_muxer = early_muxer
        #: The security protocol; for logs and statistics.
        self.protocol = protocol
        self._channel = channel
        self._local_peer = local_peer
        self._local_private_key = local_private_key
        self._remote_peer = remote_peer
        self._remote_public_key = remote_public_key
        self._unread: list[Buffer] = []  # the last put back is last
        # The beginning of a record.
        self._partial = b""
        # Records that were read and wait for their turn to be decrypted, in a buffer of the pool.
        self._waiting: memoryview | None = None
        self._waiting_at = self._waiting_end = 0
        # The last read left records waiting, too: more tiny ones will probably follow.
        self._has_waited = False
        self._unsent: list[Buffer] = []

    # -- reading ------------------------------------------------------------------------------

    async def receive(self) -> list[Buffer]:
        """
        Return all decrypted bytes at hand, waiting for at least one; empty at the end.

        :raises DecryptionFailedException: if a record does not authenticate.
        :raises IncompleteReadError: if the peer hung up inside a record.
        """
        if self._unread:
            put_back, self._unread = self._unread[::-1], []
            return put_back
        while not self._channel.ended:
            if self._waiting is None:
                await self.raw_conn.wait_readable()
                pieces = self._read()
                if pieces is None:
                    return []
            else:
                await trio.lowlevel.checkpoint()  # a flood of tiny records must not starve others
                pieces = self._open(self._waiting, self._waiting_at, self._waiting_end)
            if any(pieces):  # an empty record is legal, and not the end
                return pieces
        return []

    def _read(self) -> list[Buffer] | None:
        """Read and decrypt what the socket has; None at the end."""
        buffer = _BUFFERS.take(small=self._has_waited)
        if rest := len(self._partial):
            buffer[:rest] = self._partial
            count = self.raw_conn.receive_into(buffer[rest:])
        else:
            count = self.raw_conn.receive_into(buffer)
        if count:
            pieces = self._open(buffer, 0, rest + count)
            self._has_waited = self._waiting is not None
            return pieces
        _BUFFERS.release(buffer)
        if count is None:
            return []
        if rest:
            raise IncompleteReadError("the peer hung up inside an encrypted record")
        return None

    def _open(self, buffer: memoryview, start: int, end: int) -> list[Buffer]:
        """Decrypt the records in ``buffer``, at most so many as `open` does, and keep the rest."""
        try:
            pieces, used = self._channel.open(buffer[start:end])
        except IOException:
            self._send_last()
            raise
        start += used
        if start == end:
            self._partial = b""
        elif self._channel.has_more:
            self._waiting, self._waiting_at, self._waiting_end = buffer, start, end
            _BUFFERS.keep(buffer)
            return pieces
        else:
            self._partial = bytes(buffer[start:end])
        self._waiting = None
        _BUFFERS.release(buffer)
        return pieces

    def unread(self, data: Buffer) -> None:
        """Put ``data`` back: the next read returns it."""
        if len(data):
            self._unread.append(data)

    async def read(self, n: int | None = None) -> bytes:
        """Return 1 to ``n`` bytes, or with no ``n`` all up to the end; empty at the end."""
        return await read_some(self, n)

    # -- writing ------------------------------------------------------------------------------

    def send_or_keep(self, buffers: Sequence[Buffer]) -> bool:
        """
        Encrypt ``buffers`` and send what the kernel takes; return True if that was all.

        The rest is kept for `send_kept`. Records only make sense in the order in which they were
        encrypted, so nothing else can be sent before that has returned True.

        :raises LocalProtocolError: if the rest of other buffers is still kept.
        """
        if self._unsent:
            raise LocalProtocolError("the connection is in the middle of another batch")
        self._unsent = self.raw_conn.send_some(self._channel.seal(buffers))
        return not self._unsent

    def send_kept(self) -> bool:
        """Send what the kernel takes of the kept rest; return True if nothing is left."""
        self._unsent = self.raw_conn.send_some(self._unsent)
        return not self._unsent

    async def wait_writable(self) -> None:
        """Wait until the kernel takes something."""
        await self.raw_conn.wait_writable()

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """Write all of ``buffers``; if cancelled, the rest goes out first with the next write."""
        while not self.send_kept():  # of a write that was cancelled
            await self.wait_writable()
        done = self.send_or_keep(buffers)
        while not done:
            await self.wait_writable()
            done = self.send_kept()

    async def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        await self.send((data,))

    def delivered_bytes(self) -> int:
        """Return how much has reached the peer, encrypted; see `RawChannel.delivered_bytes`."""
        return self.raw_conn.delivered_bytes()

    def undelivered_bytes(self) -> int:
        """Return how much was encrypted and has not reached the peer."""
        return sum(map(len, self._unsent)) + self.raw_conn.undelivered_bytes()

    def is_reset(self) -> bool:
        """Tell if the peer has reset the connection: what it has not acknowledged is lost."""
        return self.raw_conn.is_reset()

    # -- the rest -----------------------------------------------------------------------------

    def _send_last(self) -> None:
        """Send the cipher's last message, as far as the kernel takes it without waiting."""
        if last := self._channel.close():
            with suppress(IOException):  # the peer is gone
                self._unsent = self.raw_conn.send_some([*self._unsent, *last])

    def shutdown_write(self) -> None:
        """End the writing half; reading goes on."""
        self._send_last()
        self.raw_conn.shutdown_write()

    def abort(self) -> None:
        """Close the raw connection at once."""
        self._send_last()
        self.raw_conn.abort()

    async def close(self) -> None:
        """Close the raw connection; what it has taken is still delivered."""
        self._send_last()
        await self.raw_conn.close()

    def __repr__(self) -> str:
        return shown(self, lambda: f"with {self.get_remote_peer()}")

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
