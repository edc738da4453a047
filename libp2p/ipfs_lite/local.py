"""The parts of a peer that need no network: settings, identity, blocks, and the datastore."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

import trio

from libp2p.blockstore.base import check_store
from libp2p.exceptions import DatastoreError
from libp2p.ipfs_lite.config import Config, default_repo_path
from libp2p.ipfs_lite.files_root import FilesRoot
from libp2p.ipfs_lite.leases import Leases, RepoLeases
from libp2p.ipfs_lite.neighbours import Neighbours
from libp2p.ipfs_lite.pin_table import PinTable
from libp2p.ipfs_lite.repo import Repo
from libp2p.ipfs_lite.state import State
from libp2p.ipfs_lite.stores import open_blocks, with_slices
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.crypto.keys import PrivateKey
    from libp2p.datastore import Datastore

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """
    Where a peer keeps things; see `Peer.open`.

    :raises TypeError: if one of them is of another type.
    """

    repo: str | PathLike[str] | None
    config: Config | None
    block_store: BlockStore | None
    private_key: PrivateKey | None
    datastore: Datastore | None
    verify: bool

    def __post_init__(self) -> None:
        if self.config is not None:
            arguments.instance(self.config, Config, "config")
        if self.block_store is not None:
            check_store(self.block_store)
        if self.private_key is not None:
            methods = ("sign", "get_public_key")
            arguments.having(self.private_key, methods, "private_key", "a PrivateKey")


@dataclass(frozen=True, slots=True)
class LocalParts:
    """The parts that `open_parts` has opened."""

    config: Config
    store: BlockStore
    private_key: PrivateKey | None
    datastore: Datastore | None
    repo: Repo | None
    pins: PinTable
    files_root: FilesRoot
    leases: Leases
    neighbours: Neighbours | None = None
    """The other processes of the repo."""
    has_identity: bool = True
    """False if another process is online with the private key: this one needs another."""

    @property
    def place(self) -> str:
        """Where the blocks are, for the log."""
        return "a store of the program's" if self.repo is None else str(self.repo.path)


@asynccontextmanager
async def open_parts(options: LocalOptions, online: bool) -> AsyncIterator[LocalParts]:
    """
    Open the parts for the length of the block: those of a repo, or those that the program gives.

    :param online: open a datastore in the repo, unless the program gives another, and have the
        repo's identity, unless another process has it.
    :raises RepoError: if the repo cannot be used.
    """
    config, datastore = options.config or Config(), options.datastore
    if options.block_store is not None:
        key = options.private_key
        with closing(State(None)) as state:
            kept = PinTable(state), FilesRoot(state), Leases()
            yield LocalParts(config, options.block_store, key, datastore, None, *kept)
        return
    path = default_repo_path() if options.repo is None else arguments.path(options.repo, "repo")
    async with AsyncExitStack() as stack:
        repo = await trio.to_thread.run_sync(Repo.open, path, options.config)
        stack.callback(repo.close)
        others = Neighbours(repo.listeners_path)
        state = stack.enter_context(closing(State(repo.state_path, others.tell)))
        blocks = await trio.to_thread.run_sync(
            partial(
                open_blocks,
                repo.path,
                repo.config,
                verify=options.verify,
                gc_lock=repo.gc_lock,
                stored=others.tell,
            )
        )
        store = with_slices(blocks, repo.path, state, repo.config)
        stack.push_async_callback(store.close)
        if datastore is None and online:
            datastore = await stack.enter_async_context(_open_datastore(repo))
        key, has_identity = options.private_key, True
        if key is None:
            key = repo.private_key
            if online:
                has_identity = await trio.to_thread.run_sync(repo.claim_identity)
        leases = RepoLeases(repo.leases_path, repo.gc_lock)
        await trio.to_thread.run_sync(leases.live)  # removes those of processes that were killed
        kept = PinTable(state), FilesRoot(state), leases
        yield LocalParts(repo.config, store, key, datastore, repo, *kept, others, has_identity)


@asynccontextmanager
async def _open_datastore(repo: Repo) -> AsyncIterator[Datastore]:
    """
    Open the repo's datastore; one in memory if it cannot be used, as on a full disk.

    What is in it is of use and not needed: files are added, fetched and served without.
    """
    from libp2p.datastore import Change, MemoryDatastore, SqliteDatastore

    async with SqliteDatastore(repo.datastore_path) as datastore:
        try:
            await datastore.write([Change("opened", b"", None)])
        except DatastoreError as error:
            logger.warning("peers and announcements will not be remembered: %s", error)
        else:
            yield datastore
            return
    yield MemoryDatastore()
