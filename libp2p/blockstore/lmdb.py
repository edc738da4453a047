"""
Blocks in an LMDB environment (``pip install libp2p[lmdb]``), for any number of processes at once.

LMDB maps its file into memory at a size that is chosen beforehand. Here the map is made twice as
large when it is full; another process that has made it larger is followed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from threading import Condition, Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from libp2p.blockstore.tables import BlockTable, TableBlockStore
from libp2p.blockstore.verify import check_replacement
from libp2p.exceptions import BlockStoreError
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo

#: Bytes of a new map. It is address space and, but on Windows, no disk.
FIRST_MAP_BYTES: Final = 64 * 1024 * 1024
#: Bytes of the largest map: what processors can address is 128 TiB for all maps of a process.
MAX_MAP_BYTES: Final = 16 * 1024**4
#: Readers of all processes at once: as many slots of 64 bytes are in the lock file.
MAX_READERS: Final = 1024

_INFO: Final = Struct("<Qd")  # length, Unix seconds of the last writing

T = TypeVar("T")


class _Environment:
    """The environment of one folder in one process, which LMDB allows one of."""

    def __init__(self, path: str, sync: bool) -> None:
        import lmdb

        self._users = 0
        self._env = lmdb.open(
            # Bytes, for it takes text to be UTF-8, which a path need not be.
            os.fsencode(path) if os.name == "posix" else path,
            map_size=0,
            max_dbs=2,
            max_readers=MAX_READERS,
            metasync=sync,
            readahead=False,
        )
        if self._env.info()["map_size"] < FIRST_MAP_BYTES:
            self._env.set_mapsize(FIRST_MAP_BYTES)
        self._env.reader_check()  # slots of processes that were killed
        self._contents = self._env.open_db(b"contents")
        self._infos = self._env.open_db(b"infos")
        # The map may be changed while no transaction of this process is open.
        self._changed = Condition()
        self._open = 0
        self._resizing = False

    def run(self, action: Callable[[Any, Any, Any], T], write: bool) -> T:
        import lmdb

        while True:
            size = self._env.info()["map_size"]
            try:
                with self._transacting(), self._env.begin(write=write) as transaction:
                    return action(transaction, self._contents, self._infos)
            except lmdb.MapFullError:
                if size >= MAX_MAP_BYTES:
                    raise
                self._resize(size, 2 * size)
            except lmdb.MapResizedError:
                self._resize(size, 0)

    def join(self) -> None:
        self._users += 1

    def drop(self) -> None:
        """Let go of what was the parent's: unmap it, and leave its locks and readers alone."""
        self._env.close()

    def leave(self) -> bool:
        """Close it when the last user leaves, and return True then."""
        self._users -= 1
        if self._users:
            return False
        with self._changed:
            self._changed.wait_for(lambda: self._open == 0)
            self._env.close()
        return True

    @contextmanager
    def _transacting(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._resizing)
            self._open += 1
        try:
            yield
        finally:
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def _resize(self, size: int, to: int) -> None:
        """Change the map, unless another thread has done so; 0 takes the size of the file."""
        with self._changed:
            self._changed.wait_for(lambda: not self._resizing)
            if self._env.info()["map_size"] != size:
                return
            self._resizing = True
            try:
                self._changed.wait_for(lambda: self._open == 0)
                self._env.set_mapsize(to)
            finally:
                self._resizing = False
                self._changed.notify_all()


class _Environments:
    """The environments of one process, by folder."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._by_path: dict[str, _Environment] = {}
        self._lock = Lock()

    def drop(self) -> None:
        for environment in self._by_path.values():
            environment.drop()

    def join(self, path: str, sync: bool) -> _Environment:
        with self._lock:
            environment = self._by_path.get(path)
            if environment is None:
                environment = self._by_path[path] = _Environment(path, sync)
            environment.join()
            return environment

    def leave(self, path: str) -> None:
        with self._lock:
            environment = self._by_path[path]
            if environment.leave():
                del self._by_path[path]


_environments = [_Environments()]


def _of_this_process() -> _Environments:
    """Return those of this process; after a fork the parent's are let go of."""
    if _environments[-1].pid != os.getpid():
        _environments[-1].drop()
        _environments.append(_Environments())
    return _environments[-1]


