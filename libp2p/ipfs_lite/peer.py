"""
The embedded IPFS peer: a repo, a host and bitswap in one ``async with``.

    async with Peer.open(repo="my-repo") as peer:
        added = await peer.add_file("film.mp4")
        await peer.connect("/ip4/192.0.2.1/tcp/4001/p2p/12D3…")
        async with await peer.get_file("bafy…") as file:
            start = await file.read(1024)

Modules of the network are loaded when a peer with a network is opened, so adding and reading files
without one starts in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
)
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import trio

from libp2p.exceptions import InvalidArgument, NotADirectory
from libp2p.ipfs_lite.adder import AddResult, add_file
from libp2p.ipfs_lite.config import Config, import_options
from libp2p.ipfs_lite.errors import OfflineError, plain_errors
from libp2p.ipfs_lite.file_fetch import BlockSource
from libp2p.ipfs_lite.local import LocalOptions, LocalParts, open_parts
from libp2p.ipfs_lite.operations import DEFAULT_TIMEOUT, Operations
from libp2p.ipfs_lite.pins import Pins, check_name
from libp2p.ipfs_lite.read_ahead import WINDOW_BYTES
from libp2p.ipld.cid import CID, cid_inputs
from libp2p.ipld.codec import DAG_PB
from libp2p.resources import Resources
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IHost
    from libp2p.bitswap.block_service import BlockService
    from libp2p.bitswap.client import BitswapClient
    from libp2p.bitswap.serve.server import ServerOptions
    from libp2p.blockstore import BlockStore
    from libp2p.blockstore.copying import CopyResult
    from libp2p.crypto.keys import PrivateKey
    from libp2p.datastore import Datastore
    from libp2p.discovery.bootstrap.keeper import Outcome
    from libp2p.discovery.peering.keeper import Peering
    from libp2p.ipfs_lite.adder import Progress
    from libp2p.ipfs_lite.archive import Archive, Packing
    from libp2p.ipfs_lite.car_files import CarExport, CarKnobs, CarResult
    from libp2p.ipfs_lite.collection import Collection, Removal
    from libp2p.ipfs_lite.dag_service import DAGService, Session
    from libp2p.ipfs_lite.file_fetch import Asking
    from libp2p.ipfs_lite.files import PeerFiles
    from libp2p.ipfs_lite.folder_adder import EntryInput
    from libp2p.ipfs_lite.naming import PeerNames
    from libp2p.ipfs_lite.network import Network, NetworkKnobs, NetworkOptions
    from libp2p.ipfs_lite.reader import UnixFSReader
    from libp2p.ipfs_lite.refs import Ref
    from libp2p.ipfs_lite.routing import PeerRouting
    from libp2p.ipfs_lite.sizes import ContentStat
    from libp2p.ipfs_lite.source import SourceInput
    from libp2p.ipfs_lite.tree_saver import TreeResult, TreeSaver
    from libp2p.ipld.cid import CIDInput
    from libp2p.ipld.directory import DirectoryEntry
    from libp2p.ipld.profiles import ImportKnobs
    from libp2p.kad_dht.dual import DualDHT
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo

logger = get_logger(__name__)

_OFFLINE: Final = "this peer was opened with online=False"


class Peer:
    """
    An IPFS peer. `Peer.open` makes it for the length of a block, and all of its work ends then.

    Calls after the block raise `PeerClosedError`, and so do those under way in other tasks.
    """

    def __init__(self, parts: LocalParts, nursery: trio.Nursery, network: Network | None) -> None:
        self.config: Final = parts.config
        self.store: Final = parts.store
        self._parts = parts
        self._network = network
        self._bitswap = None if network is None else network.bitswap
        self.resources: Final = Resources() if network is None else network.resources
        """The limits of what this peer holds in memory, and what it holds now."""
        self._work = Operations(parts, self._bitswap, nursery, self.resources)

    @classmethod
    @asynccontextmanager
    async def open(  # noqa: PLR0913 - options by name
        cls,
        repo: str | PathLike[str] | None = None,
        *,
        listen: Sequence[str | Multiaddr] | str | Multiaddr | None = (),
        online: bool = True,
        config: Config | None = None,
        block_store: BlockStore | None = None,
        private_key: PrivateKey | None = None,
        server_options: ServerOptions | None = None,
        verify: bool = True,
        bootstrap: Iterable[PeerInfo | Multiaddr | str] | None = None,
        dht: str | None = None,
        routers: Iterable[object] | Mapping[str, object] | None = None,
        datastore: Datastore | None = None,
        provide: bool = False,
        psk: bytes | str | None = None,
        peering: Iterable[PeerInfo | Multiaddr | ID | str] | None = None,
        **knobs: Unpack[NetworkKnobs],
    ) -> AsyncIterator[Peer]:
        """
        Open a peer for the length of the block.

        :param repo: the repo's folder, made if need be; by default `default_repo_path`.
        :param listen: multiaddrs to listen on; a peer that has none cannot be dialled.
        :param online: False for a peer that only adds and reads what is in its store.
        :param config: settings for a repo that is made now.
        :param block_store: keep blocks there, and no repo at all.
        :param private_key: the identity; by default the repo's, else a new one.
        :param server_options: what is served to whom.
        :param verify: hash the repo's blocks when they are read; see `FilesystemBlockStore`.
        :param bootstrap: the peers by which others are found, besides those seen before; see
            `libp2p.discovery.bootstrap.sources`. [] is nobody, not even the peers seen before.
        :param dht: "auto" answers others in the DHT when it can be reached, "client" only asks,
            "server" always answers, and "off" has no part in it.
        :param routers: URLs of delegated routers, or routers of your own, in a list or by names;
            asked beside the DHT. The settings have defaults for bootstrap, dht and routers.
        :param datastore: keeps what is known of peers, the records of others, and what was
            announced; by default in the repo, else in memory.
        :param provide: announce what the store has, as often as the settings say.
        :param psk: the key of a private network; by default what the repo's ``swarm.key`` holds.
        :param peering: peers to stay connected to; by default what the settings say.
        :param knobs: what parts of the network take: `libp2p.ipfs_lite.network.NetworkKnobs`.
        :raises OfflineError: if ``online=False`` has an option of the network beside it.
        :raises RepoError: if the repo cannot be used.
        :raises OpenConnectionError: if an address cannot be listened on.
        """
        _check_identity(private_key, knobs)
        kept = LocalOptions(repo, config, block_store, private_key, datastore, verify)
        chosen = (listen, server_options, bootstrap, dht, routers, provide, psk, peering, knobs)
        options = _network_options(chosen, online)
        with plain_errors() as own_errors:
            async with AsyncExitStack() as stack:
                parts = await stack.enter_async_context(open_parts(kept, online))
                network = await stack.enter_async_context(_running(options, parts))
                nursery = await stack.enter_async_context(trio.open_nursery())
                peer = cls(parts, nursery, network)
                with peer._living(parts.place, own_errors):
                    yield peer
                nursery.cancel_scope.cancel()

    @contextmanager
    def _living(self, place: str, own_errors: list[BaseException]) -> Iterator[None]:
        """Note the errors of the program's block; when the block ends, end all operations."""
        who = self.peer_id if self.online else "without network"
        logger.info("peer open: %s, %s", who, place)
        try:
            yield
        except BaseException as error:
            own_errors.append(error)
            raise
        finally:
            self._work.end()
            logger.info("peer closes: %s, %s", who, place)

    # -- files --------------------------------------------------------------------------------

    async def add_file(
        self,
        source: SourceInput,
        *,
        profile: str | None = None,
        only_hash: bool = False,
        nocopy: bool = False,
        pin: bool = True,
        name: str = "",
        progress: Progress | None = None,
        **choices: Unpack[ImportKnobs],
    ) -> AddResult:
        """
        Add a file; other peers can fetch it when this returns.

        :param source: a path (any ``str`` is one), bytes, or a reader of any kind.
        :param profile: see `libp2p.ipld.profiles`; by default the one of the settings. A choice
            of your own, such as ``chunker="size-262144"``, changes that part of it.
        :param only_hash: find out the CID, store nothing.
        :param nocopy: keep no copy of a file that is named by its path, but note where its blocks
            are in it. They are gone when it is changed or moved. Only for raw leaves, in a repo.
        :param pin: pin the root recursively, so that `gc` keeps the file.
        :param name: the name of the pin; see `Pins.add`.
        :param progress: called with the bytes done and the bytes in all, if known.
        :raises InvalidImportOptions: if the choices contradict each other.
        :raises SourceError: if the source cannot be read; `InvalidSource`, which is a `TypeError`,
            if the source gives no bytes.
        :raises BlockStoreError: if the blocks cannot be written.
        :raises Exception: whatever a reader or a block store of your own raises.
        """
        with self._adding(name):
            options = import_options(self.config, profile, choices)
            added = await add_file(
                source,
                options,
                None if only_hash else self.store,
                stored=self._work.stored,
                progress=progress,
                nocopy=nocopy,
            )
            if not only_hash:
                await self.note_root(added.cid, pin=pin, name=name)
            return added

    @contextmanager
    def _adding(self, name: str) -> Iterator[None]:
        """Run a call that stores blocks and then pins their root, under a name."""
        check_name(name)
        with self._work.call(), self.lease():
            yield

    async def note_root(self, cid: CIDInput, *, pin: bool = True, name: str = "") -> None:
        """
        Pin the root of a DAG that was stored some other way; announce it if the peer announces.

        :param pin: False to announce the root only.
        :raises RepoError: if the pin cannot be written.
        """
        with self._work.call():
            root = CID.of(cid)
            if pin:
                await self.pins.note(root, name=name)
            if self._network is None or self._network.announcements is None:
                return
            if pin:
                await self._network.announcements.add_pins()
            else:
                await self._network.announcements.add(root)

    async def get_file(
        self,
        cid: CIDInput,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        *,
        read_ahead: int | None = None,
    ) -> UnixFSReader:
        """
        Open a file for reading. Blocks that are not here are fetched while it is read, and kept.

        :param peers: ask these only; by default all that are connected.
        :param timeout: the longest time without any block; None is without end.
        :param read_ahead: bytes that are fetched at most beyond those that are read. The default is
            as many as the speed of reading makes useful, and few for a file that is read in parts.
        :raises NotAFile: if the CID is that of a directory or of something else.
        :raises BitswapError: if the first block cannot be had; `BlockUnavailableError` says which
            peers were asked and what each answered. `DamagedBlockError` says that the block was
            here and its file is damaged. Later blocks fail in the reader.
        :raises Exception: whatever a block store of your own raises, here and in the reader.
        """
        with self._work.call():
            source = self._work.source(peers, timeout, roots=[CID.of(cid)])
            window = (
                WINDOW_BYTES if read_ahead is None else arguments.count(read_ahead, "read_ahead")
            )
            return await self._work.open_file(CID.of(cid), source, window)

    async def save_file(
        self,
        cid: CIDInput,
        target: str | PathLike[str],
        *,
        nocopy: bool = False,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        progress: Progress | None = None,
    ) -> int:
        """
        Write a file to ``target``, which appears when it is whole; return its size.

        Blocks that are not here are fetched, and kept. After an interruption, the next call fetches
        only the missing ones. The file gets the permissions and the time that were kept when it was
        added.

        :param nocopy: write the blocks that are fetched into ``target`` alone. The peer serves them
            from there until ``target`` is changed or moved. After an interruption, a ``.part`` file
            stays beside ``target``, and the next call goes on with it. Only in a repo.
        :param peers: ask these only; by default all that are connected.
        :param timeout: the longest time without any block; None is without end.
        :raises OutputError: if ``target`` cannot be written.
        :raises NotAFile: if the CID is that of a directory or of something else.
        :raises BitswapError: if a block cannot be had.
        """
        path = Path(arguments.path(target, "the path of a file to write"))
        with self._work.call():
            if nocopy:
                from libp2p.ipfs_lite.nocopy_saver import save_nocopy

                root = CID.of(cid)

                async def open_reader(asking: Asking) -> UnixFSReader:
                    source = self._work.source(peers, timeout, asking, roots=[root])
                    return await self._work.open_file(root, source)

                get_root = partial(self.get_block, root, timeout)
                return await save_nocopy(root, path, self.store, open_reader, get_root, progress)
            from libp2p.ipfs_lite.output import save

            async with await self.get_file(cid, peers, timeout) as reader:
                await save(reader, path, progress)
                if reader.cid.codec_code == DAG_PB:
                    from libp2p.ipfs_lite.tree_saver import keep_metadata

                    block = await self.get_block(reader.cid, timeout)  # it has just been stored
                    await keep_metadata(reader.cid, block, path)
                return reader.size

    # -- folders ------------------------------------------------------------------------------

    async def add_tree(  # noqa: PLR0913 - options by name
        self,
        path: str | PathLike[str],
        *,
        profile: str | None = None,
        only_hash: bool = False,
        hidden: bool = False,
        pin: bool = True,
        name: str = "",
        ignored: Callable[[str, bool], bool] | None = None,
        follow_links: bool = False,
        keep_mode: bool = False,
        keep_mtime: bool = False,
        nocopy: bool = False,
        added: Callable[[str, AddResult], Awaitable[object]] | None = None,
        progress: Progress | None = None,
        **choices: Unpack[ImportKnobs],
    ) -> AddResult:
        """
        Add a folder with all below it, as ``ipfs add -r`` does.

        :param profile: as for `add_file`, and so are ``choices``.
        :param only_hash: find out the CID, store nothing.
        :param pin: as for `add_file`, and so is ``name``.
        :param hidden: add names that begin with a dot too.
        :param ignored: called with a name and whether it is a folder's; what it returns True for
            is left out.
        :param follow_links: add what symbolic links lead to, rather than the links.
        :param keep_mode: keep permissions; then leaves are not raw.
        :param keep_mtime: keep the times of the last changes; then leaves are not raw.
        :param nocopy: as for `add_file`.
        :param added: awaited with the path below the folder, and the result, of every entry.
        :param progress: called with the bytes that have been read.
        :raises SourceError: if something cannot be read, or is no file, folder or link.
        :raises InvalidImportOptions: if the choices contradict each other.
        :raises BlockStoreError: if the blocks cannot be written.
        """
        from libp2p.ipfs_lite.tree_adder import TreeAdder, TreeOptions

        with self._adding(name):
            tree = TreeOptions(hidden, ignored, follow_links, keep_mode, keep_mtime)
            adder = TreeAdder(
                import_options(self.config, profile, tree.fit(choices)),
                tree,
                None if only_hash else self.store,
                stored=self._work.stored,
                added=added,
                progress=progress,
                nocopy=nocopy,
            )
            result = await adder.add(arguments.path(path, "the path of a folder to add"))
            if not only_hash:
                await self.note_root(result.cid, pin=pin, name=name)
            return result

    async def add_folder(
        self,
        entries: Iterable[EntryInput] | AsyncIterable[EntryInput],
        *,
        profile: str | None = None,
        only_hash: bool = False,
        pin: bool = True,
        name: str = "",
        **choices: Unpack[ImportKnobs],
    ) -> AddResult:
        """
        Add a folder of DAGs that have CIDs already; a million entries take 140 MiB of memory.

        :param entries: names, CIDs and the bytes of all blocks below each, as `AddResult.dag_size`
            tells. The blocks behind the CIDs are neither read nor stored.
        :param pin: pin the folder, and the blocks below it that are here.
        :param profile: as for `add_file`, and so are ``only_hash``, ``name`` and ``choices``.
        :return: ``size`` is the sum of the sizes that were given.
        :raises InvalidUnixFS: if something cannot be a name, or is there twice.
        :raises InvalidCID: if something is no CID.
        :raises InvalidImportOptions: if the choices contradict each other.
        :raises BlockStoreError: if the blocks cannot be written.
        """
        from libp2p.ipfs_lite.folder_adder import add_folder

        with self._adding(name):
            added = await add_folder(
                entries,
                import_options(self.config, profile, choices),
                None if only_hash else self.store,
                stored=self._work.stored,
            )
            if not only_hash:
                await self.note_root(added.cid, pin=pin, name=name)
            return added

    async def get_tree(
        self,
        cid: CIDInput,
        target: str | PathLike[str],
        *,
        nocopy: bool = False,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        unsafe_links: bool = False,
        progress: Progress | None = None,
    ) -> TreeResult:
        """
        Write a folder to ``target``, which must be free and appears when the folder is whole.

        Blocks that are not here are fetched, and kept. Nothing is written outside of ``target``.

        :param nocopy: write the blocks of files that are fetched into ``target`` alone. The peer
            serves them from there until the files are changed or moved. An interruption keeps
            nothing. Only in a repo.
        :param peers: ask these only; by default all that are connected.
        :param timeout: the longest time without any block; None is without end.
        :param unsafe_links: make symbolic links that lead out of the folder too.
        :raises NotADirectory: if the CID is that of a file or of something else.
        :raises BitswapError: if a block cannot be had.
        :raises OutputError: if ``target`` cannot be written, or an entry has a name that no file
            may have.
        """
        make: Callable[..., TreeSaver]
        if nocopy:
            from libp2p.ipfs_lite.nocopy_saver import NoCopyTreeSaver

            make = partial(NoCopyTreeSaver, self.store)
        else:
            from libp2p.ipfs_lite.tree_saver import TreeSaver as make

        async def open_file(below: CID, asking: Asking | None) -> UnixFSReader:
            return await self._work.open_file(below, self._work.source(peers, timeout, asking))

        root = CID.of(cid)
        with self._work.call(), self._work.open_source(peers, timeout, roots=[root]) as source:
            saver = make(source, open_file, unsafe_links=unsafe_links, progress=progress)
            path = Path(arguments.path(target, "the path of a folder to write"))
            return await saver.save(root, path)

    def open_archive(
        self,
        cid: CIDInput,
        name: str | None = None,
        *,
        packing: Packing | None = None,
        unsafe_links: bool = False,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> Archive:
        """
        Return a file or folder as one stream, made while it is read: by default a tar archive.

        The caller reads with ``await receive()``, which returns nothing at the end, and closes with
        ``await aclose()``. `libp2p.ipfs_lite.output.save` writes it to a file.

        :param name: of the file or folder in the archive; by default its CID.
        :raises OutputError: while it is read, if a name or link could write outside of the folder
            in which the archive is unpacked.
        """
        from libp2p.ipfs_lite.archive import Archive, Packing

        root = CID.of(cid)

        async def open_file(below: CID) -> UnixFSReader:
            return await self.get_file(below, peers, timeout)

        return Archive(
            root,
            str(root) if name is None else name,
            self._work.source(peers, timeout, roots=[root]),
            open_file,
            Packing() if packing is None else packing,
            unsafe_links=unsafe_links,
        )

    async def ls(
        self,
        cid: CIDInput,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> AsyncGenerator[DirectoryEntry, None]:
        """
        Yield the entries of a folder, as they are read; large folders are in no order.

        :raises NotADirectory: if the CID is that of a file or of something else.
        :raises BitswapError: if a block cannot be had.
        """
        from libp2p.ipfs_lite.folders import list_folder

        with self._work.open_source(peers, timeout) as source:
            async with aclosing(self._work.each(list_folder(source, CID.of(cid)))) as entries:
                async for entry in entries:
                    yield entry

    async def refs(
        self,
        cid: CIDInput,
        *,
        max_depth: int | None = 1,
        unique: bool = False,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> AsyncGenerator[Ref, None]:
        """
        Yield the links of a block, and of those below it, in the order of ``ipfs refs``.

        :param max_depth: 1 is the block's own links, None all below it.
        :param unique: leave out links whose targets have been yielded.
        :raises BitswapError: if a block cannot be had.
        :raises UnknownCodec: if the links of a block cannot be read.
        """
        from libp2p.ipfs_lite.refs import refs_below

        root = CID.of(cid)
        if max_depth is not None:
            arguments.count(max_depth, "max_depth")
        with self._work.open_source(peers, timeout, roots=[root]) as source:
            below = refs_below(source, root, max_depth=max_depth, unique=unique)
            async with aclosing(self._work.each(below)) as refs:
                async for ref in refs:
                    yield ref

    async def resolve(
        self,
        cid: CIDInput,
        path: str,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> CID:
        """
        Return the CID at a path below a folder, such as ``"docs/index.html"``.

        Links in blocks of other codecs are followed too; see `libp2p.ipld.paths`.

        :raises NameNotInDirectory: if nothing is there.
        :raises NotADirectory: if a part of the path but the last is no folder, or the path leads
            inside of a block; `DAGService.value` reads there.
        :raises BitswapError: if a block cannot be had.
        """
        from libp2p.ipfs_lite.folders import run_steps
        from libp2p.ipld.paths import follow, names_in

        names = names_in(path)
        with self._work.call(), self._work.open_source(peers, timeout) as source:
            place = await run_steps(source, follow(CID.of(cid), names, read=False))
            if place.rest:
                raise NotADirectory(f"{'/'.join(place.rest)!r:.200} is a part of {place.cid}")
            return place.cid

    # -- the mutable tree ---------------------------------------------------------------------

    @property
    def files(self) -> PeerFiles:
        """A tree of paths whose root changes, kept in the repo: Kubo's ``ipfs files``."""
        from libp2p.ipfs_lite.files import PeerFiles

        return PeerFiles(self._work, import_options(self.config, None, {}))

    # -- CAR files ----------------------------------------------------------------------------

    async def export_car(
        self,
        roots: CIDInput | Sequence[CIDInput],
        target: str | PathLike[str],
        *,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        progress: Progress | None = None,
        **knobs: Unpack[CarKnobs],
    ) -> CarResult:
        """
        Write roots and all blocks below them into a CAR file. Missing ones are fetched, and kept.

        The same DAG and options give the same file: depth first, every node before its links.

        :param target: a path, replaced when the file is whole; a pipe or device is written into.
        :param peers: ask these only; by default all that are connected.
        :param timeout: the longest time without any block; None is without end.
        :param knobs: the version, and parts of a DAG: `libp2p.ipfs_lite.car_files.CarKnobs`.
        :raises InvalidArgument: if the knobs contradict each other.
        :raises BitswapError: if a block cannot be had.
        :raises UnknownCodec: if the links of a block cannot be read.
        :raises OutputError: if the file cannot be written.
        """
        from libp2p.ipfs_lite.output import save

        with self._work.call():
            with closing(self.open_car(roots, peers=peers, timeout=timeout, **knobs)) as export:
                await save(export, target, progress)
            return export.result()

    def open_car(
        self,
        roots: CIDInput | Sequence[CIDInput],
        *,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        **knobs: Unpack[CarKnobs],
    ) -> CarExport:
        """
        Return the bytes of a CAR file, made while they are read; `export_car` writes a file.

        The caller reads with ``await receive()``, which returns nothing at the end, and closes.
        """
        from libp2p.ipfs_lite.car_files import CarExport

        cids = [CID.of(root) for root in cid_inputs(roots)]
        source = self._work.source(peers, timeout, roots=cids)
        try:
            return CarExport(cids, source, **knobs)
        except InvalidArgument:
            source.close()
            raise

    async def import_car(
        self,
        source: SourceInput,
        *,
        pin: bool = True,
        name: str = "",
        progress: Progress | None = None,
    ) -> CarResult:
        """
        Store the blocks of a CAR file, version 1 or 2; other peers can fetch them then.

        :param source: a path (any ``str`` is one), bytes, or a reader of any kind.
        :param pin: pin the roots recursively, under ``name``; blocks may be missing below them.
        :raises InvalidCar: if the file is malformed or cut off, or a block does not match its CID.
        :raises SourceError: if the source cannot be read.
        :raises BlockStoreError: if the blocks cannot be written.
        """
        from libp2p.ipfs_lite.car_files import import_car

        with self._adding(name):
            result = await import_car(
                source,
                self.store,
                stored=self._work.stored,
                progress=progress,
            )
            for root in result.roots:
                await self.note_root(root, pin=pin, name=name)
            return result

    # -- stores -------------------------------------------------------------------------------

    async def import_blocks(
        self, source: BlockStore, *, progress: Callable[[CopyResult], object] | None = None
    ) -> CopyResult:
        """
        Copy all blocks of another store that are not here; each is verified. Nothing is pinned.

        :param source: such as `libp2p.ipfs_lite.stores.open_place` opens; it stays open.
        :param progress: called with the result so far after each batch.
        :raises BlockStoreError: if one of the stores fails. Call again to go on from there.
        """
        from libp2p.blockstore.copying import copy_blocks

        with self._work.call(), self.lease():
            return await copy_blocks(source, self.store, progress=progress)

    # -- what stays ---------------------------------------------------------------------------

    @property
    def pins(self) -> Pins:
        """The pins: `gc` keeps what is pinned, and removes the rest."""
        return Pins(self._work)

    def lease(self, roots: Iterable[CID] = ()) -> AbstractContextManager[None]:
        """
        Return a context in which `gc` keeps the blocks that are written, and those below ``roots``.

        Programs that put blocks into the store and pin them afterwards need it.
        """
        return self._parts.leases.hold(roots)

    async def gc(self) -> AsyncGenerator[list[tuple[CID, int]], None]:
        """
        Remove the blocks that no pin and no running operation needs, in batches.

        Yield the CIDs of each batch, as the store lists them, with the blocks' sizes in bytes. The
        caller may stop after any batch. Expired pins go first.

        :raises BlockStoreError: if blocks cannot be listed, read or removed.
        """
        async with aclosing(self._work.each(self._collection().batches())) as batches:
            async for removed in batches:
                yield removed

    async def remove(self, cid: CIDInput) -> Removal:
        """
        Remove the pin of a root; return how much `gc` will free, because no other pin needs it.

        :raises NotPinnedError: if the root is not pinned itself.
        """
        root = CID.of(cid)
        await self.pins.rm(root)
        with self._work.call():
            return await self._collection().only_below(root)

    def _collection(self) -> Collection:
        from libp2p.ipfs_lite.collection import Collection

        parts = self._parts
        return Collection(self.store, parts.pins, parts.files_root, parts.leases)

    async def stat(
        self,
        cid: CIDInput,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> ContentStat:
        """
        Return the kind and the size of a DAG, as ``ipfs files stat`` and ``dag stat`` tell them.

        All nodes of the DAG are read. Those that are not here are fetched, and kept.

        :raises BitswapError: if a block cannot be had.
        :raises UnknownCodec: if the links of a block cannot be read.
        """
        from libp2p.ipfs_lite.sizes import stat

        with self._work.call(), self._work.open_source(peers, timeout) as source:
            return await stat(CID.of(cid), source, self.store)

    # -- blocks -------------------------------------------------------------------------------

    async def has_block(self, cid: CIDInput) -> bool:
        """Return whether a block is in the store."""
        with self._work.call():
            return await self.store.has_block(CID.of(cid).buffer)

    async def get_blocks(
        self, cids: Sequence[CIDInput], timeout: float | None = DEFAULT_TIMEOUT
    ) -> list[bytes]:
        """
        Return several blocks, in their order, from the store or else from connected peers.

        :raises BitswapError: if one of them cannot be had.
        """
        wanted = list(dict.fromkeys(map(CID.of, cids)))
        with self._work.call(), self._work.open_source(timeout=timeout) as source:
            found = dict(zip(wanted, await source.fetch(wanted), strict=True))
            return [found[CID.of(cid)] for cid in cids]

    async def get_block(self, cid: CIDInput, timeout: float | None = DEFAULT_TIMEOUT) -> bytes:
        """
        Return a block, from the store or else from a connected peer.

        :raises BitswapError: as `get_file`.
        :raises Exception: whatever a block store of your own raises.
        """
        with self._work.call():
            wanted, seconds = CID.of(cid), arguments.seconds(timeout)
            if self._bitswap is not None:
                return await self._bitswap.get_block(wanted, timeout=seconds)
            [data] = await BlockSource(self.store, None, seconds).fetch([wanted])
            return data

    async def remove_block(self, cid: CIDInput) -> bool:
        """
        Remove a block that no pin needs; return whether it was here.

        :raises PinError: if the block is pinned, or is below a block that is.
        """
        from libp2p.ipfs_lite.collection import remove_block

        with self._work.call():
            return await remove_block(CID.of(cid), self.store, self.pins, self._parts.leases)

    # -- nodes, and Go ipfs-lite's names --------------------------------------------------------

    @property
    def dag(self) -> DAGService:
        """Nodes in dag-pb, raw, dag-cbor, dag-json, cbor and json, and paths through them."""
        from libp2p.ipfs_lite.dag_service import DAGService

        return DAGService(self._work, self.note_root)

    def session(
        self, peers: Iterable[ID] | None = None, timeout: float | None = DEFAULT_TIMEOUT
    ) -> Session:
        """
        Return a session for many reads of blocks that belong together; use ``async with``.

        Peers that had the first blocks are asked first for the next ones.

        :param peers: ask these only; by default all that are connected.
        :param timeout: the longest time without any block; None is without end.
        """
        from libp2p.ipfs_lite.dag_service import Session

        return Session(self._work, self._work.source(peers, timeout))

    def block_store(self) -> BlockStore:
        """Return `store`."""
        return self.store

    def exchange(self) -> BitswapClient | None:
        """Return `bitswap`; None if the peer has no network."""
        return self._bitswap

    def block_service(self) -> BlockService:
        """
        Return the store and bitswap as one, as py-libp2p's programs use them.

        :raises OfflineError: if the peer has no network.
        """
        from libp2p.bitswap.block_service import BlockService

        return BlockService(self.store, self.bitswap)

    async def bootstrap(self, peers: Iterable[PeerInfo | Multiaddr | str]) -> list[ID]:
        """
        Connect to peers, all at the same time, and learn from them whom the DHT has.

        :return: the peers that are connected. The log has a line for each other peer, and a warning
            if more than half cannot be reached.
        :raises OfflineError: if the peer has no network.
        """
        from libp2p.ipfs_lite.reaching import connect_all

        network = self._online()
        with self._work.call():
            return await connect_all(network.host, network.dht, peers)

    # -- network ------------------------------------------------------------------------------

    @property
    def peering(self) -> Peering:
        """
        The peers to stay connected to: ``add``, ``remove``, ``peers``.

        These connections are protected from trimming. A peer that is lost is dialled again.

        :raises OfflineError: if the peer has no network.
        """
        return self._online().peering

    def peers(self) -> list[ID]:
        """
        Return the peers that are connected.

        :raises OfflineError: if the peer has no network.
        """
        return self._online().host.get_connected_peers()

    async def disconnect(self, peer: str | Multiaddr | PeerInfo | ID) -> None:
        """
        Close all connections to a peer; one of `peering` is dialled again.

        :raises InvalidAddrError: if ``peer`` names no peer.
        :raises OfflineError: if the peer has no network.
        """
        from libp2p.ipfs_lite.reaching import peer_of

        network = self._online()
        with self._work.call():
            await network.host.disconnect(peer_of(peer).peer_id)

    async def connect(self, peer: str | Multiaddr | PeerInfo | ID) -> ID:
        """
        Be connected to a peer.

        :param peer: an address that ends in ``/p2p/<peer id>``; or a peer id, also as ``/p2p/…``,
            whose addresses the routers are asked for unless they are known.
        :raises InvalidAddrError: if ``peer`` is neither.
        :raises RoutingError: if the addresses are not known and no router could be asked.
        :raises ConnectionFailure: if no address works; it names each one and why it failed.
        """
        from libp2p.ipfs_lite.reaching import connect

        with self._work.call():
            return await connect(self.host, self.routing, peer)

    async def meet_first(self, timeout: float | None = None) -> list[Outcome]:
        """
        Wait for the peers of ``bootstrap``; return the outcome of each.

        Other calls do not wait: a peer works while it connects to its first peers.

        :param timeout: seconds after which the outcomes known by then are returned.
        """
        with self._work.call():
            return await self._online().bootstrap.outcomes(arguments.seconds(timeout))

    @property
    def routing(self) -> PeerRouting:
        """
        The DHT and all other routers, asked as one.

        :raises OfflineError: if the peer has no network.
        """
        return self._online().routing(self._work.call)

    def announced(self) -> dict[str, Any] | None:
        """
        Return the state of announcing that ``provide stat`` prints; None if nothing is announced.

        :raises OfflineError: if the peer has no network.
        """
        announcements = self._online().announcements
        return None if announcements is None else announcements.state()

    @property
    def names(self) -> PeerNames:
        """
        The peer's own names of IPNS, and everybody's.

        :raises OfflineError: if the peer has no network.
        """
        return self._online().named(self._work.call)

    @property
    def dht(self) -> DualDHT | None:
        """
        The two DHTs, the public network's and the local one's; None if the peer has none.

        :raises OfflineError: if the peer has no network.
        """
        return self._online().dht

    def _online(self) -> Network:
        self._work.check_open()
        if self._network is None:
            raise OfflineError(_OFFLINE)
        return self._network

    def __repr__(self) -> str:
        return shown(self, self._facts)

    def _facts(self) -> str:
        who = "offline" if self._bitswap is None else self._bitswap.host.get_id()
        return f"{who}, {'closed' if self._work.is_closed else 'open'}, with {self.store!r}"

    @property
    def online(self) -> bool:
        return self._bitswap is not None

    @property
    def bitswap(self) -> BitswapClient:
        """:raises OfflineError: if the peer has no network; so do `host`, `peer_id` and `addrs`."""
        return self._online().bitswap

    @property
    def host(self) -> IHost:
        host: IHost = self.bitswap.host
        return host

    @property
    def peer_id(self) -> ID:
        return self.host.get_id()

    @property
    def addrs(self) -> list[Multiaddr]:
        """The addresses to give to others, with ``/p2p/<peer id>`` at their ends."""
        return self.host.get_addrs()


def _check_identity(private_key: PrivateKey | None, knobs: NetworkKnobs) -> None:
    if private_key is not None and "host" in knobs:
        raise InvalidArgument("private_key has no effect beside host, which has one")


def _network_options(chosen: tuple[Any, ...], online: bool) -> NetworkOptions | None:
    """Check the options of the network; without one there must be none."""
    if online:
        from libp2p.ipfs_lite.network import options_of

        return options_of(*chosen)
    if any(one is not None and one is not False and one not in ((), [], {}) for one in chosen):
        raise OfflineError("a peer with online=False has no network: leave its options out")
    return None


@asynccontextmanager
async def _running(
    options: NetworkOptions | None, parts: LocalParts
) -> AsyncIterator[Network | None]:
    """Run the network for the length of the block, if there is to be one."""
    if options is None:
        yield None
        return
    from libp2p.ipfs_lite.network import run

    async with run(options, parts) as network:
        yield network
