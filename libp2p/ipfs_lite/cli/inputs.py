"""What commands read: files that are named, or the standard input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.ipfs_lite.cli.terminal import DASH, STDIN, STDIN_NAME
from libp2p.ipfs_lite.errors import SourceError

if TYPE_CHECKING:
    from libp2p.ipfs_lite.source import FileSource


def source_of(path: str) -> str | FileSource:
    """Return what a command reads where a path is named; ``-`` is the standard input."""
    from libp2p.ipfs_lite.source import FileSource

    return FileSource(STDIN, STDIN_NAME) if path == DASH else path


async def read_small(name: str, most: int, what: str) -> bytes:
    """
    Return the content of a file; ``-`` is the standard input.

    :param what: the word for the content in an error: "key", "record".
    :raises SourceError: if the file cannot be read, or has more than ``most`` bytes.
    """
    from libp2p.ipfs_lite.source import open_source

    pieces: list[bytes] = []
    size = 0
    async with open_source(source_of(name), 64 * 1024) as source:
        while batch := await source.next_batch():
            pieces += map(bytes, batch)
            size += sum(map(len, batch))
            if size > most:
                raise SourceError(f"{name} is no {what}: it is longer than {most} B")
    return b"".join(pieces)
