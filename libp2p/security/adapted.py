"""py-libp2p's connections, which have `read` and `write` only, as secure sessions need them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import trio

from libp2p.exceptions import IOException, LocalProtocolError, RawConnError, StreamEOF
from libp2p.io.abc import RawChannel
from libp2p.io.utils import after
from libp2p.security.channel import PlainChannel
from libp2p.security.secure_session import SecureSession
from libp2p.transport.raw_connection import RECEIVE_BYTES, RawConnection

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IRawConnection, ISecureConn
    from libp2p.base_types import Buffer
    from libp2p.connection_types import ConnectionType


def batched(conn: IRawConnection) -> RawChannel:
    """
    Return ``conn`` as the kind that moves batches, which a secure session needs.

    Connections of this library's transports are of that kind, also within py-libp2p's
    `RawConnection`. Any other one is adapted: from then on it is used through what this returns.

    :raises LocalProtocolError: if it has no `read` and `write`.
    """
    # The class before the protocol: Python 3.11 takes 10 us to find what a protocol asks for.
    if isinstance(conn, RawConnection | RawChannel):
        return conn
    inner = getattr(conn, "stream", None)
    if isinstance(inner, RawChannel):
        return inner
    if not all(callable(getattr(conn, name, None)) for name in ("read", "write", "close")):
        raise LocalProtocolError(f"{type(conn).__name__} is no connection: it must read and write")
    return AdaptedConnection(conn)


def session_over(conn: ISecureConn) -> SecureSession:
    """Return ``conn``, if it moves batches as a muxer needs it; else a session on top of it."""
    if hasattr(conn, "send_or_keep"):
        return cast("SecureSession", conn)
    return SecureSession(
        batched(conn),
        PlainChannel(),
        local_peer=conn.get_local_peer(),
        local_private_key=conn.get_local_private_key(),
        remote_peer=conn.get_remote_peer(),
        remote_public_key=conn.get_remote_public_key(),
        is_initiator=bool(getattr(conn, "is_initiator", False)),
    )


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except IOException:
        raise
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise RawConnError(f"the connection failed: {error}") from error


class AdaptedConnection(RawConnection):
    """
    Batches over a reader and writer.

    What is to be read, `wait_readable` reads; what `send_some` was given, `wait_writable` writes.
    """

    def __init__(self, conn: IRawConnection) -> None:
        super().__init__(bool(getattr(conn, "is_initiator", False)))
        self._conn = conn
        self._incoming: bytes | None = None
        self._outgoing: list[Buffer] = []
        # How much of them is written, which `send_some` has not told yet.
        self._written = 0
        self._delivered = 0
        self._closed = False

    async def wait_readable(self) -> None:
        """Read, unless there is something."""
        if not self._unread and self._incoming is None:
            with _failures():
                try:
                    self._incoming = await self._conn.read(RECEIVE_BYTES) or b""
                except StreamEOF:
                    self._incoming = b""

    def receive_into(self, buffer: memoryview) -> int | None:
        """Return what `wait_readable` has read."""
        if self._unread:
            return self._read_unread(buffer)
        if not self._incoming:
            return None if self._incoming is None else 0
        count = min(len(self._incoming), len(buffer))
        buffer[:count] = self._incoming[:count]
        self._incoming = self._incoming[count:] or None
        return count

    def send_some(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Keep ``buffers`` for `wait_writable`; return what it has not written of them yet."""
        rest = after(buffers, self._written)
        self._outgoing, self._written = rest, 0
        return rest

    async def wait_writable(self) -> None:
        """Write what `send_some` was given."""
        data = b"".join(self._outgoing)
        self._outgoing = []
        with _failures():
            await self._conn.write(data)
        self._written = len(data)
        self._delivered += len(data)

    def delivered_bytes(self) -> int:
        """Return how much was written."""
        return self._delivered

    def undelivered_bytes(self) -> int:
        """Return 0: what is below does not tell."""
        return 0

    def is_reset(self) -> bool:
        """Return False: what is below does not tell."""
        return False

    def shutdown_write(self) -> None:
        """Do nothing: what is below has no half that could be closed by itself."""

    def abort(self) -> None:
        """Close the connection below, in a task of its own: that may have to wait."""
        if not self._closed:
            trio.lowlevel.spawn_system_task(self._close_quietly)

    async def _close_quietly(self) -> None:
        with suppress(Exception):  # task's edge: nobody is left to be told
            await self.close()

    async def close(self) -> None:
        """Close the connection below."""
        if not self._closed:
            self._closed = True
            await self._conn.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port), if it has them."""
        return self._conn.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's addresses."""
        return self._conn.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        """Tell whether the connection is direct or relayed."""
        return self._conn.get_connection_type()
