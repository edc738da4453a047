"""
``ipfs://`` and ``ipns://`` for fsspec: for pandas, pyarrow, zarr, dask, duckdb (extra ``fs``).

``pandas.read_csv("ipfs://bafy…/table.csv")`` is all that there is to it.

The files come from the background peer of this process; no daemon and no gateway is asked. What
begins with a CID is read only. Other paths, ``ipfs://folder/file``, are the peer's mutable tree
(`Peer.files`): what is written there is added, and has a CID, which ``fs.cid(path)`` and a
transaction tell.
"""

from __future__ import annotations

import io
import os
import posixpath
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from libp2p.bridge.remote import bridge
from libp2p.ipfs_lite import sync
from libp2p.ipfs_lite.file_object import FileObject
from libp2p.ipfs_lite.namespace import Namespace

try:
    import fsspec
    from fsspec.asyn import AsyncFileSystem, get_loop
    from fsspec.asyn import sync as in_loop
    from fsspec.callbacks import DEFAULT_CALLBACK
    from fsspec.transaction import Transaction
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError('ipfs:// needs fsspec: pip install "libp2p[fs]"') from error

if TYPE_CHECKING:
    from libp2p.ipfs_lite.namespace import Found
    from libp2p.ipld.cid import CID

__all__ = ["IPFSFile", "IPFSFileSystem", "IPNSFileSystem", "IPFSTransaction", "register"]

#: Bytes of a file that is written which are kept in memory; more go to a temporary file.
SPOOLED_BYTES: Final = 8 * 1024 * 1024


def register() -> None:
    """Have fsspec use this for ``ipfs://`` and ``ipns://``, whatever else has them by now."""
    for kind in (IPFSFileSystem, IPNSFileSystem):
        fsspec.register_implementation(kind.protocol, kind, clobber=True)


class IPFSTransaction(Transaction):  # type: ignore[misc]
    """
    Files that appear together, when the block ends without an error.

    Blocks are stored as they are written, so what remains to be done is short. After the block
    ``cids`` has the CID of each path, and ``cid`` that of the file, or of the folder of them all.
    """

    def __init__(self, fs: IPFSFileSystem, **kwargs: Any) -> None:
        super().__init__(fs, **kwargs)
        self.cids: dict[str, str] = {}
        self.cid: str | None = None

    def start(self) -> None:
        """Begin; garbage collection leaves alone what is written from now on."""
        self._lease = sync.peer(self.fs.namespace.repo).lease()
        self._lease.__enter__()
        super().start()

    def complete(self, commit: bool = True) -> None:
        """Let the files appear, or forget them."""
        fs, files = self.fs, list(self.files)
        try:
            super().complete(commit)
        finally:
            self._lease.__exit__(None, None, None)
        if commit and files:
            self.cids = {file.path: fs.cid(file.path) for file in files}
            paths = list(self.cids)
            top = paths[0] if len(paths) == 1 else posixpath.commonpath(paths)
            self.cid = fs.cid(top)


