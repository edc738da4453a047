"""
One tree of paths for programs that know file systems: what has a CID, and the peer's mutable files.

A path that begins with a CID, ``bafy…/folder/file``, never changes and is fetched if need be. Any
other one is a path of `Peer.files`. `libp2p.fs` shows it to fsspec; this runs in trio's thread.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from libp2p.exceptions import (
    ConnectionFailure,
    InvalidCID,
    InvalidPath,
    NameNotInDirectory,
    NotADirectory,
    NotAFile,
    PathExists,
)
from libp2p.ipfs_lite import background
from libp2p.ipfs_lite.everyday import locate
from libp2p.ipfs_lite.output import save
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import RAW
from libp2p.ipns.path import IPFS, ContentPath

if TYPE_CHECKING:
    from libp2p.ipfs_lite.adder import Progress
    from libp2p.ipfs_lite.files import FileStat
    from libp2p.ipfs_lite.peer import Peer
    from libp2p.ipfs_lite.source import SourceInput
    from libp2p.ipld.directory import DirectoryEntry

#: Entries of a folder whose first blocks are asked for at once.
ENTRIES_AT_ONCE: Final = 32
#: Parts of one file that are read at once; each holds what it reads.
PARTS_AT_ONCE: Final = 16


#: Held while the tree is changed. fsspec makes many changes at once, and each would begin anew when
#: another one replaces the root.
_changing: Final[trio.lowlevel.RunVar[trio.Lock]] = trio.lowlevel.RunVar("changing")


class Found(NamedTuple):
    """What is at a path."""

    path: str
    cid: CID
    size: int
    """Bytes of a file; 0 for a folder."""
    is_directory: bool
    mtime: float | None = None
    """Unix seconds."""


@dataclass(frozen=True)
class Namespace:
    """
    The paths of one peer.

    :param repo: of the background peer; None for the default one.
    :param scheme: "ipfs", or "ipns" for paths that begin with a name.
    :param peers: addresses of peers to stay connected to.
    :param timeout: the longest time without any block; None is without end.
    :raises FileNotFoundError: and its kin by all methods, in place of the library's own errors.
    """

    repo: str | None = None
    scheme: str = IPFS
    peers: tuple[str, ...] = ()
    timeout: float | None = 30.0

    async def peer(self) -> Peer:
        """Return the background peer, connected to `peers` as far as they can be reached."""
        peer = await background.peer(self.repo)
        missing = [address for address in self.peers if peer.online]
        if missing:
            known = set(peer.peering.peers())
            missing = [one for one in missing if peer.peering.add(one) not in known]
        async with trio.open_nursery() as nursery:
            for address in missing:
                nursery.start_soon(_connect, peer, address)
        return peer

    def is_fixed(self, path: str) -> bool:
        """Tell whether what is at a path has a CID or a name of IPNS, and cannot be written."""
        if self.scheme != IPFS:
            return True
        try:
            CID.parse(path.partition("/")[0])
        except InvalidCID:
            return False
        return True

    # -- reading ------------------------------------------------------------------------------

    async def cid(self, path: str) -> CID:
        """Return the CID of what is at a path."""
        with _as_os_errors(path):
            return await self._cid(await self.peer(), path)

    async def info(self, path: str) -> Found:
        """Say what is at a path."""
        with _as_os_errors(path):
            peer = await self.peer()
            if not self.is_fixed(path):
                return _found(path, await peer.files.stat(f"/{path}"))
            return _found(path, await peer.files.stat_of(await self._cid(peer, path)))

    async def ls(self, path: str) -> list[Found]:
        """Return what is in a folder; of a file, itself."""
        with _as_os_errors(path):
            peer = await self.peer()
            cid = await self._cid(peer, path)
            try:
                entries = [entry async for entry in peer.ls(cid, timeout=self.timeout)]
            except NotADirectory:
                return [_found(path, await peer.files.stat_of(cid))]
            return await self._look_at(peer, path, entries)

    async def names(self, path: str) -> list[str]:
        """Return the paths in a folder; of a file, its own. Nothing of them is read."""
        with _as_os_errors(path):
            peer = await self.peer()
            cid = await self._cid(peer, path)
            try:
                names = [entry.name async for entry in peer.ls(cid, timeout=self.timeout)]
            except NotADirectory:
                return [path]
            return [posixpath.join(path, name) for name in names]

    async def _look_at(
        self, peer: Peer, path: str, entries: Sequence[DirectoryEntry]
    ) -> list[Found]:
        limit = trio.CapacityLimiter(ENTRIES_AT_ONCE)
        found: dict[str, Found] = {}

        async def look(entry: DirectoryEntry) -> None:
            where = posixpath.join(path, entry.name)
            if entry.cid.codec_code == RAW:  # a file of one block, whose size the folder says
                found[entry.name] = Found(where, entry.cid, entry.dag_size, False)
                return
            async with limit:
                found[entry.name] = _found(where, await peer.files.stat_of(entry.cid))

        async with trio.open_nursery() as nursery:
            for entry in entries:
                nursery.start_soon(look, entry)
        return [found[entry.name] for entry in entries]

    async def read(self, path: str, parts: Sequence[tuple[int | None, int | None]]) -> list[bytes]:
        """Return parts of a file, each from a place to another; both count as in a slice."""
        with _as_os_errors(path):
            peer = await self.peer()
            cid = await self._cid(peer, path)
            limit = trio.CapacityLimiter(PARTS_AT_ONCE)
            data = [b""] * len(parts)
            async with await peer.get_file(cid, timeout=self.timeout) as file:

                async def read(number: int, start: int, end: int) -> None:
                    async with limit:
                        data[number] = await file.read_at(start, max(end - start, 0))

                async with trio.open_nursery() as nursery:
                    for number, (first, last) in enumerate(parts):
                        start, end, _ = slice(first, last).indices(file.size)
                        nursery.start_soon(read, number, start, end)
            return data

    async def save(self, path: str, target: str, progress: Progress | None = None) -> None:
        """Write a file to a place of the local file system."""
        with _as_os_errors(path):
            peer = await self.peer()
            cid = await self._cid(peer, path)
            async with await peer.get_file(cid, timeout=self.timeout) as file:
                await save(file, target, progress)

    async def _cid(self, peer: Peer, path: str) -> CID:
        if self.is_fixed(path):
            return await locate(peer, ContentPath.parse(f"/{self.scheme}/{path}"), self.timeout)
        if not path:
            return await peer.files.root()  # which stores it, if nothing was ever changed
        return (await peer.files.stat(f"/{path}")).cid

    # -- changing -----------------------------------------------------------------------------

    async def add(self, source: SourceInput, progress: Progress | None = None) -> CID:
        """Add a file that nothing refers to yet: hold a lease of the peer until `link`."""
        peer = await self.peer()
        return (await peer.add_file(source, pin=False, progress=progress)).cid

    async def link(self, path: str, cid: CID, *, replaces: bool = True) -> None:
        """
        Put what has a CID at a path of the mutable tree, and make the folders above.

        :param replaces: take the place of a file that is there.
        """
        with _as_os_errors(path):
            async with self._changing(path) as peer:
                await peer.files.cp(cid, f"/{path}", parents=True, force=replaces)

    async def mkdir(self, path: str, *, parents: bool, exist_ok: bool) -> None:
        """Make a folder."""
        with _as_os_errors(path):
            async with self._changing(path) as peer:
                try:
                    await peer.files.mkdir(f"/{path}", parents=parents and exist_ok)
                except NameNotInDirectory:
                    if not parents:
                        raise
                    await peer.files.mkdir(f"/{path}", parents=True)

    async def remove(self, path: str, *, recursive: bool) -> None:
        """Remove a file, or a folder with all below it."""
        with _as_os_errors(path):
            async with self._changing(path) as peer:
                await peer.files.rm(f"/{path}", recursive=recursive)

    async def remove_empty(self, path: str) -> None:
        """Remove a folder in which nothing is."""
        with _as_os_errors(path):
            async with self._changing(path) as peer:
                if await peer.files.names(f"/{path}"):
                    raise OSError(f"{path} is not empty")
                await peer.files.rm(f"/{path}", recursive=True)

    async def move(self, path: str, target: str) -> None:
        """Move what is in the mutable tree."""
        with _as_os_errors(path):
            async with self._changing(path, target) as peer:
                await peer.files.mv(f"/{path}", f"/{target}")

    @contextlib.asynccontextmanager
    async def _changing(self, *paths: str) -> AsyncIterator[Peer]:
        for path in paths:
            self.check_writable(path)
        peer = await self.peer()
        try:
            lock = _changing.get()
        except LookupError:
            lock = trio.Lock()
            _changing.set(lock)
        async with lock:
            yield peer

    def check_writable(self, path: str) -> None:
        """:raises PermissionError: if there is nothing that can be changed."""
        if self.is_fixed(path):
            raise PermissionError(f"{path} cannot be written: what has a CID does not change")


async def _connect(peer: Peer, address: str) -> None:
    with contextlib.suppress(ConnectionFailure):  # it is tried again, and others may be there
        await peer.connect(address)


def _found(path: str, stat: FileStat) -> Found:
    mtime = None if stat.mtime is None else float(stat.mtime.seconds)
    return Found(path, stat.cid, stat.size, stat.kind == "directory", mtime)


@contextlib.contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    """Raise what file systems raise, as programs that use them expect."""
    try:
        yield
    except (NameNotInDirectory, InvalidPath) as error:
        raise FileNotFoundError(f"{path}: {error}") from error
    except NotADirectory as error:
        raise NotADirectoryError(f"{path}: {error}") from error
    except NotAFile as error:
        raise IsADirectoryError(f"{path}: {error}") from error
    except PathExists:
        raise FileExistsError(path) from None
