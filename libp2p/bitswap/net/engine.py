"""
What bitswap does between the cores and the network: the tasks, the links and the waiters.

An `BitswapEngine` owns the tracker (what we want), the ledger (what others want) and a link per
connected peer. Each change of those cores is one plain call; `apply` then wakes the tasks that have
something to do. Nothing is awaited between a change and what follows from it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import trio

from libp2p.bitswap.config import MAX_BLOCK_SIZE, STEP_ITEMS
from libp2p.bitswap.errors import (
    BitswapError,
    BlockTooLargeError,
    ClientClosedError,
    InvalidBlockError,
    PeerAnswer,
    not_stored,
    timed_out,
    unavailable,
)
from libp2p.bitswap.fetch.session import BitswapSession
from libp2p.bitswap.net.block_writer import BlockWriter
from libp2p.bitswap.net.inbound import InboundStreams
from libp2p.bitswap.net.peer_link import PeerLink
from libp2p.bitswap.net.reception import Reception
from libp2p.bitswap.net.service import Service
from libp2p.bitswap.provider_query import ProviderQueryManager, ProviderSearch
from libp2p.bitswap.serve.accounts import Accounts
from libp2p.bitswap.serve.server import Server, ServerContext, ServerOptions
from libp2p.bitswap.stats import BitswapStat
from libp2p.bitswap.tracer import Tracing
from libp2p.bitswap.want.timers import Timed, Timers
from libp2p.bitswap.want.tracker import Found, Search, WantTracker
from libp2p.blockstore import read_blocks
from libp2p.events import PeerConnected, PeerDisconnected
from libp2p.io.waiter import Waiter
from libp2p.ipld.cid import CID
from libp2p.peer.addresses import AddressScope, scope_of
from libp2p.peer.id import ID
from libp2p.resources import Resources
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from libp2p.abc import IHost, INetStream, StreamHandlerFn
    from libp2p.base_types import TProtocol
    from libp2p.bitswap.fetch.blocks import Fetch
    from libp2p.bitswap.tracer import Tracer
    from libp2p.bitswap.want.reports import Unavailable
    from libp2p.bitswap.want.tracker import Want
    from libp2p.bitswap.wire.message import Message
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CIDInput
    from libp2p.network.connection_manager import ConnectionManager
    from libp2p.utils.event_bus import Subscription

logger = get_logger(__name__)


class BitswapEngine(Service):
    """The inner part of `BitswapClient`, which adds what users call."""

    def __init__(
        self,
        host: IHost,
        block_store: BlockStore,
        protocols: Sequence[TProtocol],
        server_options: ServerOptions | None = None,
        resources: Resources | None = None,
    ) -> None:
        super().__init__()
        self.host = host
        self.resources = resources or getattr(host, "resources", None) or Resources()
        self.block_store = block_store
        self.supported_protocols: list[TProtocol] = list(protocols)
        self.tracing = Tracing(self.faults)
        self.tracker = WantTracker()
        self.chores = self.tracker.chores
        self.accounts = Accounts()
        self.stats = BitswapStat()
        self.server_options = ServerOptions() if server_options is None else server_options
        self.providers: ProviderQueryManager | None = None
        """Searches for peers when those that are connected do not have a block."""
        self.inbound = InboundStreams(self)
        self.stream_handlers: dict[TProtocol, StreamHandlerFn] = dict.fromkeys(
            protocols, self.inbound
        )
        self._links: dict[ID, PeerLink] = {}
        self.keeper = BlockWriter(self)
        self.reception = Reception(self)
        self._changed = self._applying = False
        self._chores_begun = Waiter()
        self._alarm = trio.CancelScope()
        self._alarm_at = math.inf  # its deadline, when the tracker is called next
        self.timeouts: Timers[Timed] = Timers()
        self._sessions: WeakValueDictionary[int, BitswapSession] = WeakValueDictionary()
        self._peer_sessions: dict[ID, BitswapSession] = {}
        self._abandoned: deque[int | Fetch] = deque()
        self._subscriptions: list[Subscription] = []

    @property
    def server_options(self) -> ServerOptions:
        """
        How blocks are served. Options set here are those of the next `start`.

        :raises BitswapError: if they are set while the client works.
        """
        return self._server_options

    @server_options.setter
    def server_options(self, options: ServerOptions) -> None:
        arguments.instance(options, ServerOptions, "server_options")
        if self.is_running:
            raise BitswapError("server_options cannot be changed while bitswap runs: stop it first")
        self._server_options = options
        self.server = Server(
            options,
            ServerContext(
                store=lambda: self.block_store,
                open_stream=self.open_reply_stream,
                start_task=self.start_task,
                set_timer=self.limit_time,
                on_unreachable=self.peer_unreachable,
                accounts=self.accounts,
                stats=self.stats,
                tracing=self.tracing,
                faults=self.faults,
                resources=self.resources,
                chores=self.chores,
            ),
        )
        self.answer, self.answer_now = self.server.receive, self.server.receive_now
        self.ledger = self.server.ledger

    # -- life -----------------------------------------------------------------------------------

    def _spawn(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        self.host.start_service(task, *args)

    def _parts(self) -> list[Callable[[], Awaitable[None]]]:
        return [self._watch_time, self.keeper.run, self.reception.run, self._do_chores]

    def _attach(self) -> None:
        for protocol, handler in self.stream_handlers.items():
            self.host.set_stream_handler(protocol, handler)
        events = self.host.get_network().events
        self._subscriptions = [
            events.subscribe(self._on_connected, PeerConnected),
            events.subscribe(self._on_disconnected, PeerDisconnected),
        ]
        if (manager := self._connection_manager) is not None:
            manager.add_estimate(self._worth)
        self._find_peers()

    @property
    def _connection_manager(self) -> ConnectionManager | None:
        # py-libp2p's interface of a network has none.
        return getattr(self.host.get_network(), "connection_manager", None)

    def _worth(self, peer_id: ID) -> int:
        """
        Tell what a connection is worth: up to 25 for what was exchanged, more while blocks are due.

        A want makes a peer worth little more than one that is silent: any stranger can have one.
        """
        asked = 25 if self.tracker.is_asked(peer_id) else 0
        waits = 1 if self.ledger.count_of(peer_id) else 0
        return asked + waits + self.server.score(peer_id, trio.current_time())

    def _leave(self, fault: Exception | None) -> None:
        """Leave the host and tell everybody who waits."""
        for protocol in self.stream_handlers:
            self.host.remove_stream_handler(protocol)
        for subscription in self._subscriptions:
            subscription.cancel()
        if (manager := self._connection_manager) is not None:
            manager.remove_estimate(self._worth)
        error = ClientClosedError("bitswap was stopped" if fault is None else "bitswap has failed")
        error.__cause__ = fault
        for session in list(self._sessions.values()):
            session.fail_all(error)
        for peer_id, link in list(self._links.items()):
            link.intake.stop()
            self._drop_link(peer_id)
        for peer_id in self.tracker.peer_ids:
            self.tracker.remove_peer(peer_id)
        self.inbound.cancel()
        self.keeper.hurry()
        self._drop_outcomes()

    def _drop_outcomes(self) -> None:
        """Nobody waits any more, and no search is made."""
        self.chores.finish()
        while outcomes := self.tracker.take_outcomes():
            for outcome in outcomes:
                if isinstance(outcome, Search):
                    self.tracker.searched(outcome.key, 0, {})

    @property
    def tracer(self) -> Tracer | None:
        """Who is told of every message."""
        return self.tracing.tracer

    @tracer.setter
    def tracer(self, tracer: Tracer | None) -> None:
        self.tracing.tracer = tracer

    # -- sessions -------------------------------------------------------------------------------

    def open_session(
        self,
        peers: Iterable[ID] | None = None,
        *,
        wait: bool = False,
        presence_only: bool = False,
    ) -> BitswapSession:
        """Begin a session; ``presence_only`` asks whether somebody has the blocks, not for them."""
        peers = None if peers is None else ID.list_of(peers)
        number = self.tracker.open_session(
            peers,
            wait=wait,
            presence_only=presence_only,
            searches=self.providers is not None,
        )
        session = self._sessions[number] = BitswapSession(self, number, peers or ())
        return session

    def session_with(self, peer_id: ID) -> BitswapSession:
        """Give the session that asks one peer only."""
        session = self._peer_sessions.get(peer_id)
        if session is None:
            session = self._peer_sessions[peer_id] = self.open_session([peer_id])
        return session

    def close_session(self, session: BitswapSession) -> None:
        """End a session and whoever waits in it."""
        self.chores.begin(session.failing_all(ClientClosedError("the session was closed")))
        self.tracker.close_session(session.id)
        self.apply()

    def abandon_session(self, session_id: int) -> None:
        """Note that nothing refers to a session any more; its wants end with the next change."""
        self._abandoned.append(session_id)

    def abandon_fetch(self, fetch: Fetch) -> None:
        """Note that nobody will take the blocks of a fetch."""
        self._abandoned.append(fetch)

    def want(
        self,
        session: BitswapSession,
        cids: Iterable[CID],
        priority: int | None = None,
        now: float | None = None,
    ) -> None:
        """
        Ask for blocks for a session.

        :param now: the time, if it is known.
        :raises ClientClosedError: if the client does not work, or the session is closed.
        """
        if self._nursery is None or session.closed:
            raise ClientClosedError("bitswap is not running, or the session was closed")
        for peer_id in session.peers:
            self.ensure_link(peer_id)
        if not session.peers and not self.tracker.knows_peers(session.id):
            # A connection may be older than the notice of it.
            self._find_peers()
        if now is None:
            now = trio.current_time()
        for cid in cids:
            self.tracker.want(session.id, cid, now, priority)
        self.apply()

    # -- blocks that are here ------------------------------------------------------------------

    async def add_block(self, cid: CIDInput, data: bytes) -> None:
        """
        Store a block, and send it to the peers that wait for it.

        :raises BlockTooLargeError: if it is too large for any bitswap message.
        :raises InvalidBlockError: if it is not what the CID says.
        """
        named = CID.of(cid)
        if type(data) is not bytes:
            data = bytes(arguments.binary(data))
        if len(data) > MAX_BLOCK_SIZE:
            raise BlockTooLargeError(f"block of {len(data)} bytes, at most {MAX_BLOCK_SIZE}")
        if not named.matches(data):
            raise InvalidBlockError(f"the {len(data)} bytes are not those of {named}")
        await self.block_store.put_block(named.buffer, data)
        self.announce(named, data)

    def announce(self, cid: CID, data: bytes) -> None:
        """Hand a stored block to our own waiters and to the peers that want it."""
        want = self.tracker.claim(None, cid, len(data), trio.current_time())
        if want is not None:
            self._deliver(want, data)
        self.server.new_block(cid, len(data))
        self.apply()

    async def find_here(self, cid: CID, timeout: float = math.inf) -> bytes | None:
        """Give a block that needs no peer: in the store, or told by the CID itself."""
        if cid.is_identity:
            return cid.digest
        found = self._read_now((cid,))
        if found is not None:
            data = found[0]
        else:
            with trio.move_on_after(max(timeout, 0)) as scope:
                data = await self._read(cid)
            if scope.cancelled_caught:
                raise timed_out(cid, timeout, {})
        if data is None and (found is None or cid.is_empty_block):
            data = await self._find_otherwise(cid)
        return data

    async def find_all_here(self, cids: Sequence[CID]) -> list[bytes | None]:
        """Do as `find_here` for several."""
        found = self._read_now(cids)
        if found is None:
            found, _ = await read_blocks(self.block_store, cids)
        return [
            await self._find_otherwise(cid) if data is None else data
            for cid, data in zip(cids, found, strict=True)
        ]

    def _read_now(self, cids: Sequence[CID]) -> list[bytes | None] | None:
        return self.block_store.get_blocks_now(cids) if self.block_store.verifies else None

    async def _read(self, cid: CID) -> bytes | None:
        return (await read_blocks(self.block_store, [cid]))[0][0]

    async def _find_otherwise(self, cid: CID) -> bytes | None:
        """Give a block that the store did not give, and that needs no peer all the same."""
        if cid.is_identity:
            return cid.digest
        if self.tracker.came_lately(cid):
            # Another fetch has just stored it, while the store was being asked.
            return await self._read(cid)
        if cid.is_empty_block:
            # boxo says DONT_HAVE of it even where it has it: no Kubo gives an empty raw file.
            await self.add_block(cid, b"")
            return b""
        return None

    # -- what changed ---------------------------------------------------------------------------

    def apply(self) -> None:
        """
        Wake whoever has something to do after a change of the tracker.

        Who is woken may change it again; that is seen to here as well, one after the other.
        """
        self._changed = True
        if self._applying:
            return
        self._applying = True
        try:
            while self._changed:
                self._changed = False
                self._apply_once()
        finally:
            self._applying = False

    def _apply_once(self) -> None:
        if self._abandoned:
            abandoned, self._abandoned = self._abandoned, deque()
            self.chores.begin(self._abandoning(abandoned))
        for peer_id in self.tracker.take_ready():
            if (link := self._links.get(peer_id)) is not None:
                link.wake_wants()
        for outcome in self.tracker.take_outcomes():
            if isinstance(outcome, Search):
                self.start_task(self._search, outcome)
            elif isinstance(outcome, Found):
                if (session := self._sessions.get(outcome.session_id)) is not None:
                    session.resolve(outcome.key, b"")
            else:
                self.keeper.fail(outcome)
        self.keep_time()
        if self.chores.left:
            if self._nursery is None:
                self.chores.finish()
                self._changed = True
            else:
                self._chores_begun.wake()

    def _abandoning(self, abandoned: deque[int | Fetch]) -> Iterator[None]:
        """End what nobody refers to any more, some wants in each step."""
        wants = 0
        for left in abandoned:
            if isinstance(left, int):
                self.tracker.close_session(left)
            else:
                wants += left.waiting
                left.close()
            if wants > STEP_ITEMS:
                wants = 0
                yield

    async def _do_chores(self) -> None:
        """Go on with what has begun and was too long for one step."""
        while True:
            if self.chores.left:
                self.chores.step()
                self.apply()
                await trio.lowlevel.checkpoint()
            else:
                await self._chores_begun.wait()

    def fail(self, outcome: Unavailable) -> None:
        """Tell who waits for a block that it does not come."""
        if (session := self._sessions.get(outcome.session_id)) is not None:
            damage = self.block_store.damage_of(outcome.cid)
            error = unavailable(outcome.cid, outcome.peers, outcome.providers, damage)
            session.fail(outcome.key, error)

    def keep_time(self) -> None:
        """Call the tracker earlier if it says so now."""
        if self.tracker.timers.earliest < self._alarm_at:
            deadline = self.tracker.next_deadline()
            if deadline is not None and deadline < self._alarm_at:
                self._alarm.deadline = self._alarm_at = deadline

    def limit_time(self, waiter: Timed, when: float) -> None:
        """Call ``waiter.expire`` at ``when``, unless `timeouts` drops it before."""
        self.timeouts.set(waiter, when)
        if when < self._alarm_at:
            self._alarm.deadline = self._alarm_at = when

    async def _watch_time(self) -> None:
        """Call the tracker when it says so, and end fetches whose time is over."""
        while True:
            due = [self.tracker.next_deadline(), self.timeouts.next]
            self._alarm_at = min([when for when in due if when is not None], default=math.inf)
            with trio.CancelScope(deadline=self._alarm_at) as self._alarm:
                await trio.sleep_forever()
            now = trio.current_time()
            while (late := self.timeouts.take(now)) is not None:
                late[1].expire()
            self.tracker.tick(now)
            self.apply()

    async def _search(self, search: Search) -> None:
        """Search for providers of a block and tell the tracker of those that can be asked."""

        def connected(peer_id: ID) -> None:
            self.ensure_link(peer_id)
            self.tracker.provider_connected(search.key, peer_id)
            self.apply()

        assert self.providers is not None
        result = ProviderSearch()
        try:
            result = await self.providers.search(search.cid, connected)
        finally:
            self.tracker.searched(search.key, len(result.found), result.failed)
        self.apply()

    # -- what peers send ------------------------------------------------------------------------

    async def receive(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Act on the messages of a peer; its blocks are stored when this returns."""
        self.heard(peer_id, messages)
        kept = self._take(peer_id, messages, trio.current_time())
        self.apply()
        if kept:
            await self.keeper.keep(kept)
        await self.answer(peer_id, messages)
        if not kept:
            await trio.lowlevel.checkpoint()  # a flood of messages must not starve the others

    def heard(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Note that messages have come."""
        self.tracing.received(peer_id, messages)
        self.tracker.heard(peer_id, messages[-1].pending_bytes)
        self.stats.messages_received += len(messages)
        self.server.heard(peer_id)

    def take(self, peer_id: ID, messages: Sequence[Message], now: float) -> None:
        """Act on the blocks and presences of messages; the blocks are stored by a task."""
        if self._nursery is None:
            return
        kept = self._take(peer_id, messages, now)
        if kept:
            self.keeper.add(kept)
        self.apply()

    def _take(
        self, peer_id: ID, messages: Sequence[Message], now: float
    ) -> list[tuple[Want, bytes]]:
        """Act on blocks and presences; return the blocks that were wanted."""
        kept: list[tuple[Want, bytes]] = []
        for message in messages:
            if message.blocks or message.unusable:
                kept += self._claim(peer_id, message, now)
            if message.presences:
                self.tracker.receive_presences(peer_id, message.presences, now)
        return kept

    def _claim(self, peer_id: ID, message: Message, now: float) -> list[tuple[Want, bytes]]:
        claimed: list[tuple[Want, bytes]] = []
        size = 0
        stats = self.stats
        unasked = message.unusable
        for cid, data in message.blocks.items():
            stats.blocks_received += 1
            stats.data_received += len(data)
            want = self.tracker.claim(peer_id, cid, len(data), now)
            if want is not None:
                claimed.append((want, data))
                size += len(data)
            elif (sessions := self.tracker.duplicate(peer_id, cid)) is not None:
                stats.dup_blks_received += 1
                stats.dup_data_received += len(data)
                for number in sessions:
                    if (session := self._sessions.get(number)) is not None:
                        session.count_duplicate(data)
            elif self.tracker.is_late(peer_id, cid):
                stats.late_blocks_received += 1
            else:
                unasked += 1 + message.repeats.get(cid, 0)
        if unasked:
            logger.debug("%s sent %d blocks that were not asked for", peer_id, unasked)
            stats.unwanted_blocks_received += unasked
            self.tracker.unasked(peer_id, unasked)
        if claimed:
            self.accounts.received(peer_id, len(claimed), size, now)
            self.tracing.blocks(peer_id, claimed, now)
        return claimed

    def hand_on(self, blocks: Iterable[tuple[Want, bytes]]) -> None:
        """Give blocks that are stored to who waits for them: here, and peers."""
        for want, data in blocks:
            self._deliver(want, data)
            self.server.new_block(want.cid, len(data))

    def not_kept(self, blocks: Iterable[tuple[Want, bytes]], error: Exception) -> None:
        """Tell who waits for blocks that they came and could not be stored."""
        for want, _ in blocks:
            failure = not_stored(want.cid, error)
            for number in self.tracker.settle(want):
                if (session := self._sessions.get(number)) is not None:
                    session.fail(want.key, failure)

    def _deliver(self, want: Want, data: bytes) -> None:
        for number in self.tracker.settle(want):
            if (session := self._sessions.get(number)) is not None:
                session.deliver(want.key, data)

    # -- peers ----------------------------------------------------------------------------------

    def _find_peers(self) -> None:
        """Take in connections that the network has not told of, or not yet."""
        for peer_id in self.host.get_connected_peers():
            self.ensure_link(peer_id)

    def ensure_link(self, peer_id: ID) -> PeerLink:
        """Give the link to a peer, which is tried to be reached if it is not connected."""
        link = self._links.get(peer_id)
        if link is None:
            link = self._links[peer_id] = PeerLink(self, peer_id)
            self.server.add_peer(peer_id)
            self.tracker.add_peer(peer_id, local=self._is_local(peer_id))
        return link

    async def open_reply_stream(self, peer_id: ID) -> INetStream:
        """Open a stream for answers; a peer that has gone is not dialled for it."""
        return await self.host.new_stream(peer_id, self.supported_protocols, no_dial=True)

    def has_link(self, peer_id: ID) -> bool:
        """Tell whether a peer is known to be connected, or was asked for."""
        return peer_id in self._links

    def _is_local(self, peer_id: ID) -> bool:
        """Tell whether a peer is on this machine or in this network, as far as is known."""
        connections = self.host.get_network().get_connections(peer_id)
        return bool(connections) and all(
            scope_of(address) < AddressScope.PUBLIC
            for connection in connections
            for address in connection.get_transport_addresses()
        )

    def _drop_link(self, peer_id: ID) -> None:
        link = self._links.pop(peer_id, None)
        if link is not None:
            link.close()
        self.server.forget(peer_id)

    def peer_unreachable(self, peer_id: ID) -> None:
        """Forget a peer that turned out not to be connected."""
        self._lose_peer(peer_id, PeerAnswer.UNREACHABLE)

    def cleanup_peer(self, peer_id: ID) -> None:
        """Forget all that is known of a peer; py-libp2p's name."""
        self._lose_peer(peer_id, PeerAnswer.DISCONNECTED)

    def _lose_peer(self, peer_id: ID, reason: PeerAnswer) -> None:
        self._peer_sessions.pop(peer_id, None)
        self.tracker.remove_peer(peer_id, reason)
        self._drop_link(peer_id)
        self.apply()

    # -- events of the network ------------------------------------------------------------------

    def _on_connected(self, event: PeerConnected) -> None:
        """A peer is there: it is asked for what is wanted and nobody is known to have."""
        if self._nursery is not None:
            self.ensure_link(event.peer_id)
            self.apply()

    def _on_disconnected(self, event: PeerDisconnected) -> None:
        """A connection is gone; with the last one to a peer, the peer."""
        if self.host.get_network().get_connections(event.peer_id):
            # What was asked on the lost one may have been forgotten with it.
            self.tracker.send_all_again(event.peer_id)
            self.apply()
        else:
            self._lose_peer(event.peer_id, PeerAnswer.DISCONNECTED)
