"""py-libp2p's chunking functions. Files are imported with `libp2p.ipld.chunker`, which has more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

__all__ = [
    "DEFAULT_CHUNK_SIZE",
    "chunk_bytes",
    "chunk_file",
    "chunk_file_with_progress",
    "chunk_stream",
    "estimate_chunk_count",
    "get_file_size",
]

DEFAULT_CHUNK_SIZE: Final = 256 * 1024


def chunk_bytes(data: bytes, chunk_size: int = DEFAULT_CHUNK_SIZE) -> list[bytes]:
    """Cut bytes into chunks of one size; the last one may be shorter."""
    return [data[at : at + chunk_size] for at in range(0, len(data), chunk_size)]


def chunk_stream(stream: BinaryIO, chunk_size: int = DEFAULT_CHUNK_SIZE) -> Iterator[bytes]:
    """Read chunks from an open file; also from a pipe, whose reads may return less."""
    while chunk := read_chunk(stream, chunk_size):
        yield chunk


def read_chunk(stream: BinaryIO, size: int) -> bytes:
    """Read ``size`` bytes, fewer at the end."""
    chunk = stream.read(size)
    while 0 < len(chunk) < size and (more := stream.read(size - len(chunk))):
        chunk += more
    return chunk


def chunk_file(file_path: str, chunk_size: int = DEFAULT_CHUNK_SIZE) -> Iterator[bytes]:
    """Read a file in chunks."""
    with open(file_path, "rb") as file:
        yield from chunk_stream(file, chunk_size)


def chunk_file_with_progress(
    file_path: str,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    progress_callback: Callable[[int, int, int], None] | None = None,
) -> Iterator[bytes]:
    """Read as `chunk_file`; report after each chunk: bytes so far, bytes in all, chunks."""
    total, done = get_file_size(file_path), 0
    for number, chunk in enumerate(chunk_file(file_path, chunk_size), 1):
        done += len(chunk)
        if progress_callback is not None:
            progress_callback(done, total, number)
        yield chunk


def estimate_chunk_count(file_size: int, chunk_size: int = DEFAULT_CHUNK_SIZE) -> int:
    """
    Return how many chunks a file has.

    :raises ValueError: if the size is negative.
    """
    if file_size < 0:
        raise ValueError(f"a file cannot have {file_size} bytes")
    return -(-file_size // chunk_size)


def get_file_size(file_path: str) -> int:
    return os.path.getsize(file_path)
