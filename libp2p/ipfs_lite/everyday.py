"""
What one does with files and CIDs every day, over the background peer of a repo.

`libp2p.ipfs_lite.sync` has these functions for plain Python, `libp2p.ipfs_lite.aio` for asyncio. A
``path`` is a CID or what begins with one: ``bafy…``, ``bafy…/folder/file``, ``/ipfs/bafy…``,
``ipfs://bafy…``; also ``/ipns/NAME/…``, which is looked up.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import trio

from libp2p.exceptions import NotAFile
from libp2p.ipfs_lite import background
from libp2p.ipfs_lite.operations import DEFAULT_TIMEOUT
from libp2p.ipfs_lite.output import save
from libp2p.ipfs_lite.source import BATCH_BYTES
from libp2p.ipld.cid import CID
from libp2p.ipns.path import ContentPath

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import Buffer
    from libp2p.ipfs_lite.peer import Peer
    from libp2p.ipfs_lite.reader import UnixFSReader
    from libp2p.ipfs_lite.source import SourceInput
    from libp2p.ipld.cid import CIDInput
    from libp2p.ipld.directory import DirectoryEntry
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo

    Repo: TypeAlias = str | os.PathLike[str] | None
    PathInput: TypeAlias = CIDInput | ContentPath


async def add(
    source: SourceInput | Iterable[Buffer],
    *,
    repo: Repo = None,
    pin: bool = True,
    name: str = "",
    profile: str | None = None,
) -> CID:
    """
    Add a file, or a folder with all below it; return its CID.

    :param source: bytes; a path (any ``str`` is one); an open file or another reader; an iterable
        of bytes, which is asked for as fast as they are stored.
    :param pin: keep it when garbage is collected, under a ``name`` for people.
    :param profile: how it is cut and laid out; see `libp2p.ipld.profiles`.
    :raises SourceError: if the source cannot be read.
    """
    peer = await background.peer(repo)
    if isinstance(source, str | os.PathLike) and await trio.Path(source).is_dir():
        added = await peer.add_tree(source, pin=pin, name=name, profile=profile)
    else:
        given: SourceInput = _Parts(iter(source)) if _is_iterable(source) else source  # type: ignore[assignment, arg-type]
        added = await peer.add_file(given, pin=pin, name=name, profile=profile)
    return added.cid


async def get(
    path: PathInput,
    target: str | os.PathLike[str] | None = None,
    *,
    repo: Repo = None,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> bytes:
    """
    Return the bytes of a file, or write a file or a folder to ``target``; that returns no bytes.

    :param timeout: the longest time without any block; None is without end.
    :raises NotAFile: if it is a folder, and there is no target.
    :raises BitswapError: if a block cannot be had.
    :raises OutputError: if it cannot be written.
    """
    peer = await background.peer(repo)
    cid = await locate(peer, path, timeout)
    try:
        file = await peer.get_file(cid, timeout=timeout)
    except NotAFile:
        if target is None:
            raise
        await peer.get_tree(cid, target, timeout=timeout)
        return b""
    async with file:
        if target is None:
            return await file.read()
        await save(file, target)
        return b""


async def cat(
    path: PathInput,
    offset: int = 0,
    length: int | None = None,
    *,
    repo: Repo = None,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> bytes:
    """
    Return the bytes of a file, or ``length`` of them from ``offset`` on: only these are fetched.

    :raises NotAFile: if it is a folder.
    :raises BitswapError: if a block cannot be had.
    """
    async with await open(path, repo=repo, timeout=timeout) as file:
        return await file.read_at(offset, file.size if length is None else length)


async def open(
    path: PathInput, *, repo: Repo = None, timeout: float | None = DEFAULT_TIMEOUT
) -> UnixFSReader:
    """
    Open a file for reading and seeking; what is not here is fetched while it is read.

    :raises NotAFile: if it is a folder.
    :raises BitswapError: if its first block cannot be had.
    """
    peer = await background.peer(repo)
    return await peer.get_file(await locate(peer, path, timeout), timeout=timeout)


async def ls(
    path: PathInput, *, repo: Repo = None, timeout: float | None = DEFAULT_TIMEOUT
) -> list[DirectoryEntry]:
    """
    Return the entries of a folder: names, CIDs and sizes.

    :raises NotADirectory: if it is none.
    :raises BitswapError: if a block cannot be had.
    """
    peer = await background.peer(repo)
    cid = await locate(peer, path, timeout)
    return [entry async for entry in peer.ls(cid, timeout=timeout)]


async def pin(
    path: PathInput,
    *,
    name: str = "",
    repo: Repo = None,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> CID:
    """
    Have all of something here and keep it when garbage is collected; return its CID.

    :raises BitswapError: if a block cannot be had; then nothing is pinned.
    """
    peer = await background.peer(repo)
    cid = await locate(peer, path, timeout)
    await peer.pins.add(cid, name=name, timeout=timeout)
    return cid


async def unpin(path: PathInput, *, repo: Repo = None) -> None:
    """
    No longer keep something when garbage is collected.

    :raises NotPinnedError: if it is not pinned itself.
    """
    peer = await background.peer(repo)
    await peer.pins.rm(await locate(peer, path, DEFAULT_TIMEOUT))


async def connect(address: str | Multiaddr | PeerInfo | ID, *, repo: Repo = None) -> ID:
    """
    Be connected to a peer; then each can fetch what the other has.

    :param address: what ends in ``/p2p/<peer id>``, or a peer id that the routers know.
    :raises ConnectionFailure: naming each address tried and why it failed.
    """
    return await (await background.peer(repo)).connect(address)


async def addresses(*, repo: Repo = None) -> list[str]:
    """Return the addresses to give to others; none if the peer was not started with ``listen``."""
    return list(map(str, (await background.peer(repo)).addrs))


async def locate(peer: Peer, path: PathInput, timeout: float | None) -> CID:
    """
    Return the CID of what is at a path.

    :raises InvalidPath: if it is no path; it is a `ValueError`, as `InvalidCID` is.
    :raises NameNotInDirectory: if nothing is there.
    """
    if not isinstance(path, str | ContentPath):
        return CID.of(path)
    found = ContentPath.of(path)
    if found.is_mutable:
        found = (await peer.names.resolve(found)).path
    return await peer.resolve(found.cid, found.rest, timeout=timeout) if found.rest else found.cid


def _is_iterable(source: object) -> bool:
    """Tell whether this is an iterable of bytes, and nothing that `Peer.add_file` takes itself."""
    known = (str, os.PathLike, bytes, bytearray, memoryview, AsyncIterable)
    is_other = isinstance(source, Iterable) and not isinstance(source, known)
    return is_other and not hasattr(source, "read") and not hasattr(source, "__array_interface__")


class _Parts:
    """What an iterable of bytes yields, asked for in a thread."""

    size: int | None = None

    def __init__(self, parts: Iterator[Buffer]) -> None:
        self._parts = parts

    async def next_batch(self) -> list[Buffer]:
        return await trio.to_thread.run_sync(self._take)

    def _take(self) -> list[Buffer]:
        batch: list[Buffer] = []
        size = 0
        for part in self._parts:
            if len(part):
                batch.append(part)
                size += len(part)
            if size >= BATCH_BYTES:
                break
        return batch
