"""Symbolic links: where one leads, and one by itself on the disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from libp2p.ipfs_lite.errors import OutputError
from libp2p.ipfs_lite.output import in_thread, make_part
from libp2p.ipfs_lite.safe_names import link_fault
from libp2p.ipld import dag_pb
from libp2p.ipld.codec import DAG_PB
from libp2p.ipld.file_node import unixfs_of
from libp2p.ipld.unixfs import DataType, Mtime

if TYPE_CHECKING:
    from pathlib import Path

    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CID
    from libp2p.ipld.unixfs import UnixFSData


def unixfs_in(cid: CID, block: Buffer) -> UnixFSData | None:
    """Return what a block says of itself; None if it is raw, or no UnixFS."""
    return unixfs_of(dag_pb.decode(block)) if cid.codec_code == DAG_PB else None


def is_link(message: UnixFSData | None) -> bool:
    return message is not None and message.type is DataType.SYMLINK


def target_of(message: UnixFSData | None) -> bytes:
    """Return where a link leads, as it is stored."""
    return b"" if message is None else bytes(message.data or b"")


def target_text_of(message: UnixFSData | None) -> str:
    """Return where a link leads, as a path is written in Python."""
    return target_of(message).decode("utf-8", "surrogateescape")


async def save_link(message: UnixFSData | None, path: Path) -> None:
    """
    Make a link at ``path``, in place of a file or link that is there.

    :raises OutputError: if it may lead out of the folder that it is in, or cannot be made.
    """
    target = target_text_of(message)
    if fault := link_fault(target, 0, unsafe=False):
        raise OutputError(f"{path} is a link to {target!r:.200}, {fault}")
    await in_thread(path, _make_link, path, target, message and message.mtime)


def _make_link(path: Path, target: str, mtime: Mtime | None) -> None:
    def make(part: Path) -> int:
        make_link(part, target, mtime)
        return -1  # a link cannot be locked

    part, _ = make_part(path, make)
    try:
        os.replace(part, path)
    except OSError:
        part.unlink()
        raise


def make_link(path: Path, target: str, mtime: Mtime | None) -> None:
    """Make a link with its own time, where the system has such."""
    path.symlink_to(target)
    if mtime is not None and os.utime in os.supports_follow_symlinks:
        set_time(path, mtime, follow_symlinks=False)


def set_time(path: Path, mtime: Mtime, *, follow_symlinks: bool = True) -> None:
    nanos = mtime.seconds * 10**9 + mtime.nanos
    os.utime(path, ns=(nanos, nanos), follow_symlinks=follow_symlinks)