class IPFSFileSystem(AsyncFileSystem):  # type: ignore[misc]
    """
    ``ipfs://`` for fsspec.

    :param repo: the folder of the repo; by default the one of the command line.
    :param peers: addresses of peers to stay connected to.
    :param timeout: seconds without any block after which a read fails; None is without end.
    """

    protocol = "ipfs"
    root_marker = ""
    transaction_type = IPFSTransaction

    def __init__(
        self,
        repo: str | os.PathLike[str] | None = None,
        peers: Iterable[str] = (),
        timeout: float | None = 30.0,
        **options: Any,
    ) -> None:
        super().__init__(repo, peers, timeout, **options)
        folder = None if repo is None else os.fspath(repo)
        self.namespace: Final = Namespace(folder, self.protocol, tuple(peers), timeout)

    @property
    def fsid(self) -> str:
        """What is the same for file systems with the same files."""
        return f"{self.protocol}:{self.namespace.repo or ''}"

    @property
    def loop(self) -> Any:
        # In a forked process fsspec has another loop, and the background peer is another one too.
        if self._pid != os.getpid():
            self._pid: int = os.getpid()
            self._loop = None if self.asynchronous else get_loop()
        return self._loop

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = os.fspath(path)
        for start in (f"{cls.protocol}://", f"/{cls.protocol}/"):
            if text.startswith(start):
                text = text.removeprefix(start)
                break
        return text.strip("/")

    def cid(self, path: str) -> str:
        """Return the CID of what is at a path."""
        found: str = in_loop(self.loop, self._cid, path)
        return found

    async def _cid(self, path: str) -> str:
        return str(await bridge(self.namespace.cid)(self._strip_protocol(path)))

    # -- reading ------------------------------------------------------------------------------

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return _info_of(await bridge(self.namespace.info)(self._strip_protocol(path)))

    async def _ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        where = self._strip_protocol(path)
        if not detail:
            return list(await bridge(self.namespace.names)(where))
        return [_info_of(one) for one in await bridge(self.namespace.ls)(where)]

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        [data] = await bridge(self.namespace.read)(self._strip_protocol(path), [(start, end)])
        return data

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Read parts of files, those of one file together: it is opened once."""
        if not isinstance(paths, list):
            raise TypeError("paths is a list")
        first, last = (
            list(one) if hasattr(one, "__iter__") else [one] * len(paths) for one in (starts, ends)
        )
        if not len(first) == len(last) == len(paths):
            raise ValueError("paths, starts and ends have different lengths")
        numbers: dict[str, list[int]] = {}
        for number, path in enumerate(paths):
            numbers.setdefault(self._strip_protocol(path), []).append(number)
        out: list[Any] = [None] * len(paths)

        async def read(path: str, those: list[int]) -> None:
            parts = [(first[number], last[number]) for number in those]
            try:
                found: Sequence[Any] = await bridge(self.namespace.read)(path, parts)
            except Exception as error:  # task's edge: the caller gets it in its place
                if on_error != "return":
                    raise
                found = [error] * len(those)
            for number, data in zip(those, found, strict=True):
                out[number] = data

        await _each([partial(read, path, those) for path, those in numbers.items()])
        return out

    async def _get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, **kwargs: Any
    ) -> None:
        where = self._strip_protocol(rpath)
        if await self._isdir(where):
            os.makedirs(lpath, exist_ok=True)
        elif hasattr(lpath, "write"):
            lpath.write(await self._cat_file(where))
        else:
            await bridge(self.namespace.save)(where, os.fspath(lpath), _progress_of(callback))

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: Any = None,
        **kwargs: Any,
    ) -> Any:
        if mode == "rb":
            return IPFSFile(self, path)
        return _WrittenFile(self, path, mode, autocommit)

    def ukey(self, path: str) -> str:
        """Return what changes when the content does: its CID."""
        return self.cid(path)

    checksum = ukey

    def modified(self, path: str) -> Any:
        """Return the time of the last change, if the file has one."""
        from datetime import UTC, datetime

        mtime = self.info(path)["mtime"]
        if mtime is None:
            raise FileNotFoundError(f"{path} has no time")
        return datetime.fromtimestamp(mtime, UTC)

    # -- writing ------------------------------------------------------------------------------

    async def _pipe_file(
        self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any
    ) -> None:
        await self._write(path, value, mode)

    async def _put_file(
        self,
        lpath: Any,
        rpath: str,
        mode: str = "overwrite",
        callback: Any = DEFAULT_CALLBACK,
        **kwargs: Any,
    ) -> None:
        if os.path.isdir(lpath):  # noqa: ASYNC240 - fsspec's own loop, as its local files
            await self._makedirs(rpath, exist_ok=True)
        else:
            await self._write(rpath, lpath, mode, callback)

    async def _write(
        self, path: str, source: Any, mode: str, callback: Any = DEFAULT_CALLBACK
    ) -> None:
        where, replaces = self._strip_protocol(path), mode != "create"
        if not replaces and await self._exists(where):
            raise FileExistsError(where)
        if self._intrans:
            cid = await bridge(self.namespace.add)(source, _progress_of(callback))
            self.transaction.files.append(_AddedFile(self, where, cid, replaces))
            return
        await bridge(_add_and_link)(self.namespace, where, source, replaces, _progress_of(callback))

    async def _cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if await self._isdir(source):
            await self._makedirs(target, exist_ok=True)
        else:
            await bridge(self.namespace.link)(target, await bridge(self.namespace.cid)(source))

    async def _mv_file(self, path1: str, path2: str) -> None:
        await bridge(self.namespace.move)(self._strip_protocol(path1), self._strip_protocol(path2))

    async def _rm_file(self, path: str, **kwargs: Any) -> None:
        await bridge(self.namespace.remove)(self._strip_protocol(path), recursive=False)

    async def _rm(
        self,
        path: Any,
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        found = await self._expand_path(path, recursive=recursive, maxdepth=maxdepth)
        tops = [one for one in found if not any(one.startswith(f"{other}/") for other in found)]
        for one in tops if recursive and maxdepth is None else reversed(found):
            is_whole = recursive and maxdepth is None
            await bridge(self.namespace.remove)(one, recursive=is_whole)

    async def _mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        where = self._strip_protocol(path)
        await bridge(self.namespace.mkdir)(where, parents=create_parents, exist_ok=False)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        where = self._strip_protocol(path)
        if where:
            await bridge(self.namespace.mkdir)(where, parents=True, exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        """Remove a folder in which nothing is."""
        in_loop(self.loop, bridge(self.namespace.remove_empty), self._strip_protocol(path))


class IPNSFileSystem(IPFSFileSystem):
    """``ipns://`` for fsspec: paths that begin with a name, which is looked up. Read only."""

    protocol = "ipns"


