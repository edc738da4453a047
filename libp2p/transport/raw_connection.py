"""What raw connections have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from libp2p.abc import IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.exceptions import ConnectionClosedError
from libp2p.io.abc import RawChannel
from libp2p.io.utils import read_some

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: Enough for any handshake message; bulk goes through `receive_into`.
RECEIVE_BYTES: Final = 64 * 1024


def closed_here() -> ConnectionClosedError:
    """Return the error for using a connection that this side has closed."""
    return ConnectionClosedError("the connection was closed by this side")


class RawConnection(RawChannel, IRawConnection):
    """
    The methods of a `RawChannel` that can be made of its other methods.

    They raise `ConnectionClosedError` if this side has closed the connection, and `RawConnError` if
    the connection failed.
    """

    def __init__(self, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self._unread: list[Buffer] = []  # the next to be read is last

    async def receive(self) -> list[Buffer]:
        """Return what is there, waiting for at least a byte; empty at the end."""
        if self._unread:
            put_back, self._unread = self._unread[::-1], []
            return put_back
        count = None
        while count is None:
            await self.wait_readable()
            # Made only now: a peer that sends nothing costs no buffer.
            buffer = memoryview(bytearray(RECEIVE_BYTES))
            count = self.receive_into(buffer)
        return [bytes(buffer[:count])] if count else []

    def unread(self, data: Buffer) -> None:
        """Put ``data`` back: it is what the next read returns."""
        if len(data):
            self._unread.append(data)

    def _read_unread(self, buffer: memoryview) -> int:
        """Read into ``buffer`` what was put back last."""
        put_back = memoryview(self._unread.pop())
        count = min(len(put_back), len(buffer))
        buffer[:count] = put_back[:count]
        self.unread(put_back[count:])
        return count

    async def read(self, n: int | None = None) -> bytes:
        """Return 1 to ``n`` bytes, or with no ``n`` all up to the end; empty at the end."""
        return await read_some(self, n)

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """Write all of ``buffers``. Cancelling leaves the connection in the middle of them."""
        rest = self.send_some(buffers)
        while rest:
            await self.wait_writable()
            rest = self.send_some(rest)

    async def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        await self.send((data,))

    def get_connection_type(self) -> ConnectionType:
        """Return that the connection is direct: raw connections have no relay."""
        return ConnectionType.DIRECT