class _LmdbTable(BlockTable):
    def __init__(self, path: str, sync: bool) -> None:
        self._path = path
        self._sync = sync
        self._closed = False
        self._opening = Lock()
        self._pid = -1
        self._environment: _Environment | None = None
        with self._errors():
            self._own()

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._run(lambda txn, contents, _: [txn.get(k, db=contents) for k in keys])

    def sizes(self, keys: Sequence[bytes]) -> list[int | None]:
        def sizes(txn: Any, _: Any, infos: Any) -> list[int | None]:
            found = (txn.get(key, db=infos) for key in keys)
            return [None if info is None else _INFO.unpack(info)[0] for info in found]

        return self._run(sizes)

    def put(self, blocks: Sequence[tuple[bytes, Buffer]]) -> None:
        def put(txn: Any, contents: Any, infos: Any) -> None:
            now = time.time()
            for key, data in blocks:
                old = txn.get(key, db=contents)
                if old is None or old != data:
                    if old is not None:
                        check_replacement(key, data)
                    txn.put(key, bytes(data), db=contents)
                txn.put(key, _INFO.pack(len(data), now), db=infos)

        self._run(put, write=True)

    def delete(self, keys: Sequence[bytes], older_than: float) -> list[bool]:
        def delete(txn: Any, contents: Any, infos: Any) -> list[bool]:
            gone = []
            for key in keys:
                info = txn.get(key, db=infos)
                gone.append(info is None or _INFO.unpack(info)[1] < older_than)
                if gone[-1]:
                    txn.delete(key, db=contents)
                    txn.delete(key, db=infos)
            return gone

        return self._run(delete, write=True)

    def page(self, after: bytes, count: int) -> list[BlockInfo]:
        def page(txn: Any, _: Any, infos: Any) -> list[BlockInfo]:
            rows: list[BlockInfo] = []
            with txn.cursor(db=infos) as cursor:
                if cursor.set_range(after + b"\0" if after else b"\0"):
                    for key, info in cursor:
                        rows.append((key, *_INFO.unpack(info)))
                        if len(rows) == count:
                            break
            return rows

        return self._run(page)

    def close(self) -> None:
        with self._opening:
            self._closed = True
            environment, self._environment = self._environment, None
            if environment is not None and self._pid == os.getpid():
                _of_this_process().leave(self._path)

    def _run(self, action: Callable[[Any, Any, Any], T], write: bool = False) -> T:
        with self._errors():
            return self._own().run(action, write)

    def _own(self) -> _Environment:
        if self._pid != os.getpid():  # a fork: a lock of the parent's threads is not waited for
            self._opening = Lock()
            self._environment = None
            self._pid = os.getpid()
        with self._opening:
            if self._closed:
                raise BlockStoreError(f"the block store {self._path} is closed")
            if self._environment is None:
                self._environment = _of_this_process().join(self._path, self._sync)
            return self._environment

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import lmdb

        try:
            yield
        except (lmdb.Error, OSError) as error:
            raise BlockStoreError(f"the block store {self._path}: {error}") from error


class LmdbBlockStore(TableBlockStore):
    """
    Blocks in an LMDB environment; see `TableBlockStore`.

    The quickest to read of the stores on disk. Several processes may use it. Every transaction is
    flushed to the disk, so a power loss never damages it.

    :param path: its folder; made if it is not there. Not on a network file system.
    :param sync: flush what makes a transaction the newest one too. Without, a power loss may take
        the newest transaction away.
    :param stored: is called in a thread when blocks have been written.
    :raises BlockStoreError: here and in every method, with the error of LMDB as its cause.
    :raises ImportError: if the package ``lmdb`` is missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sync: bool = False,
        stored: Callable[[], object] | None = None,
    ) -> None:
        try:
            import lmdb  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "blocks in LMDB need its package: pip install libp2p[lmdb]"
            ) from error
        self.path: Final = Path(arguments.path(path, "path"))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BlockStoreError(f"cannot open the block store {path}: {error}") from error
        super().__init__(_LmdbTable(os.path.realpath(self.path), sync), self.path, stored)
