"""Running coroutines that never have to wait, without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from libp2p.io.abc import Reader

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

T = TypeVar("T")


def run(coroutine: Coroutine[object, None, T]) -> T:
    """Return what ``coroutine`` returns; it must not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise AssertionError("the coroutine waited")


class PiecewiseReader(Reader):
    """Gives its pieces one by one, and then the end: no bytes, or an error."""

    def __init__(self, pieces: Iterable[bytes], end: Exception | None = None) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._end = end

    async def read(self, n: int | None = None) -> bytes:
        if not self._pieces:
            if self._end is not None:
                raise self._end
            return b""
        if n is None:
            joined = b"".join(self._pieces)
            self._pieces.clear()
            return joined
        piece = self._pieces.pop(0)
        if len(piece) > n:
            self._pieces.insert(0, piece[n:])
        return piece[:n]
