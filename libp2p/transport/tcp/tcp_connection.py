"""
A TCP connection: one reader, one writer, gathered writes.

The socket is a plain non-blocking one, and trio only waits for it. So a write that the kernel takes
at once costs no task switch, and a read costs one wait.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio
from multiaddr import Multiaddr

from libp2p.exceptions import ConnectionClosedError, RawConnectionLost
from libp2p.io.utils import after
from libp2p.peer.addresses import tcp_address
from libp2p.transport.raw_connection import RECEIVE_BYTES, RawConnection, closed_here

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: Linux takes at most 1,024 buffers in one call (IOV_MAX).
MAX_GATHER: Final = 1024

#: Reads that drop unread data when a socket is closed: a peer may have more than a megabyte on the
#: way only if it ignores the connection's windows.
MAX_DROPPED_READS: Final = 16

_CAN_GATHER: Final = hasattr(socket.socket, "sendmsg")  # not on Windows


if sys.platform == "linux":
    from fcntl import ioctl
    from termios import TIOCOUTQ

    def _unacknowledged(sock: socket.socket) -> int:
        """Return how many bytes the peer has not acknowledged; OSError if it is not known."""
        return int.from_bytes(ioctl(sock, TIOCOUTQ, bytes(4)), sys.byteorder)

else:

    def _unacknowledged(_: socket.socket) -> int:
        return 0


def multiaddr_of(address: tuple[str, int]) -> Multiaddr:
    """Return the multiaddr of a socket address; a link-local one has its zone."""
    host, _, zone = address[0].partition("%")
    without_zone = tcp_address(host, address[1])
    return Multiaddr(f"/ip6zone/{zone}{without_zone}") if zone else without_zone


class TcpConnection(RawConnection):
    """A connected TCP socket; takes over ``sock``, which must be non-blocking."""

    def __init__(self, sock: socket.socket, is_initiator: bool) -> None:
        super().__init__(is_initiator)
        self._sock = sock
        # The last read filled its buffer: the kernel probably has more.
        self._more_expected = False
        self._closed = False
        self._reset = False
        self._sent_bytes = 0
        self._remote: tuple[str, int] | None = None
        with suppress(OSError):  # the peer is gone already
            self._remote = sock.getpeername()[:2]
        # Made at the first use: making one takes long, and it is used often.
        self._remote_multiaddr: Multiaddr | None = None

    # -- reading ------------------------------------------------------------------------------

    async def wait_readable(self) -> None:
        """
        Wait until `receive_into` would read something, or the end.

        :raises ConnectionClosedError: if this side has closed the connection.
        """
        if self._unread:
            return
        if self._closed:
            raise closed_here()
        if self._more_expected:
            await trio.lowlevel.checkpoint()
            return
        try:
            await trio.lowlevel.wait_readable(self._sock)
        except trio.ClosedResourceError:
            raise closed_here() from None

    def receive_into(self, buffer: memoryview) -> int | None:
        """
        Read into ``buffer``; return the number of bytes, 0 at the end, None for nothing yet.

        :raises ConnectionClosedError: if this side has closed the connection.
        :raises RawConnError: if the connection failed.
        """
        if self._unread:
            return self._read_unread(buffer)
        try:
            count = self._sock.recv_into(buffer)
        except BlockingIOError:
            self._more_expected = False
            return None
        except OSError as error:
            raise self._failed(error) from error
        self._more_expected = count == len(buffer)
        return count

    # -- writing ------------------------------------------------------------------------------

    def send_some(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Send what the kernel takes without waiting; return the unsent rest."""
        rest = list(buffers)
        while rest:
            batch = rest[:MAX_GATHER]
            try:
                sent = self._sock.sendmsg(batch) if _CAN_GATHER else self._sock.send(rest[0])
            except BlockingIOError:
                break
            except OSError as error:
                raise self._failed(error) from error
            self._sent_bytes += sent
            rest = after(rest, sent)
        return rest

    def delivered_bytes(self) -> int:
        """Return how many of the bytes written the peer has acknowledged, if the system tells."""
        return self._sent_bytes - self.undelivered_bytes()

    def undelivered_bytes(self) -> int:
        """Return how many of them the peer has not acknowledged; 0 if the system does not tell."""
        try:
            return min(_unacknowledged(self._sock), self._sent_bytes)  # the end counts for a byte
        except (OSError, ValueError):  # closed
            return 0

    def is_reset(self) -> bool:
        """
        Tell if the peer has reset the connection: bytes that it has not acknowledged are lost.

        If the peer had sent its end before, reading shows that end and not the reset.
        """
        if not self._closed:
            self._reset = self._reset or bool(
                self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            )
        return self._reset

    async def wait_writable(self) -> None:
        """Wait until `send_some` would send something."""
        if self._closed:
            raise closed_here()
        try:
            await trio.lowlevel.wait_writable(self._sock)
        except trio.ClosedResourceError:
            raise closed_here() from None

    # -- end ----------------------------------------------------------------------------------

    def shutdown_write(self) -> None:
        """Send FIN after what was written; reading goes on."""
        if not self._closed:
            with suppress(OSError):  # the peer was faster
                self._sock.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Close at once, without waiting for anything."""
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    async def close(self) -> None:
        """
        Close; what the kernel has taken is still delivered.

        Received data that was not read is dropped first: otherwise the kernel would reset the
        connection, and the peer could lose bytes that it has not read yet.
        """
        self.shutdown_write()
        with suppress(OSError):  # there is no more, or the peer is gone
            for _ in range(MAX_DROPPED_READS):
                if not self._sock.recv(RECEIVE_BYTES):
                    break
        self.abort()

    def _failed(self, error: OSError) -> ConnectionClosedError:
        if self._closed:
            return closed_here()
        self._reset = True
        reason = f"the connection to {self._remote} failed: {error.strerror or error}"
        return RawConnectionLost(reason, transport="tcp")

    # -- addresses ----------------------------------------------------------------------------

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port); None if the peer was gone when the connection began."""
        return self._remote

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's address as a multiaddr."""
        if self._remote is None:
            return []
        if self._remote_multiaddr is None:
            self._remote_multiaddr = multiaddr_of(self._remote)
        return [self._remote_multiaddr]
