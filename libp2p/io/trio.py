"""py-libp2p's reader and writer over a TCP stream of trio's; the TCP transport does without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from libp2p.exceptions import IOException
from libp2p.io.abc import ReadWriteCloser

if TYPE_CHECKING:
    from trio import SocketStream


class TrioTCPStream(ReadWriteCloser):
    """A `trio.SocketStream` with ``read`` and ``write``."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream: Final = stream

    async def read(self, n: int | None = None) -> bytes:
        """
        Return 1 to ``n`` bytes, with no ``n`` all up to the end; empty at the end.

        :raises IOException: if the connection failed or was closed by this side.
        """
        try:
            if n is not None:
                return bytes(await self.stream.receive_some(n)) if n else b""
            return b"".join([bytes(piece) async for piece in self.stream])
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise IOException(f"the connection cannot be read: {error}") from error

    async def write(self, data: bytes) -> None:
        """
        Write all of ``data``.

        :raises IOException: if the connection failed or was closed by this side.
        """
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise IOException(f"the connection cannot be written: {error}") from error

    async def close(self) -> None:
        """Close it; closing twice is not an error."""
        await self.stream.aclose()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port); None if it is gone."""
        try:
            host, port, *_ = self.stream.socket.getpeername()
        except OSError:
            return None
        return str(host), int(port)
