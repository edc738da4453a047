"""
Chunkers: cut a stream of bytes into the pieces that become a file's leaves (sans-I/O).

The cuts decide the CID, so they depend on the bytes alone, never on how reads had split them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

from libp2p.exceptions import InvalidImportOptions
from libp2p.ipld.block import MAX_CHUNK_BYTES
from libp2p.ipld.content_chunkers import buzhash_chunker, rabin_chunker

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

__all__ = [
    "DEFAULT_CHUNK_BYTES",
    "MAX_CHUNK_BYTES",
    "Chunker",
    "SizeChunker",
    "parse_chunker",
    "register_chunker",
]

#: Kubo's ``size-262144``, which its ``default`` means.
DEFAULT_CHUNK_BYTES: Final = 256 * 1024

#: Pieces below this are gathered by copying: a view costs more memory than they do.
_SMALL_PIECE_BYTES: Final = 4096


class Chunker(Protocol):
    """
    Cuts what it is fed into chunks.

    A chunk may be a view into a buffer that `feed` got: do not change the buffer before.
    """

    def feed(self, buffers: Iterable[Buffer]) -> list[Buffer]:
        """Add the next bytes; return the chunks that are complete."""

    def finish(self) -> list[Buffer]:
        """Return the chunks that are left at the end of the stream; none if nothing is."""


class SizeChunker:
    """Chunks of one size, but for the last. Copies a chunk only if it came in several pieces."""

    def __init__(self, size: int = DEFAULT_CHUNK_BYTES) -> None:
        if not 1 <= size <= MAX_CHUNK_BYTES:
            raise InvalidImportOptions(f"a chunk can have 1 to {MAX_CHUNK_BYTES} bytes, not {size}")
        self.size: Final = size
        self._held: list[Buffer] = []
        self._held_bytes = 0

    def feed(self, buffers: Iterable[Buffer]) -> list[Buffer]:
        chunks: list[Buffer] = []
        for buffer in buffers:
            # Fast path: if reads are as long as chunks, the chunk is the buffer itself.
            if type(buffer) is bytes and len(buffer) == self.size and not self._held:
                chunks.append(buffer)
            else:
                self._cut(memoryview(buffer).cast("B"), chunks)
        return chunks

    def finish(self) -> list[Buffer]:
        return [self._release()] if self._held else []

    def _cut(self, view: memoryview, chunks: list[Buffer]) -> None:
        offset = 0
        if self._held:
            offset = min(self.size - self._held_bytes, len(view))
            self._hold(view[:offset])
            if self._held_bytes == self.size:
                chunks.append(self._release())
        while len(view) - offset >= self.size:
            chunks.append(view[offset : offset + self.size])
            offset += self.size
        self._hold(view[offset:])

    def _hold(self, piece: memoryview) -> None:
        """Keep a piece for later: a view of immutable bytes, else a copy."""
        if not len(piece):
            return
        self._held_bytes += len(piece)
        if len(piece) >= _SMALL_PIECE_BYTES:
            self._held.append(piece if piece.readonly else bytes(piece))
        elif self._held and isinstance(self._held[-1], bytearray):
            self._held[-1] += piece
        else:
            self._held.append(bytearray(piece))

    def _release(self) -> bytes:
        chunk = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        return chunk


# -- by name --------------------------------------------------------------------------------------


def _size_chunker(arguments: str) -> Chunker:
    if not (arguments.isascii() and arguments.isdigit() and len(arguments) < 10):
        raise InvalidImportOptions(
            f"chunker 'size-{arguments}': write size-N, N from 1 to {MAX_CHUNK_BYTES}"
        )
    return SizeChunker(int(arguments))


def _buzhash(arguments: str) -> Chunker:
    if arguments:
        raise InvalidImportOptions(f"chunker 'buzhash-{arguments}': buzhash has no arguments")
    return buzhash_chunker()


_FACTORIES: Final[dict[str, Callable[[str], Chunker]]] = {
    "size": _size_chunker,
    "rabin": rabin_chunker,
    "buzhash": _buzhash,
}


def register_chunker(name: str, factory: Callable[[str], Chunker]) -> None:
    """
    Add a chunker: ``factory`` gets what follows the name and its dash.

    :raises InvalidImportOptions: if the name has a dash or is taken.
    """
    if not name or "-" in name or name in _FACTORIES:
        raise InvalidImportOptions(f"a chunker cannot be named {name!r}")
    _FACTORIES[name] = factory


def parse_chunker(text: str = "") -> Chunker:
    """
    Make the chunker that ``text`` names, such as ``size-262144``; nothing or ``default`` is that.

    :raises InvalidImportOptions: if there is none of that name, or its arguments are wrong.
    """
    if text in ("", "default"):
        return SizeChunker()
    name, dash, arguments = text.partition("-")
    factory = _FACTORIES.get(name)
    if factory is None or (dash and not arguments):
        known = ", ".join(sorted(_FACTORIES))
        raise InvalidImportOptions(f"chunker {text!r} is not known here, known are: {known}")
    return factory(arguments)
