"""py-libp2p's reader and writer over a TCP stream of trio's; the TCP transport does without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from libp2p.exceptions import ConnectionClosedError
from libp2p.io.abc import ReadWriteCloser

if TYPE_CHECKING:
    from trio import SocketStream


class TrioTCPStream(ReadWriteCloser):
    """A `trio.SocketStream` with ``read`` and ``write``."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream: Final = stream
        self.write_lock: Final = trio.Lock()

    async def read(self, n: int | None = None) -> bytes:
        """
        Return 1 to ``n`` bytes, with no ``n`` what there is; empty at either side's end.

        :raises ConnectionClosedError: if the connection failed.
        """
        try:
            return b"" if n == 0 else bytes(await self.stream.receive_some(n))
        except trio.ClosedResourceError:
            return b""
        except trio.BrokenResourceError as error:
            raise _lost("read", error) from error

    async def write(self, data: bytes) -> None:
        """
        Write all of ``data``; one task at a time.

        :raises ConnectionClosedError: if the connection failed or was closed by this side.
        """
        try:
            async with self.write_lock:
                await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _lost("written", error) from error

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


def _lost(what: str, error: Exception) -> ConnectionClosedError:
    return ConnectionClosedError(f"the connection cannot be {what}: {error}", transport="tcp")
