"""py-ipfs-lite's `Peer`, on `libp2p.ipfs_lite.Peer`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.ipfs_lite.compat.py_ipfs_lite.config import AddParams, Config
from libp2p.ipfs_lite.compat.py_ipfs_lite.exceptions import PeerNotStartedError
from libp2p.ipfs_lite.config import Config as Settings
from libp2p.ipfs_lite.output import save
from libp2p.ipfs_lite.peer import Peer as LitePeer
from libp2p.ipld.cid import CID
from libp2p.ipns.name import Name
from libp2p.network.config import SwarmConfig
from libp2p.utils import arguments

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IHost
    from libp2p.bitswap.block_service import BlockService
    from libp2p.bitswap.client import BitswapClient
    from libp2p.blockstore import BlockStore
    from libp2p.crypto.keys import KeyPair
    from libp2p.ipfs_lite.dag_service import Session
    from libp2p.ipfs_lite.source import SourceInput

#: py-ipfs-lite cuts files so.
_LINKS = 174
#: Bytes of one piece of ``get_file(stream=True)``.
_PIECE_BYTES = 256 * 1024


_PIN_KINDS = ("direct", "recursive", "indirect")


@dataclass(frozen=True, slots=True)
class GCResult:
    """How many blocks went, and how many stay."""

    reclaimed_blocks: int
    retained_blocks: int


class Peer:
    """
    Add and fetch between `start` and `close`, or in ``async with``.

    `start` and `close` must be called in the same task, as py-ipfs-lite's.

    :param host_key: the identity; by default a new one, or that of the folder.
    """

    def __init__(
        self,
        config: Config,
        *,
        blockstore: BlockStore | None = None,
        host_key: KeyPair | None = None,
        listen_addrs: Sequence[str | Multiaddr] | None = None,
    ) -> None:
        arguments.instance(config, Config, "config")
        if config.blockstore_type not in ("filesystem", "memory"):
            expected = "'filesystem' or 'memory'"
            raise arguments.out_of_range("blockstore_type", config.blockstore_type, expected)
        self.config = config
        self._store = blockstore
        self._host_key = host_key
        self._listen = list(listen_addrs or [])
        self._stack = AsyncExitStack()
        self._lite: LitePeer | None = None

    async def start(self) -> None:
        """Open the peer; a second call does nothing."""
        if self._lite is None:
            self._lite = await self._stack.enter_async_context(LitePeer.open(**self._options()))

    async def close(self) -> None:
        """Close it; a second call does nothing."""
        self._lite = None
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lite = None
        await self._stack.__aexit__(kind, error, traceback)

    def _options(self) -> dict[str, Any]:
        config, options = self.config, dict[str, Any]()
        if self._store is not None or config.blockstore_type == "memory":
            store = MemoryBlockStore() if self._store is None else self._store
            options |= {"block_store": store, "config": self._settings()}
        else:
            options |= {"repo": config.blockstore_path, "config": self._settings()}
        if config.offline:
            return {**options, "online": False}
        if self._host_key is not None:
            options["private_key"] = self._host_key.private_key
        elif "repo" not in options:
            options["private_key"] = create_new_key_pair().private_key
        high = config.conn_mgr_high_water
        low = min(config.conn_mgr_low_water / high, 1.0)
        return {
            **options,
            "listen": self._listen,
            "connection_config": SwarmConfig(max_connections=high, high_water=1.0, low_water=low),
            "routers": [config.ipni_endpoint] if config.use_ipni else None,
            "provide": config.reprovide_interval_seconds >= 0,
        }

    def _settings(self) -> Settings:
        interval = self.config.reprovide_interval_seconds
        if interval < 0:
            return Settings()
        strategy = self.config.reprovider_strategy
        return Settings(provide=strategy, provide_interval=float(interval))

    @property
    def lite(self) -> LitePeer:
        """
        The peer below, which does more.

        :raises PeerNotStartedError: before `start` and after `close`.
        """
        if self._lite is None:
            raise PeerNotStartedError("the peer is not started: call start(), or use async with")
        return self._lite

    @property
    def host(self) -> IHost:
        """The host; its ``get_addrs()`` are what others dial."""
        return self.lite.host

    # -- files ------------------------------------------------------------------------------------

    async def add_file(
        self,
        path_or_stream: SourceInput,
        params: AddParams | None = None,
        timeout: float | None = None,
        progress_callback: Callable[[int, int], None] | None = None,
    ) -> str:
        """Add a file; return its CID. Where it is announced, that goes on in the background."""
        params = params or AddParams()

        def progress(done: int, total: int | None) -> None:
            if progress_callback is not None:
                progress_callback(done, total or 0)

        with trio.fail_after(self._seconds(timeout)):
            added = await self.lite.add_file(
                path_or_stream,
                cid_version=1,
                chunker=params.chunker,
                raw_leaves=params.raw_leaves,
                hash=params.hash_fun,
                max_file_links=_LINKS,
                progress=progress,
            )
        return str(added.cid)

    async def get_file(
        self,
        cid_str: str,
        provider_addr: str | None = None,
        output_path: str | None = None,
        timeout: float | None = None,
        stream: bool = False,
    ) -> bytes | AsyncIterator[bytes] | None:
        """
        Fetch a file: return its bytes, an iterator of them, or write it to ``output_path``.

        :param timeout: the longest time without any block.
        :raises NotAFile: for a folder. (py-ipfs-lite gives its first entry.)
        """
        await self._meet(provider_addr)
        reader = await self.lite.get_file(cid_str, timeout=self._seconds(timeout))
        if stream:
            return self._pieces(reader)
        async with reader:
            if output_path is None:
                return await reader.read()
            await save(reader, output_path)
            return None

    async def _pieces(self, reader: Any) -> AsyncGenerator[bytes, None]:
        async with reader:
            while piece := await reader.read(_PIECE_BYTES):
                yield piece

    # -- nodes ------------------------------------------------------------------------------------

    async def add_node(
        self, node: Any, codec: str = "dag-json", timeout: float | None = None
    ) -> str:
        """Store a node in its canonical form; return its CID."""
        if codec == "raw" and isinstance(node, str):
            node = node.encode()
        codec = "dag-cbor" if codec == "cbor" else codec
        with trio.fail_after(self._seconds(timeout)):
            return str(await self.lite.dag.put(node, codec))

    async def get_node(
        self, cid_str: str, provider_addr: str | None = None, timeout: float | None = None
    ) -> Any:
        """Return what a node says; in dag-pb a `PBNode`."""
        await self._meet(provider_addr)
        async with self.lite.session(timeout=self._seconds(timeout)) as session:
            return (await session.get(cid_str)).value

    async def remove_node(self, cid_str: str) -> None:
        """Delete a block."""
        await self.lite.dag.remove(cid_str)

    # -- pins -------------------------------------------------------------------------------------

    async def add_pin(self, cid_str: str, recursive: bool = True) -> None:
        """Pin a block, by default with all below it; what is not here is fetched."""
        timeout = self.config.default_timeout
        await self.lite.pins.add(cid_str, recursive=recursive, timeout=timeout)

    async def remove_pin(self, cid_str: str) -> None:
        """Remove a pin; raises `NotPinnedError`."""
        await self.lite.pins.rm(cid_str)

    async def list_pins(self, type_filter: str = "all") -> dict[str, str]:
        """Return CIDs and how they are pinned: "direct", "recursive" or "indirect"."""
        if type_filter not in ("all", *_PIN_KINDS):
            raise arguments.out_of_range("type_filter", type_filter, "'all', or a kind of pins")
        kind: Any = None if type_filter == "all" else type_filter
        return {str(pin.cid): pin.kind async for pin in self.lite.pins.ls(kind)}

    async def gc(self) -> GCResult:
        """Remove the blocks that nothing needs."""
        reclaimed = 0
        async for batch in self.lite.gc():
            reclaimed += len(batch)
        retained = 0
        async for multihashes in self.lite.store.multihash_batches():
            retained += len(multihashes)
        return GCResult(reclaimed, retained)

    # -- names and CAR files ----------------------------------------------------------------------

    async def publish_name(
        self, value: str, lifetime_hours: int = 24, timeout: float | None = None
    ) -> str:
        """Say what this peer's name stands for; return the name, as a peer id."""
        with trio.fail_after(self._seconds(timeout)):
            await self.lite.names.publish(value, lifetime=lifetime_hours * 3600.0)
        return str(self.lite.peer_id)

    async def resolve_name(self, peer_id_str: str, timeout: float | None = None) -> str:
        """Return what a name stands for, such as ``/ipfs/…``."""
        with trio.fail_after(self._seconds(timeout)):
            found = await self.lite.names.resolve(Name.of(peer_id_str), recursive=False)
        return str(found.path)

    async def export_car(self, cid_str: str, output_path: str) -> None:
        """Write a DAG into a CAR file."""
        await self.lite.export_car(cid_str, output_path)

    async def import_car(self, input_path: str) -> list[str]:
        """Store the blocks of a CAR file; return its roots."""
        return [str(root) for root in (await self.lite.import_car(input_path)).roots]

    # -- parts ------------------------------------------------------------------------------------

    async def bootstrap(self, peers: Sequence[str]) -> None:
        """Connect to peers, and learn from them whom the DHT has."""
        await self.lite.bootstrap(peers)

    async def has_block(self, cid_str: str) -> bool:
        """Return whether a block is here."""
        return await self.lite.has_block(CID.of(cid_str))

    def session(self) -> Session:
        """Begin a session, which py-ipfs-lite does not have: it returns the peer itself."""
        return self.lite.session(timeout=self.config.default_timeout)

    def block_store(self) -> BlockStore:
        """Return the block store."""
        return self.lite.store

    def exchange(self) -> BitswapClient | None:
        """Return bitswap; None if the peer is offline."""
        return self.lite.exchange()

    def block_service(self) -> BlockService:
        """Return the store and bitswap as one."""
        return self.lite.block_service()

    async def _meet(self, provider_addr: str | None) -> None:
        if provider_addr is not None:
            await self.lite.connect(provider_addr)

    def _seconds(self, timeout: float | None) -> float:
        return self.config.default_timeout if timeout is None else arguments.seconds(timeout)
