"""
Blocks on any file system that fsspec knows: S3, GCS, Azure, SFTP, … (extra ``fs``).

The layout is that of flatfs (`libp2p.blockstore.layout`), so a folder that was copied to a bucket
is a store there, and the other way round. The file ``SHARDING`` says that a place is a store: it is
looked for before anything else, so a bucket that is missing or refused is an error, and its blocks
are not "not here".
"""

from __future__ import annotations

import os
import posixpath
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from libp2p.blockstore.base import LISTED_AT_ONCE, BlockStore, for_each
from libp2p.blockstore.joined_writes import keyed_blocks
from libp2p.blockstore.layout import SHARDING, SHARDING_FILE, FlatLayout, multihash_of
from libp2p.blockstore.verify import DamagedBlocks, is_empty_block
from libp2p.exceptions import BlockStoreError, InvalidArgument
from libp2p.ipld.cid import CID, RAW_CID_START
from libp2p.utils import arguments
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo
    from libp2p.ipld.cid import CIDInput

#: Calls under way at once, each in a thread of the store's own. At 50 ms for each, 64 of them read
#: 1,280 blocks in a second.
PARALLEL: Final = 64
#: Seconds after which a call is given up. Libraries of clouds try again for some seconds.
CALL_TIMEOUT: Final = 60.0

#: File systems on which a file that is being written can be seen, or stay, in part: a block is
#: written under another name there, and renamed. In a bucket an object appears when it is complete.
_IN_PLACE: Final = frozenset(
    ("file", "local", "sftp", "ssh", "ftp", "smb", "hdfs", "webhdfs", "arrow_hdfs", "dir")
)
_WRITTEN_KEYS: Final = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")

T = TypeVar("T")


