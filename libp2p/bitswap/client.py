"""The bitswap client and server of a host: what users call; `net.engine` does the work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary

import trio

from libp2p.abc import INotifee
from libp2p.base_types import TProtocol
from libp2p.bitswap.config import (
    BITSWAP_PROTOCOL_V120,
    BITSWAP_PROTOCOLS,
    DEFAULT_CONFIG,
    DEFAULT_GET_TIMEOUT,
    DEFAULT_PRIORITY,
    HAVE_TIMEOUT,
    BitswapConfig,
)
from libp2p.bitswap.errors import BitswapError, PeerAnswer
from libp2p.bitswap.fetch.session import BitswapSession
from libp2p.bitswap.net.engine import BitswapEngine
from libp2p.bitswap.net.extension_streams import ExtensionStreams
from libp2p.bitswap.provider_query import ProviderQueryManager
from libp2p.bitswap.wire.entry import WantType
from libp2p.blockstore import BlockStore, MemoryBlockStore, read_blocks
from libp2p.blockstore.base import LISTED_AT_ONCE, check_store
from libp2p.events import PeerConnected, PeerDisconnected
from libp2p.exceptions import InvalidArgument
from libp2p.ipld.cid import CID, cid_inputs
from libp2p.peer.id import ID
from libp2p.utils import arguments
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IHost, INetConn, INetStream, INetwork
    from libp2p.bitswap.fetch.blocks import BlockIterator
    from libp2p.bitswap.message_queue import BitswapMessageQueue
    from libp2p.bitswap.net.extension_streams import Extension
    from libp2p.bitswap.peer_manager import BitswapPeerManager
    from libp2p.bitswap.presence import BlockPresenceManager
    from libp2p.bitswap.serve.accounts import Receipt
    from libp2p.bitswap.serve.server import ServerOptions
    from libp2p.bitswap.sim import SessionInterestManager
    from libp2p.bitswap.stats import BitswapStat
    from libp2p.bitswap.tracer import Tracer
    from libp2p.ipld.cid import CIDInput
    from libp2p.resources import Resources
    from libp2p.routing.adapters import FindsProviders


class BitswapClient(INotifee):
    """
    Fetches blocks from peers, and answers theirs.

    It works between `start` and `stop`, or inside ``async with client.run()``. Its tasks run in the
    host, or in a nursery given by `set_nursery`. Start it before connecting: Kubo decides
    when it identifies us whether we speak bitswap.
    """

    def __init__(  # noqa: PLR0913 - options by name
        self,
        host: IHost,
        block_store: BlockStore | None = None,
        protocol_version: TProtocol = BITSWAP_PROTOCOL_V120,
        provider_query_manager: ProviderQueryManager | None = None,
        presence_ttl: float = 60.0,
        content_router: FindsProviders | None = None,
        *,
        server_options: ServerOptions | None = None,
        protocol_prefix: str = "",
        tracer: Tracer | None = None,
        resources: Resources | None = None,
        config: BitswapConfig = DEFAULT_CONFIG,
    ) -> None:
        """
        :param protocol_version: the newest version to speak; older ones are offered as well.
        :param provider_query_manager: searches for peers when nobody has a block; by default one
            that asks ``content_router``, if there is that.
        :param presence_ttl: how long `presence_manager` keeps what the program enters itself.
        :param content_router: knows who has a block: a `ContentRouter`, or one whose
            ``find_provider_iter`` returns a list, or has to be awaited.
        :param server_options: whether and how blocks are served: filters, limits, order.
        :param protocol_prefix: what a network of its own puts in front of each protocol id, as
            "/celestia"; peers with another one, or none, are not spoken to.
        :param tracer: is told of every message; may also be set later, as ``client.tracer``.
        :param resources: the budgets of the host, if ``host`` has no ``resources`` of its own.
        :param config: limits and times.
        :raises ValueError: if the version does not exist, or the prefix does not begin with "/".
        """
        arguments.having(host, ("get_network", "set_stream_handler"), "host", "an IHost")
        protocols = _protocols(protocol_version, protocol_prefix)
        arguments.instance(config, BitswapConfig, "config")
        if block_store is not None:
            check_store(block_store)
        store = MemoryBlockStore() if block_store is None else block_store
        if provider_query_manager is None and content_router is not None:
            provider_query_manager = ProviderQueryManager(content_router)
        finder = None if provider_query_manager is None else provider_query_manager.finder
        self._engine = engine = BitswapEngine(
            host, store, protocols, server_options, resources, finder, config
        )
        if finder is not None:
            finder.attach(host, engine)
        self.protocol_version = protocol_version
        self.content_router = content_router
        self.provider_query_manager = provider_query_manager
        self.protocol_handlers: dict[str, Extension] = {}
        self.tracer = tracer
        self._presence_ttl = arguments.seconds(presence_ttl, "presence_ttl")
        self._message_queues: WeakValueDictionary[ID, BitswapMessageQueue] = WeakValueDictionary()
        self._sessions: WeakSet[BitswapSession] = WeakSet()
        self._default_session = self.new_session()
        self._patient_session = self.new_session(wait=True)
        self._wanted_session = engine.open_session(wait=True)
        self._haves = engine.open_session(presence_only=True)
        self._wanted_haves = engine.open_session(wait=True, presence_only=True)

    @property
    def host(self) -> IHost:
        """The host whose connections are used."""
        return self._engine.host

    @property
    def block_store(self) -> BlockStore:
        """Where blocks are read from and kept; another one may be set at any time."""
        return self._engine.block_store

    @block_store.setter
    def block_store(self, store: BlockStore) -> None:
        check_store(store)
        self._engine.set_block_store(store)

    # -- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """
        Begin to serve and to fetch; this returns when it has begun, whoever has started it.

        :raises HostException: if neither the host runs nor a nursery was set.
        :raises ClientClosedError: if it is stopped meanwhile.
        """
        await self._engine.start()

    async def stop(self) -> None:
        """End all fetches and streams; it can be started again."""
        await self._engine.stop()

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`, as long as nothing in it has failed."""
        return self._engine.is_running

    def set_nursery(self, nursery: trio.Nursery) -> None:
        """Run the tasks in this nursery instead of the host's."""
        arguments.having(nursery, ("start_soon",), "nursery", "a trio.Nursery")
        self._engine.set_nursery(nursery)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[BitswapClient]:
        """Work for the length of the block: `start`, then `stop`."""
        try:
            await self.start()
            yield self
        finally:
            await self.stop()

    def __repr__(self) -> str:
        return shown(self, self._facts)

    def _facts(self) -> str:
        state = "running" if self.is_running else "not running"
        tracker = self._engine.tracker
        peers, wants = len(tracker.peer_ids), len(tracker.wantlist())
        return f"of {self.host.get_id()}, {state}, peers: {peers}, wants: {wants}"

    # -- fetching -------------------------------------------------------------------------------

    def new_session(
        self, peers: Iterable[ID] | None = None, *, wait: bool = False
    ) -> BitswapSession:
        """
        Begin a session: a fetch of blocks that belong together.

        :param peers: ask these peers only, nobody else.
        :param wait: when nobody has a block, go on waiting for peers until the timeout.
        """
        session = BitswapSession(self._engine, self._engine.open_session(peers, wait=wait))
        self._sessions.add(session)
        return session

    async def get_block(
        self,
        cid: CIDInput,
        peer_id: ID | None = None,
        timeout: float | None = DEFAULT_GET_TIMEOUT,
        *,
        wait: bool = False,
    ) -> bytes:
        """
        Return a block from the store, or else from a peer.

        :param peer_id: ask this peer only.
        :param wait: do not fail when nobody has it, but wait for a peer that has.
        :raises BlockUnavailableError: at once when nobody is left to ask; it says who answered
            what. `BlockNotFoundError` if all of them do not have it.
        :raises BlockTimeoutError: if it has not come after ``timeout`` seconds.
        """
        session = self._patient_session if wait else self._default_session
        return await session.get_block(cid, peer_id, timeout)

    def get_blocks(
        self,
        cids: Iterable[CIDInput],
        peer_id: ID | None = None,
        timeout: float | None = DEFAULT_GET_TIMEOUT,
        *,
        window: int | None = None,
        ordered: bool = False,
    ) -> BlockIterator:
        """Return blocks as they come, (CID, data) each; see `BitswapSession.get_blocks`."""
        session = self.new_session()
        return session.get_blocks(cids, peer_id, timeout, window=window, ordered=ordered)

    async def get_blocks_batch(
        self,
        cids: Sequence[CIDInput],
        peer_id: ID | None = None,
        timeout: float | None = DEFAULT_GET_TIMEOUT,
        batch_size: int = 32,
    ) -> dict[bytes, bytes]:
        """Return several blocks by their binary CIDs; see `BitswapSession.get_blocks_batch`."""
        return await self.new_session().get_blocks_batch(cids, peer_id, timeout, batch_size)

    async def want_block(
        self,
        cid: CIDInput,
        priority: int = DEFAULT_PRIORITY,
        want_type: WantType | int = WantType.Block,
        send_dont_have: bool = False,
    ) -> None:
        """
        Ask for a block until it comes or `cancel_want`; it is stored when it comes.

        :param send_dont_have: accepted for compatibility; peers are always asked to say so.
        :raises ValueError: or `TypeError`, if there is no such priority or kind of want.
        """
        wanted = CID.of(cid)
        priority = arguments.count(priority, "priority", -(2**31), 2**31 - 1)
        want_type = arguments.count(want_type, "want_type", WantType.Block, WantType.Have)
        if await self._engine.find_here(wanted) is not None:
            return
        for_block = want_type == WantType.Block
        session = self._wanted_session if for_block else self._wanted_haves
        self._engine.want(session, [wanted], priority)

    async def cancel_want(self, cid: CIDInput) -> None:
        """Take back what `want_block` asked for."""
        key = CID.of(cid).multihash
        for session in (self._wanted_session, self._wanted_haves):
            self._engine.tracker.unwant(session.id, key)
        self._engine.apply()
        await trio.lowlevel.checkpoint()

    async def have_block(
        self, cid: CIDInput, peer_id: ID | None = None, timeout: float | None = HAVE_TIMEOUT
    ) -> bool:
        """
        Tell whether a block can be had: from the store, or from a peer that says HAVE.

        :param peer_id: ask this peer, and only it.
        """
        wanted, timeout = CID.of(cid), arguments.seconds(timeout)
        if peer_id is None:
            if await self._engine.find_here(wanted) is not None:
                return True
            session = self._haves
        else:
            session = self._engine.open_session([peer_id], presence_only=True)
        try:
            await self._engine.fetch(session, wanted, timeout)
        except BitswapError:
            return False
        return True

    # -- blocks of our own ----------------------------------------------------------------------

    async def add_block(self, cid: CIDInput, data: bytes) -> None:
        """
        Store a block, and send it to the peers that wait for it.

        :raises BlockTooLargeError: if it is too large for any bitswap message.
        :raises InvalidBlockError: if it is not what the CID says.
        """
        await self._engine.add_block(cid, data)

    async def notify_new_blocks(self, cids: Iterable[CIDInput]) -> None:
        """Send blocks that were stored some other way to those who wait for them."""
        engine = self._engine
        for cid in map(CID.of, cid_inputs(cids)):
            if engine.tracker.is_wanted(cid) or engine.server.ledger.is_wanted(cid):
                [data], _ = await read_blocks(self.block_store, [cid])
                if data is not None:
                    engine.announce(cid, data)

    async def look_for_blocks(self) -> None:
        """Look for blocks that others have put into the store; send them to who waits for them."""
        engine = self._engine
        cids = list({*engine.tracker.wantlist(), *engine.server.ledger.missing()})
        for start in range(0, len(cids), LISTED_AT_ONCE):
            some = cids[start : start + LISTED_AT_ONCE]
            sizes = await self.block_store.get_sizes([cid.buffer for cid in some])
            found = [cid for cid, size in zip(some, sizes, strict=True) if size is not None]
            await self.notify_new_blocks(found)

    # -- what is going on -----------------------------------------------------------------------

    def stat(self) -> BitswapStat:
        """Return what has been sent and received so far."""
        engine = self._engine
        wantlist, peers = engine.tracker.wantlist(), engine.tracker.peer_ids
        return replace(engine.stats, wantlist=wantlist, peers=peers)

    def get_wantlist(self) -> list[CID]:
        """List what this client wants: the blocks and the answers whether somebody has them."""
        return self._engine.tracker.wantlist()

    def get_want_blocks(self) -> list[CID]:
        """List the blocks that this client wants."""
        return self._engine.tracker.wantlist(WantType.Block)

    def get_want_haves(self) -> list[CID]:
        """List the blocks of which this client only wants to know whether somebody has them."""
        return self._engine.tracker.wantlist(WantType.Have)

    def answers_for(self, cid: CIDInput) -> dict[ID, PeerAnswer]:
        """Return what peers have said so far of a block that is wanted; nothing of any other."""
        key = CID.of(cid).multihash
        found: dict[ID, PeerAnswer] = {}
        for session in list(self._engine.sessions.values()):
            found |= self._engine.tracker.report(session.id, key)
        return found

    def sessions_waiting_for(self, cid: CIDInput) -> set[BitswapSession]:
        """Return the sessions of `new_session` in which somebody waits for a block."""
        key = CID.of(cid).multihash
        return {session for session in self._sessions if session.waits_for(key)}

    def pending_answers(self) -> int:
        """Count the wants of all peers that can be answered and are not answered yet."""
        ledger = self._engine.server.ledger
        return sum(map(ledger.pending, list(ledger.peer_ids)))

    def wantlist_for_peer(self, peer_id: ID) -> list[CID]:
        """List what a peer wants from us."""
        return [entry.cid for entry in self._engine.server.ledger.wantlist(ID.of(peer_id))]

    def ledger_for_peer(self, peer_id: ID) -> Receipt:
        """Return the bytes and blocks sent to and received from a peer, also while it is away."""
        return self._engine.accounts.receipt(ID.of(peer_id))

    # -- how blocks are served ------------------------------------------------------------------

    @property
    def server_options(self) -> ServerOptions:
        """
        How blocks are served. Options set here are those of the next `start`.

        :raises BitswapError: if they are set while the client works.
        """
        return self._engine.server_options

    @server_options.setter
    def server_options(self, options: ServerOptions) -> None:
        self._engine.set_server_options(options)

    async def refilter(self) -> None:
        """Ask the request filter again for the wants that peers wait for: it has changed."""
        await self._engine.server.refilter()

    @property
    def tracer(self) -> Tracer | None:
        """Who is told of every message."""
        return self._engine.tracing.tracer

    @tracer.setter
    def tracer(self, tracer: Tracer | None) -> None:
        self._engine.tracing.set_tracer(tracer)

    # -- extensions -----------------------------------------------------------------------------

    def register_extension(self, protocol: TProtocol, extension: Extension) -> None:
        """
        Let an extension see the messages that come with a protocol of its own.

        The protocol is offered to peers before the others.
        """
        arguments.protocol(protocol, "protocol")
        arguments.having(extension, ("set_client",), "extension", "an IBitswapExtension")
        extension.set_client(self)
        self.protocol_handlers[protocol] = extension
        self._engine.add_protocol(protocol, ExtensionStreams(self._engine, extension))

    # -- py-libp2p's names of what is elsewhere here ---------------------------------------------

    @cached_property
    def presence_manager(self) -> BlockPresenceManager:
        """Who has which block: what `answers_for` tells."""
        from libp2p.bitswap.presence import BlockPresenceManager

        return BlockPresenceManager(self._presence_ttl, self)

    @cached_property
    def peer_manager(self) -> BitswapPeerManager:
        """What peers have delivered: what `ledger_for_peer` tells."""
        from libp2p.bitswap.peer_manager import BitswapPeerManager

        return BitswapPeerManager(self)

    @cached_property
    def sim(self) -> SessionInterestManager:
        """Which sessions wait for a block: what `sessions_waiting_for` tells."""
        from libp2p.bitswap.sim import SessionInterestManager

        return SessionInterestManager(self)

    @property
    def supported_protocols(self) -> list[TProtocol]:
        """The protocols that are offered to peers, the preferred one first."""
        return self._engine.supported_protocols

    def cleanup_peer(self, peer_id: ID) -> None:
        """Forget all that is known of a peer."""
        self._engine.lose_peer(ID.of(peer_id), PeerAnswer.DISCONNECTED)

    def get_or_create_message_queue(self, peer_id: ID) -> BitswapMessageQueue:
        """Return the means to send messages of one's own to a peer."""
        from libp2p.bitswap.message_queue import BitswapMessageQueue

        peer_id = ID.of(peer_id)
        queue = self._message_queues.get(peer_id)
        if queue is None:
            queue = self._message_queues[peer_id] = BitswapMessageQueue(self._engine, peer_id)
        return queue

    # -- as py-libp2p's notifee: events tell the client itself ------------------------------------

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Take note of a connection."""
        self._engine.on_connected(PeerConnected(conn))

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Take note of the end of a connection."""
        self._engine.on_disconnected(PeerDisconnected(conn))

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None: ...

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None: ...

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None: ...

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None: ...


def _protocols(newest: TProtocol, prefix: str) -> list[TProtocol]:
    """List the protocol ids to be spoken."""
    if not isinstance(prefix, str):
        raise arguments.wrong_type("protocol_prefix", prefix, "text")
    if newest not in BITSWAP_PROTOCOLS:
        raise InvalidArgument(f"protocol_version {newest!r} is none of {BITSWAP_PROTOCOLS}")
    if prefix and not prefix.startswith("/"):
        raise InvalidArgument(f"protocol_prefix {prefix!r} does not begin with '/'")
    spoken = BITSWAP_PROTOCOLS[BITSWAP_PROTOCOLS.index(newest) :]
    return [TProtocol(prefix + protocol) for protocol in spoken]
