"""Files that commands read and write as a whole: keys and records."""

from __future__ import annotations

from libp2p.ipfs_lite.cli.terminal import DASH, STDIN, STDOUT, unwritable
from libp2p.ipfs_lite.descriptors import SharedDescriptor
from libp2p.ipfs_lite.errors import SourceError
from libp2p.utils.writing import write_all


async def read_small(name: str, most: int, what: str) -> bytes:
    """
    Return what a file has; ``-`` is the standard input.

    :param what: is in it: "key", "record".
    :raises SourceError: if it cannot be read, or has more than ``most`` bytes.
    """
    from libp2p.ipfs_lite.source import FileSource, open_source

    named = FileSource(STDIN, "the standard input") if name == DASH else name
    pieces: list[bytes] = []
    size = 0
    async with open_source(named, 64 * 1024) as source:
        while batch := await source.next_batch():
            pieces += map(bytes, batch)
            size += sum(map(len, batch))
            if size > most:
                raise SourceError(f"{name} is no {what}: it is longer than {most} B")
    return b"".join(pieces)


async def write_bytes(data: bytes) -> None:
    """
    Write bytes to the standard output.

    :raises OutputError: if it cannot be written.
    """
    try:
        await SharedDescriptor(STDOUT).use(lambda number: write_all(number, [data]))
    except OSError as error:
        raise unwritable(error) from error
