"""
Where the files of blocks are (blocking calls): Kubo's flatfs layout, and the one of py-libp2p 0.8.

    <base>/SHARDING                               /repo/flatfs/shard/v1/next-to-last/2
    <base>/<shard>/<BASE32(multihash)>.data       shard: the two characters before the last one;
                                                  SHARDING may say prefix or suffix, other lengths
    <base>/.temp/temp-…                           files that are still being written
    <base>/.damaged/<BASE32(multihash)>.data      what was found in place of a block

Stores written by py-libp2p up to 0.8 have ``<base>/<2 characters of the CID's text>/<the rest>``.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final

from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID, InvalidCID

SHARDING_FILE: Final = "SHARDING"
SHARDING: Final = "/repo/flatfs/shard/v1/next-to-last/2"
TEMP_FOLDER: Final = ".temp"
DAMAGED_FOLDER: Final = ".damaged"
SUFFIX: Final = ".data"

_SHARDING_PATTERN: Final = re.compile(
    r"/repo/flatfs/shard/v1/(prefix|suffix|next-to-last)/([1-9][0-9]?)"
)

# The first two characters of CIDv0 and of base58 CIDv1 texts hold a lower-case letter, which no
# flatfs shard has: the two layouts share a folder without meeting.
_OLD_FOLDER: Final = re.compile(r"Qm|z[1-9A-HJ-NP-Za-km-z]")


def file_stem(multihash: bytes) -> str:
    """Return the name of a block's file, without its suffix."""
    return base64.b32encode(multihash).rstrip(b"=").decode()


def multihash_of(file_name: str) -> bytes | None:
    """Return the multihash that a file of a shard folder stands for; None if it is no block."""
    stem = file_name.removesuffix(SUFFIX)
    if stem == file_name:
        return None
    try:
        return base64.b32decode(stem + "=" * (-len(stem) % 8))
    except binascii.Error:
        return None


class FlatLayout:
    """
    The names of files in the flatfs layout.

    :param sharding: what the file ``SHARDING`` holds.
    :raises BlockStoreError: if that is not supported.
    """

    def __init__(self, root: str, sharding: str) -> None:
        match = _SHARDING_PATTERN.fullmatch(sharding)
        if match is None:
            path = os.path.join(root, SHARDING_FILE)
            raise BlockStoreError(f"{path} asks for a sharding that is not supported: {sharding!r}")
        self._root = root
        self._function = match[1]
        self._length = int(match[2])

    def path(self, multihash: bytes) -> str:
        """Return the file of a block."""
        stem = file_stem(multihash)
        return os.path.join(self._root, self._shard_of(stem), stem + SUFFIX)

    def _shard_of(self, stem: str) -> str:
        # As in flatfs: names too short for the function are padded with underscores.
        if self._function == "prefix":
            return stem.ljust(self._length, "_")[: self._length]
        if self._function == "suffix":
            return stem.rjust(self._length, "_")[-self._length :]
        return stem.rjust(self._length + 1, "_")[-self._length - 1 : -1]

    def aside(self, multihash: bytes) -> str:
        """Return where a damaged file of a block is moved."""
        return os.path.join(self._root, DAMAGED_FOLDER, file_stem(multihash) + SUFFIX)

    def multihashes(self) -> Iterator[bytes]:
        """List the blocks of all files, in no particular order."""
        for folder in _folders(self._root):
            if len(os.path.basename(folder)) == self._length:
                for name in os.listdir(folder):
                    if (multihash := multihash_of(name)) is not None:
                        yield multihash


class OldLayout:
    """The files of py-libp2p up to 0.8 in a folder: found, listed and removed, never written."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.exists: bool = any(map(_OLD_FOLDER.fullmatch, os.listdir(root)))
        """True if there may be any; if not, nothing is looked for."""

    def find(self, multihash: bytes) -> str | None:
        """Return the file of a block."""
        return self._files.get(multihash) if self.exists else None

    def forget(self, multihash: bytes) -> str | None:
        """Return the file of a block that is to be found no more."""
        return self._files.pop(multihash, None) if self.exists else None

    def multihashes(self) -> Iterable[bytes]:
        """List the blocks of all files."""
        return list(self._files) if self.exists else []

    @cached_property
    def _files(self) -> dict[bytes, str]:
        """Files by multihash; an index, as the same block may be asked for by another CID."""
        files: dict[bytes, str] = {}
        for folder in _folders(self._root):
            start = os.path.basename(folder)
            if not _OLD_FOLDER.fullmatch(start):
                continue
            for name in os.listdir(folder):
                with contextlib.suppress(InvalidCID):  # left-over .tmp files are no CIDs
                    files[CID.parse(start + name).multihash] = os.path.join(folder, name)
        return files


def _folders(root: str) -> list[str]:
    with os.scandir(root) as entries:
        return [
            entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir()
        ]
