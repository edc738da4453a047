"""The bitswap client and server of a host: what users call; `exchange` does the work."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import trio

from libp2p.abc import INotifee
from libp2p.base_types import TProtocol
from libp2p.bitswap.config import (
    BITSWAP_PROTOCOL_V120,
    BITSWAP_PROTOCOLS,
    DEFAULT_GET_TIMEOUT,
    DEFAULT_PRIORITY,
    HAVE_TIMEOUT,
)
from libp2p.bitswap.errors import BitswapError
from libp2p.bitswap.extension import serve_extension
from libp2p.bitswap.net.engine import BitswapEngine
from libp2p.bitswap.provider_query import ContentRouter, ProviderQueryManager
from libp2p.bitswap.wire.entry import WantType
from libp2p.blockstore import BlockStore, MemoryBlockStore, read_blocks
from libp2p.blockstore.base import check_store
from libp2p.events import PeerConnected, PeerDisconnected
from libp2p.exceptions import InvalidArgument
from libp2p.ipld.cid import CID, cid_inputs
from libp2p.peer.id import ID
from libp2p.utils import arguments
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from multiaddr import Multiaddr

    from libp2p.abc import IHost, INetConn, INetStream, INetwork
    from libp2p.bitswap.errors import PeerAnswer
    from libp2p.bitswap.extension import IBitswapExtension
    from libp2p.bitswap.fetch.blocks import BlockIterator
    from libp2p.bitswap.fetch.session import BitswapSession
    from libp2p.bitswap.message_queue import BitswapMessageQueue
    from libp2p.bitswap.peer_manager import BitswapPeerManager
    from libp2p.bitswap.presence import BlockPresenceManager
    from libp2p.bitswap.serve.accounts import Receipt
    from libp2p.bitswap.serve.server import ServerOptions
    from libp2p.bitswap.sim import SessionInterestManager
    from libp2p.bitswap.stats import BitswapStat
    from libp2p.bitswap.tracer import Tracer
    from libp2p.ipld.cid import CIDInput
    from libp2p.resources import Resources


class BitswapClient(BitswapEngine, INotifee):
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
        content_router: ContentRouter | None = None,
        *,
        server_options: ServerOptions | None = None,
        protocol_prefix: str = "",
        tracer: Tracer | None = None,
        resources: Resources | None = None,
    ) -> None:
        """
        :param protocol_version: the newest version to speak; older ones are offered as well.
        :param provider_query_manager: searches for peers when nobody has a block; by default one
            that asks ``content_router``, if there is that.
        :param presence_ttl: how long `presence_manager` keeps what the program enters itself.
        :param content_router: knows who has a block.
        :param server_options: whether and how blocks are served: filters, limits, order.
        :param protocol_prefix: what a network of its own puts in front of each protocol id, as
            "/celestia"; peers with another one, or none, are not spoken to.
        :param tracer: is told of every message; may also be set later, as ``client.tracer``.
        :param resources: the budgets of the host, if ``host`` has no ``resources`` of its own.
        :raises ValueError: if the version does not exist, or the prefix does not begin with "/".
        """
        arguments.having(host, ("get_network", "set_stream_handler"), "host", "an IHost")
        protocols = _protocols(protocol_version, protocol_prefix)
        if block_store is not None:
            check_store(block_store)
        store = MemoryBlockStore() if block_store is None else block_store
        super().__init__(host, store, protocols, server_options, resources)
        self.tracer = tracer
        self.protocol_version = protocol_version
        self.protocol_handlers: dict[str, IBitswapExtension] = {}
        if provider_query_manager is None and content_router is not None:
            provider_query_manager = ProviderQueryManager(content_router)
        if provider_query_manager is not None:
            provider_query_manager.attach(self)
        self.providers = self.provider_query_manager = provider_query_manager
        self._presence_ttl = arguments.seconds(presence_ttl, "presence_ttl")
        self._message_queues: WeakValueDictionary[ID, BitswapMessageQueue] = WeakValueDictionary()
        self.content_router = content_router
        self._default_session = self.new_session()
        self._patient_session = self.new_session(wait=True)
        self._wanted_session = self.new_session(wait=True)
        self._haves = self.open_session(presence_only=True)
        self._wanted_haves = self.open_session(wait=True, presence_only=True)

    # -- life -----------------------------------------------------------------------------------

    def set_nursery(self, nursery: trio.Nursery) -> None:
        """Run the tasks in this nursery instead of the host's."""
        arguments.having(nursery, ("start_soon",), "nursery", "a trio.Nursery")
        self._user_nursery = nursery

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
        peers, wants = len(self.tracker.peer_ids), len(self.tracker.wantlist())
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
        return self.open_session(peers, wait=wait)

    async def get_block(
        self,
        cid: CIDInput,
        peer_id: ID | None = None,
        timeout: float | None = DEFAULT_GET_TIMEOUT,
        *,
        wait: bool = False,
    ) -> bytes:
        """
        Give a block from the store, or else from a peer.

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
        """Give blocks as they come, (CID, data) each; see `BitswapSession.get_blocks`."""
        session = self.new_session()
        return session.get_blocks(cids, peer_id, timeout, window=window, ordered=ordered)

    async def get_blocks_batch(
        self,
        cids: Sequence[CIDInput],
        peer_id: ID | None = None,
        timeout: float | None = DEFAULT_GET_TIMEOUT,
        batch_size: int = 32,
    ) -> dict[bytes, bytes]:
        """Give several blocks by their binary CIDs; see `BitswapSession.get_blocks_batch`."""
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
        if await self.find_here(wanted) is not None:
            return
        for_block = want_type == WantType.Block
        self.want(self._wanted_session if for_block else self._wanted_haves, [wanted], priority)

    async def cancel_want(self, cid: CIDInput) -> None:
        """Take back what `want_block` asked for."""
        key = CID.of(cid).multihash
        for session in (self._wanted_session, self._wanted_haves):
            self.tracker.unwant(session.id, key)
        self.apply()
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
            if await self.find_here(wanted) is not None:
                return True
            session = self._haves
        else:
            session = self.open_session([peer_id], presence_only=True)
        try:
            await session.fetch(wanted, timeout)
        except BitswapError:
            return False
        return True

    # -- blocks of our own ----------------------------------------------------------------------

    async def notify_new_blocks(self, cids: Iterable[CIDInput]) -> None:
        """Send blocks that were stored some other way to those who wait for them."""
        for cid in map(CID.of, cid_inputs(cids)):
            if self.tracker.is_wanted(cid) or self.ledger.is_wanted(cid):
                [data], _ = await read_blocks(self.block_store, [cid])
                if data is not None:
                    self.announce(cid, data)

    # -- what is going on -----------------------------------------------------------------------

    def stat(self) -> BitswapStat:
        """Count what has been sent and received so far."""
        return replace(self.stats, wantlist=self.tracker.wantlist(), peers=self.tracker.peer_ids)

    def get_wantlist(self) -> list[CID]:
        """List what this client wants: the blocks and the answers whether somebody has them."""
        return self.tracker.wantlist()

    def get_want_blocks(self) -> list[CID]:
        """List the blocks that this client wants."""
        return self.tracker.wantlist(WantType.Block)

    def get_want_haves(self) -> list[CID]:
        """List the blocks of which this client only wants to know whether somebody has them."""
        return self.tracker.wantlist(WantType.Have)

    def answers_for(self, cid: CIDInput) -> dict[ID, PeerAnswer]:
        """Tell what peers have said so far of a block that is wanted; nothing of any other."""
        key = CID.of(cid).multihash
        found: dict[ID, PeerAnswer] = {}
        for number in list(self._sessions):
            found |= self.tracker.report(number, key)
        return found

    def sessions_waiting_for(self, cid: CIDInput) -> set[BitswapSession]:
        """Give the sessions in which somebody waits for a block."""
        key = CID.of(cid).multihash
        return {session for session in self._sessions.values() if session.waits_for(key)}

    def wantlist_for_peer(self, peer_id: ID) -> list[CID]:
        """List what a peer wants from us."""
        return [entry.cid for entry in self.ledger.wantlist(ID.of(peer_id))]

    def ledger_for_peer(self, peer_id: ID) -> Receipt:
        """Give the account of a peer: bytes and blocks sent and received, also while it is away."""
        return self.server.accounts.receipt(ID.of(peer_id))

    async def refilter(self) -> None:
        """Ask the request filter again for the wants that peers wait for: it has changed."""
        await self.server.refilter()

    # -- extensions -----------------------------------------------------------------------------

    def register_extension(self, protocol: TProtocol, extension: IBitswapExtension) -> None:
        """
        Let an extension see the messages that come with a protocol of its own.

        The protocol is offered to peers before the others.
        """
        arguments.protocol(protocol, "protocol")
        arguments.having(extension, ("set_client",), "extension", "an IBitswapExtension")
        extension.set_client(self)
        self.protocol_handlers[protocol] = extension
        if protocol not in self.supported_protocols:
            self.supported_protocols.insert(0, protocol)
        handler = partial(self.inbound.serve, partial(serve_extension, extension))
        self.stream_handlers[protocol] = handler
        if self.is_running:
            self.host.set_stream_handler(protocol, handler)

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

    def get_or_create_message_queue(self, peer_id: ID) -> BitswapMessageQueue:
        """Give the means to send messages of one's own to a peer."""
        from libp2p.bitswap.message_queue import BitswapMessageQueue

        peer_id = ID.of(peer_id)
        queue = self._message_queues.get(peer_id)
        if queue is None:
            queue = self._message_queues[peer_id] = BitswapMessageQueue(self, peer_id)
        return queue

    # -- as py-libp2p's notifee: events tell the client itself ------------------------------------

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Take note of a connection."""
        self._on_connected(PeerConnected(conn))

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Take note of the end of a connection."""
        self._on_disconnected(PeerDisconnected(conn))

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