class IPFSFile(FileObject):
    """A file of `IPFSFileSystem`, open for reading; it can be pickled."""

    mode = "rb"

    def __init__(self, fs: IPFSFileSystem, path: str) -> None:
        self.fs = fs
        self.path = path
        super().__init__(_reader(fs.namespace, path))

    @property
    def full_name(self) -> str:
        """The path with its protocol."""
        name: str = self.fs.unstrip_protocol(self.path)
        return name

    def __reduce__(self) -> Any:
        return _opened_at, (self.fs, self.path, self.tell())


def _opened_at(fs: IPFSFileSystem, path: str, place: int) -> IPFSFile:
    file = IPFSFile(fs, path)
    file.seek(place)
    return file


class _AddedFile:
    """A file of a transaction: it is stored, and not yet at its path."""

    def __init__(self, fs: IPFSFileSystem, path: str, cid: CID, replaces: bool) -> None:
        self.path = path
        self._commit = partial(
            in_loop, fs.loop, bridge(fs.namespace.link), path, cid, replaces=replaces
        )

    def commit(self) -> None:
        """Put it at its path."""
        self._commit()

    def discard(self) -> None:
        """Forget it; garbage collection removes it."""


class _WrittenFile(io.BufferedIOBase):
    """A file that is written, and stored when it is closed; in a transaction, when that ends."""

    def __init__(self, fs: IPFSFileSystem, path: str, mode: str, autocommit: bool) -> None:
        # Python closes what is dropped. If opening fails, that must not store a file.
        self._is_kept = False
        # It is closed in `commit` or `discard`.
        self._file = tempfile.SpooledTemporaryFile(SPOOLED_BYTES)  # noqa: SIM115
        if mode not in ("wb", "xb", "ab"):
            raise ValueError(f"mode {mode!r} is none of rb, wb, xb, ab")
        self.fs = fs
        self.path = path
        self.mode = mode
        self._autocommit = autocommit
        self._replaces = mode != "xb"
        fs.namespace.check_writable(path)
        if mode == "xb" and fs.exists(path):
            raise FileExistsError(path)
        if mode == "ab" and fs.exists(path):
            self._file.write(fs.cat_file(path))
        self._is_kept = True

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def write(self, data: Any, /) -> int:
        """Write bytes at the end."""
        return self._file.write(data)

    def tell(self) -> int:
        """Return how much has been written."""
        return self._file.tell()

    def flush(self) -> None:
        """Do nothing: a file is stored when it is whole."""

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self._is_kept = error is None
        self.close()

    def close(self) -> None:
        """Store the file, unless the block around it has failed."""
        if not self.closed:
            super().close()
            if not self._is_kept:
                self.discard()
            elif self._autocommit:
                self.commit()

    def commit(self) -> None:
        """Store the file."""
        self._file.seek(0)
        with self._file:
            work = bridge(_add_and_link)
            in_loop(
                self.fs.loop, work, self.fs.namespace, self.path, self._file, self._replaces, None
            )

    def discard(self) -> None:
        """Forget what was written."""
        self._file.close()


async def _add_and_link(
    namespace: Namespace, path: str, source: Any, replaces: bool, progress: Any
) -> None:
    with (await namespace.peer()).lease():
        cid = await namespace.add(source, progress)
        await namespace.link(path, cid, replaces=replaces)


def _reader(namespace: Namespace, path: str) -> Any:
    async def opened() -> Any:
        cid = await namespace.cid(path)
        return await (await namespace.peer()).get_file(cid, timeout=namespace.timeout)

    return sync.blocking(opened)()


def _info_of(found: Found) -> dict[str, Any]:
    return {
        "name": found.path,
        "size": found.size,
        "type": "directory" if found.is_directory else "file",
        "cid": str(found.cid),
        "mtime": found.mtime,
    }


def _progress_of(callback: Any) -> Any:
    if callback is DEFAULT_CALLBACK:
        return None

    def tell(done: int, total: int | None) -> None:
        if total is not None:
            callback.set_size(total)
        callback.absolute_update(done)

    return tell


async def _each(works: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    import asyncio

    await asyncio.gather(*(work() for work in works))
