"""
A raw connection whose bytes are encrypted with the key of a private network.

Each side sends 24 random bytes in front of its first data, and encrypts from then on with XSalsa20.
A byte stays a byte: nothing is authenticated here, which is what Noise or TLS above are for.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from libp2p.io.utils import after
from libp2p.security.adapted import batched
from libp2p.security.pnet.key import read_key
from libp2p.security.pnet.xsalsa20 import NONCE_BYTES, XSalsa20
from libp2p.transport.raw_connection import RawConnection

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IRawConnection
    from libp2p.base_types import Buffer
    from libp2p.connection_types import ConnectionType
    from libp2p.io.abc import RawChannel

#: Encrypted at once: what a write copies. The rest waits as it is until the kernel takes more.
ENCRYPT_BYTES: Final = 256 * 1024


class ProtectedConnection(RawConnection):
    """``conn`` under the key; what it raises comes out as it is."""

    def __init__(self, conn: RawChannel, key: bytes, *, is_initiator: bool) -> None:
        super().__init__(is_initiator)
        self._conn = conn
        self._key = key
        self._nonce_unsent: Buffer = secrets.token_bytes(NONCE_BYTES)
        self._nonce_received = b""
        self._outgoing = XSalsa20(key, bytes(self._nonce_unsent))
        self._incoming: XSalsa20 | None = None
        # The next bytes to be sent, encrypted: the kernel did not take them, so the caller has them
        # as unsent and sends them again. They must not be encrypted twice.
        self._encrypted = memoryview(b"")

    async def wait_readable(self) -> None:
        """Wait until `receive_into` would read something, or the end."""
        if not self._unread:
            await self._conn.wait_readable()

    def receive_into(self, buffer: memoryview) -> int | None:
        """Read into ``buffer``; return the number of bytes, 0 at the end, None for nothing yet."""
        if self._unread:
            return self._read_unread(buffer)
        while self._incoming is None:
            missing = memoryview(bytearray(NONCE_BYTES - len(self._nonce_received)))
            count = self._conn.receive_into(missing)
            if not count:
                return count
            self._nonce_received += missing[:count]
            if len(self._nonce_received) == NONCE_BYTES:
                self._incoming = XSalsa20(self._key, self._nonce_received)
        count = self._conn.receive_into(buffer)
        if count:
            self._incoming.apply(buffer[:count])
        return count

    def send_some(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Send what the kernel takes without waiting; return the unsent rest, not encrypted."""
        rest = [buffer for buffer in buffers if len(buffer)]
        while rest:
            if not self._encrypted:
                self._encrypted = self._encrypt(rest)
            pieces = [piece for piece in (self._nonce_unsent, self._encrypted) if len(piece)]
            unsent = sum(map(len, self._conn.send_some(pieces)))
            sent = max(0, len(self._encrypted) - unsent)
            nonce_sent = len(self._nonce_unsent) - max(0, unsent - len(self._encrypted))
            self._nonce_unsent = self._nonce_unsent[nonce_sent:]
            self._encrypted = self._encrypted[sent:]
            rest = after(rest, sent)
            if unsent:
                break
        return rest

    def _encrypt(self, buffers: Sequence[Buffer]) -> memoryview:
        pieces: list[Buffer] = []
        room = ENCRYPT_BYTES
        for buffer in buffers:
            pieces.append(memoryview(buffer)[:room])
            room -= len(pieces[-1])
            if not room:
                break
        data = memoryview(bytearray(b"".join(pieces)))
        self._outgoing.apply(data)
        return data

    async def wait_writable(self) -> None:
        """Wait until `send_some` would send something."""
        await self._conn.wait_writable()

    def delivered_bytes(self) -> int:
        """Return how many of the bytes written the peer has acknowledged, 24 of them the nonce."""
        return self._conn.delivered_bytes()

    def undelivered_bytes(self) -> int:
        """Return how many it has not acknowledged; 0 if that is not known."""
        return self._conn.undelivered_bytes()

    def is_reset(self) -> bool:
        """Tell if the peer has reset the connection: what it has not acknowledged is lost."""
        return self._conn.is_reset()

    def shutdown_write(self) -> None:
        """Tell the peer that nothing more will come; reading goes on."""
        self._conn.shutdown_write()

    def abort(self) -> None:
        """Close at once, without waiting for anything."""
        self._conn.abort()

    async def close(self) -> None:
        """Close; what was taken is still delivered."""
        await self._conn.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port), if it has them."""
        return self._conn.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's address as a multiaddr."""
        return self._conn.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        """Return whether the connection is direct or relayed."""
        return self._conn.get_connection_type()


def new_protected_conn(conn: IRawConnection, psk: str | bytes) -> ProtectedConnection:
    """
    Return ``conn`` under the key of a private network: py-libp2p's name.

    :param psk: see `libp2p.security.pnet.key.read_key`.
    :raises ValueError: if it is no key.
    """
    is_initiator = bool(getattr(conn, "is_initiator", False))
    return ProtectedConnection(batched(conn), read_key(psk), is_initiator=is_initiator)
