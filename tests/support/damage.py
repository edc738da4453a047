"""What a disk, or somebody, can do to the files of a block store."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Final

from libp2p.blockstore.layout import multihash_of
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def block_files(store: Path) -> list[Path]:
    """The files of all blocks in the folder of a `FilesystemBlockStore`, in a fixed order."""
    return sorted(store.glob("[!.]*/*.data"))


def names_of(path: Path) -> set[str]:
    """The CIDs that an error may call the block of a file by."""
    multihash = multihash_of(path.name)
    assert multihash is not None
    names = {CID.decode(b"\x01" + codec + multihash) for codec in (b"\x55", b"\x70")}
    return {*map(str, names), CID.decode(b"\x01\x70" + multihash).to_v0().encode()}


def _flip_a_bit(path: Path, source: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def _zero_a_run(path: Path, source: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = source.randrange(len(data))
    length = source.choice([1, 16, 512, 4096, len(data)])
    run = data[start : start + length]
    data[start : start + length] = bytes(len(run))
    if not any(run):  # they were zeros before
        data[start] = 1
    path.write_bytes(data)


def _shorten(path: Path, source: random.Random) -> None:
    os.truncate(path, source.randrange(path.stat().st_size))


def _lengthen(path: Path, source: random.Random) -> None:
    with path.open("ab") as file:
        file.write(source.randbytes(source.randrange(1, 5000)))


def _swap(path: Path, source: random.Random) -> None:
    others = [other for other in block_files(path.parents[1]) if other != path]
    other, between = source.choice(others), path.with_name("between")
    path.rename(between)
    other.rename(path)
    between.rename(other)


def _copy_over(path: Path, source: random.Random) -> None:
    others = [other for other in block_files(path.parents[1]) if other != path]
    path.write_bytes(source.choice(others).read_bytes())


def _replace_by_a_folder(path: Path, source: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_bytes(b"of somebody")


def _replace_by_a_pipe(path: Path, source: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _replace_by_a_loop(path: Path, source: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGES: Final[dict[str, Callable[[Path, random.Random], None]]] = {
    "a bit": _flip_a_bit,
    "zeros": _zero_a_run,
    "shorter": _shorten,
    "empty": lambda path, _: os.truncate(path, 0),
    "longer": _lengthen,
    "swapped": _swap,
    "another": _copy_over,
    "missing": lambda path, _: path.unlink(),
    "endless": lambda path, _: os.truncate(path, 1 << 42),  # a sparse file
    "a folder": _replace_by_a_folder,
    "a pipe": _replace_by_a_pipe,
    "a loop": _replace_by_a_loop,
}
