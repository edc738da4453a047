"""Reading by count from sources of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from libp2p.exceptions import IncompleteReadError, StreamEOF

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.io.abc import Channel, Reader

#: Kept for callers of py-libp2p's signature; every read waits until there is data or the end.
DEFAULT_RETRY_READ_COUNT: Final = 100


async def read_exactly(
    reader: Reader, n: int, retry_count: int = DEFAULT_RETRY_READ_COUNT
) -> bytes:
    """
    Read ``n`` bytes, over as many reads as it takes; ``retry_count`` is ignored.

    :raises IncompleteReadError: if ``reader`` ends first.
    """
    pieces: list[bytes] = []
    missing = n
    while missing:
        try:
            piece = await reader.read(missing)
        except StreamEOF as error:
            raise _incomplete(n, missing) from error
        if not piece:
            raise _incomplete(n, missing)
        pieces.append(piece)
        missing -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _incomplete(wanted: int, missing: int) -> IncompleteReadError:
    got = wanted - missing
    return IncompleteReadError(
        f"{got} of {wanted} bytes came before the end", expected_bytes=wanted, received_bytes=got
    )


async def read_some(channel: Channel, n: int | None) -> bytes:
    """
    Read from a `Channel` the way that py-libp2p's `read` does.

    :return: 1 to ``n`` bytes, or everything up to the end if ``n`` is None or negative; empty at
        the end. With 0 it does not wait.
    """
    if n == 0:
        return b""
    pieces = await channel.receive()
    if n is None or n < 0:
        while more := await channel.receive():
            pieces += more
        return b"".join(pieces)
    data = b"".join(pieces)
    if len(data) > n:
        channel.unread(memoryview(data)[n:])
    return data[:n]


class _Unread(Protocol):
    """The part of `Channel` that takes bytes back."""

    def unread(self, data: Buffer) -> None: ...


def put_back(channel: _Unread, pieces: Sequence[Buffer]) -> None:
    """Put ``pieces`` back unjoined: they are what is read next, in order."""
    for piece in reversed(pieces):
        channel.unread(piece)


def after(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """Return what is left of ``buffers`` after their first ``sent`` bytes."""
    if sent == sum(map(len, buffers)):  # nearly always
        return []
    for index, buffer in enumerate(buffers):
        size = len(buffer)
        if sent < size:
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]]
        sent -= size
    return []