class FsspecBlockStore(BlockStore):
    """
    Blocks on a file system of fsspec; every block is hashed when it is read.

    Reads and writes of a list go on in parallel. Any number of processes may use a place at once.
    A block is durable when the file system says that the file is written.

    :param place: a URL such as ``s3://bucket/prefix``, whose package (``s3fs``) has to be
        installed; or a file system of fsspec. Make that without ``asynchronous=True``, and with
        ``use_listings_cache=False``, or it does not see what other processes do.
    :param path: the folder, if ``place`` is a file system.
    :param options: of the file system, if ``place`` is a URL: keys, an endpoint, …
    :param read_only: write nothing, not even ``SHARDING``.
    :param parallel: calls under way at once.
    :param timeout: seconds for each.
    :raises BlockStoreError: in every method, with the error of the file system as its cause.
    :raises ImportError: if fsspec or the package of the file system is missing.
    """

    verifies = True

    def __init__(
        self,
        place: object,
        path: str = "",
        *,
        options: Mapping[str, object] | None = None,
        read_only: bool = False,
        parallel: int = PARALLEL,
        timeout: float = CALL_TIMEOUT,
    ) -> None:
        self._fs, self._root = _file_system(place, path, options or {})
        self._pid = os.getpid()
        arguments.instance(read_only, bool, "read_only")
        self.read_only: Final = read_only
        self._timeout = arguments.seconds(timeout, "timeout")
        self._parallel = arguments.count(parallel, "parallel", least=1)
        self._threads = trio.CapacityLimiter(self._parallel)
        self._opening = trio.Lock()
        self._layout: FlatLayout | None = None
        self._closed = False
        self._damaged = DamagedBlocks(self)

    def __repr__(self) -> str:
        return shown(self, lambda: f"in {self._fs.unstrip_protocol(self._root)!r}")

    async def get_block(self, cid: CIDInput) -> bytes | None:
        cid = CID.of(cid)
        if cid.is_identity:
            return cid.digest
        path = await self._path(cid.multihash)
        data = await self._unless_missing(self._fs.cat_file, path)
        if data == b"" and not is_empty_block(cid.multihash):
            return None  # what a power loss left
        return self._damaged.judged(cid.multihash, data)

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        return await for_each(cids, self.get_block, self._parallel)

    async def has_block(self, cid: CIDInput) -> bool:
        return await self.get_size(cid) is not None

    async def get_size(self, cid: CIDInput) -> int | None:
        cid = CID.of(cid)
        if cid.is_identity:
            return len(cid.digest)
        if cid.multihash in self._damaged:
            return None
        info = await self._unless_missing(self._fs.info, await self._path(cid.multihash))
        return None if info is None else _size(info, cid.multihash)

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        return await for_each(cids, self.get_size, self._parallel)

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        await self.put_blocks([(cid, data)])

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        """Write them in parallel; one that is there is written again, which renews its time."""
        keyed = keyed_blocks(blocks)
        self._check_writable()
        await for_each(keyed, self._put, self._parallel)

    async def delete_block(self, cid: CIDInput) -> None:
        await self.delete_blocks([cid])

    async def delete_blocks(
        self, cids: Sequence[CIDInput], *, older_than: float | None = None
    ) -> list[CIDInput]:
        """
        Remove several blocks; return those that were older.

        No file system of this kind compares and removes in one step: a block that another process
        writes again within that moment is gone.
        """
        self._check_writable()
        limit = inf if older_than is None else older_than

        async def delete(value: CIDInput) -> bool:
            cid = CID.of(value)
            path = await self._path(cid.multihash)
            if limit < inf:
                info = await self._unless_missing(self._fs.info, path)
                if info is not None and (_written(info) or 0.0) >= limit:
                    return False
            await self._unless_missing(self._fs.rm_file, path)
            self._damaged.forget(cid.multihash)
            return True

        gone = await for_each(cids, delete, self._parallel)
        return [cid for cid, is_gone in zip(cids, gone, strict=True) if is_gone]

    def get_all_cids(self) -> list[bytes]:
        """List every block as CIDv1 with raw. It lists all folders before it returns."""
        try:
            if self._layout is None:
                self._layout = FlatLayout(self._root, self._open_sharding())
            infos = [info for folder in self._folders() for info in self._list(folder)]
        except Exception as error:  # task's edge: each file system has errors of its own
            raise self._error(error) from error
        return [RAW_CID_START + multihash for multihash, _, _ in infos]

    async def multihash_batches(self) -> AsyncGenerator[list[bytes], None]:
        async for batch in self.block_infos():
            yield [multihash for multihash, _, _ in batch]

    async def block_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        """Return all blocks, some at a time; folders are listed in parallel."""
        await self._opened()
        folders = await self._call(self._folders)
        for start in range(0, len(folders), self._parallel):
            some = folders[start : start + self._parallel]
            for infos in await for_each(some, partial(self._call, self._list), self._parallel):
                for first in range(0, len(infos), LISTED_AT_ONCE):
                    yield infos[first : first + LISTED_AT_ONCE]

    def damage_of(self, cid: CIDInput) -> str | None:
        multihash = CID.of(cid).multihash
        if self._layout is None or multihash not in self._damaged:
            return None
        return str(self._fs.unstrip_protocol(self._layout.path(multihash)))

    async def close(self) -> None:
        self._closed = True

    # -- files -----------------------------------------------------------------------------------

    async def _put(self, block: tuple[bytes, Buffer]) -> None:
        multihash, data = block
        await self._call(self._write, await self._path(multihash), bytes(data))
        self._damaged.forget(multihash)

    def _write(self, path: str, data: bytes) -> None:
        protocols = (
            (self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol
        )
        if not _IN_PLACE.intersection(protocols):
            self._fs.pipe_file(path, data)
            return
        temporary = posixpath.join(self._root, ".temp", f"temp-{secrets.token_hex(8)}")
        try:
            self._fs.pipe_file(temporary, data)
            try:
                self._fs.mv(temporary, path)
            except FileNotFoundError:
                self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
                self._fs.mv(temporary, path)
        except BaseException:
            if self._fs.exists(temporary):
                self._fs.rm_file(temporary)
            raise

    def _folders(self) -> list[str]:
        return [
            info["name"]
            for info in self._fs.ls(self._root, detail=True)
            if info["type"] == "directory" and not _base_name(info["name"]).startswith(".")
        ]

    def _list(self, folder: str) -> list[BlockInfo]:
        infos: list[BlockInfo] = []
        for info in self._fs.ls(folder, detail=True):
            multihash = multihash_of(_base_name(info["name"]))
            if multihash is not None and multihash not in self._damaged:
                size = _size(info, multihash)
                if size is not None:
                    infos.append((multihash, size, _written(info)))
        return infos

    async def _path(self, multihash: bytes) -> str:
        return (await self._opened()).path(multihash)

    async def _opened(self) -> FlatLayout:
        """Return where blocks are; at the first call, find out that there is a store at all."""
        if self._closed:
            raise BlockStoreError(f"{self!r} is closed")
        self._follow_fork()
        if self._layout is None:
            async with self._opening:
                if self._layout is None:
                    sharding = await self._call(self._open_sharding)
                    self._layout = FlatLayout(self._root, sharding)
        return self._layout

    def _open_sharding(self) -> str:
        path = posixpath.join(self._root, SHARDING_FILE)
        try:
            return str(self._fs.cat_file(path)[:256].decode("ascii", "replace")).strip()
        except FileNotFoundError:
            if self.read_only:
                raise
        self._fs.makedirs(posixpath.join(self._root, ".temp"), exist_ok=True)
        self._fs.pipe_file(path, SHARDING.encode() + b"\n")
        return SHARDING

    def _check_writable(self) -> None:
        if self.read_only:
            raise BlockStoreError(f"{self!r} was opened to be read only")

    def _follow_fork(self) -> None:
        """Make a file system for this process: one with a loop or connections is its parent's."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._fs = type(self._fs)(
                *self._fs.storage_args, **{**self._fs.storage_options, "skip_instance_cache": True}
            )
            self._threads = trio.CapacityLimiter(self._parallel)
            self._opening = trio.Lock()

    async def _unless_missing(self, call: Callable[[str], T], path: str) -> T | None:
        try:
            return await self._call(call, path)
        except BlockStoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    async def _call(self, call: Callable[..., T], *args: object) -> T:
        try:
            with trio.fail_after(self._timeout):
                return await trio.to_thread.run_sync(
                    partial(call, *args), abandon_on_cancel=True, limiter=self._threads
                )
        except trio.TooSlowError as error:
            raise BlockStoreError(f"{self!r} did not answer in {self._timeout:g} s") from error
        except Exception as error:  # task's edge: each file system has errors of its own
            raise self._error(error) from error

    def _error(self, error: Exception) -> BlockStoreError:
        return BlockStoreError(f"{self!r}: {str(error) or type(error).__name__}")


def _file_system(place: object, path: str, options: Mapping[str, object]) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise ImportError("blocks there need fsspec: pip install libp2p[fs]") from error
    if not isinstance(place, str):
        arguments.having(place, ("cat_file", "pipe_file", "info", "ls"), "place", "a file system")
        fs: Any = place
        if getattr(fs, "asynchronous", False):
            raise InvalidArgument("the file system must be made without asynchronous=True")
        return fs, str(fs._strip_protocol(path)).rstrip("/")
    try:
        fs, root = fsspec.core.url_to_fs(place, **{"use_listings_cache": False, **options})
    except ValueError as error:
        raise BlockStoreError(f"{place!r} is no place for blocks: {error}") from error
    return fs, str(root).rstrip("/")


def _base_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _size(info: Mapping[str, Any], multihash: bytes) -> int | None:
    """Return the length of a block's file; None for what is none."""
    if info["type"] != "file" or (not info["size"] and not is_empty_block(multihash)):
        return None
    return int(info["size"])


def _written(info: Mapping[str, Any]) -> float | None:
    """Return when a file was written, which each file system calls by another name."""
    for key in _WRITTEN_KEYS:
        value = info.get(key)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None
