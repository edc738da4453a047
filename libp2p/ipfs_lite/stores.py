"""Which block store a repo has, and which one a place holds that blocks are imported from."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final

from libp2p.blockstore import FilesystemBlockStore
from libp2p.blockstore.sliced import SlicedBlockStore
from libp2p.blockstore.slices import SliceBlockStore
from libp2p.ipfs_lite.config import check_blocks
from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipfs_lite.repo import BLOCKS_FOLDER, GC_LOCK_FILE, SLICES_FILE, STATE_FILE, Repo
from libp2p.ipfs_lite.state import State
from libp2p.utils.file_locks import SharedLock

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.ipfs_lite.config import Config

SQLITE_FILE: Final = "blocks.sqlite"
LMDB_FOLDER: Final = "blocks.lmdb"

_SQLITE_MAGIC: Final = b"SQLite format 3\0"


def open_blocks(
    repo: Path,
    config: Config,
    *,
    verify: bool,
    gc_lock: SharedLock,
    stored: Callable[[], object] | None = None,
) -> BlockStore:
    """
    Open the store of a repo, which its settings name; make it if it is not there.

    :param gc_lock: of the repo.
    :param stored: is called in a thread when blocks have been written.
    :raises BlockStoreError: if that cannot be done.
    :raises RepoError: if a package is missing.
    """
    check_blocks(config.blocks)
    if config.blocks == "flatfs":
        return FilesystemBlockStore(
            repo / BLOCKS_FOLDER, sync=config.sync, verify=verify, gc_lock=gc_lock, stored=stored
        )
    try:
        if config.blocks == "sqlite":
            from libp2p.blockstore.sqlite import SqliteBlockStore

            return SqliteBlockStore(repo / SQLITE_FILE, sync=config.sync, stored=stored)
        if config.blocks == "lmdb":
            from libp2p.blockstore.lmdb import LmdbBlockStore

            return LmdbBlockStore(repo / LMDB_FOLDER, sync=config.sync, stored=stored)
        from libp2p.blockstore.fsspec import FsspecBlockStore

        return FsspecBlockStore(config.blocks)
    except ImportError as error:
        raise RepoError(f"{repo} keeps its blocks in {config.blocks}: {error}") from error


def with_slices(blocks: BlockStore, repo: Path, state: State, config: Config) -> SlicedBlockStore:
    """Return the store of a repo with the slices of files that its state knows."""
    slices = SliceBlockStore(state, repo / SLICES_FILE, sync=config.sync)
    return SlicedBlockStore(blocks, slices)


def open_place(place: str | PathLike[str]) -> BlockStore:
    """
    Open what blocks are to be imported from; the caller closes it.

    :param place: a Kubo repo, another repo of this program, a folder in the flatfs layout or of
        LMDB, the file of a `SqliteBlockStore`, or a URL that fsspec knows.
    :raises RepoError: if it is none of these, or a package is missing.
    :raises BlockStoreError: if it cannot be read.
    """
    from libp2p.blockstore.kubo import FlatfsReader, KuboBlockStore
    from libp2p.blockstore.layout import SHARDING_FILE

    try:
        if isinstance(place, str) and "://" in place:
            from libp2p.blockstore.fsspec import FsspecBlockStore

            return FsspecBlockStore(place, read_only=True)
        path = Path(place)
        if KuboBlockStore.is_repo(path):
            return KuboBlockStore(path)
        if Repo.exists(path):
            config = Repo.identity_of(path).config
            blocks: BlockStore
            if config.blocks == "flatfs":
                blocks = FlatfsReader(path / BLOCKS_FOLDER)
            else:
                blocks = open_blocks(
                    path, config, verify=True, gc_lock=SharedLock(path / GC_LOCK_FILE)
                )
            if not (path / SLICES_FILE).exists():
                return blocks
            return with_slices(blocks, path, State(path / STATE_FILE), config)
        if (path / SHARDING_FILE).is_file():
            return FlatfsReader(path)
        if (path / "data.mdb").is_file():
            from libp2p.blockstore.lmdb import LmdbBlockStore

            return LmdbBlockStore(path)
        if path.is_file():
            with open(path, "rb") as file:
                if file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC:
                    from libp2p.blockstore.sqlite import SqliteBlockStore

                    return SqliteBlockStore(path)
    except (ImportError, OSError) as error:
        raise RepoError(f"{place} cannot be opened: {error}") from error
    raise RepoError(
        f"{place} holds no blocks that can be read: name a repo of Kubo or of ipfs-lite, "
        "a folder of blocks, a database of blocks or a URL; `dag import` reads CAR files"
    )
