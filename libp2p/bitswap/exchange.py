"""
What bitswap does between the cores and the network: the tasks, the links and the waiters.

An `Exchange` owns the tracker (what we want), the ledger (what others want) and a link per
connected peer. Each change of those cores is one plain call; `apply` then wakes the tasks that have
something to do. Nothing is awaited between a change and what follows from it.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import trio

from libp2p.abc import INotifee
from libp2p.bitswap.alarms import Alarms
from libp2p.bitswap.config import MAX_BLOCK_SIZE
from libp2p.bitswap.errors import (
    BitswapError,
    BlockTooLargeError,
    ClientClosedError,
    InvalidBlockError,
    PeerAnswer,
    unavailable,
)
from libp2p.bitswap.inbound import InboundStreams
from libp2p.bitswap.keeper import Keeper
from libp2p.bitswap.peer_link import PeerLink
from libp2p.bitswap.provider_query import ProviderQueryManager, ProviderSearch
from libp2p.bitswap.server import Server, ServerOptions
from libp2p.bitswap.session import BitswapSession, OneBlock
from libp2p.bitswap.stats import BitswapStat
from libp2p.bitswap.tracer import trace_blocks
from libp2p.bitswap.want_tracker import Found, Search, WantTracker
from libp2p.ipld.cid import CID
from libp2p.peer.addresses import AddressScope, scope_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from multiaddr import Multiaddr

    from libp2p.abc import IHost, INetConn, INetStream, INetwork
    from libp2p.bitswap.block_store import BlockStore
    from libp2p.bitswap.fetch import Fetch
    from libp2p.bitswap.messages import Message
    from libp2p.bitswap.tracer import Tracer
    from libp2p.bitswap.want_state import Unavailable
    from libp2p.bitswap.want_tracker import Want
    from libp2p.custom_types import StreamHandlerFn, TProtocol
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID

logger = logging.getLogger(__name__)


class Exchange(INotifee):
    """The inner part of `BitswapClient`, which adds what users call."""

    def __init__(
        self,
        host: IHost,
        block_store: BlockStore,
        protocols: Sequence[TProtocol],
        server_options: ServerOptions | None = None,
    ) -> None:
        self.host = host
        self.block_store = block_store
        self.supported_protocols: list[TProtocol] = list(protocols)
        self.tracker = WantTracker()
        self.server = Server(self, server_options)
        self.answer, self.answer_now = self.server.receive, self.server.receive_now
        self.ledger = self.server.ledger
        self.stats = BitswapStat()
        self.providers: ProviderQueryManager | None = None
        """Searches for peers when those that are connected do not have a block."""
        self.tracer: Tracer | None = None
        self.inbound = InboundStreams(self)
        self.stream_handlers: dict[TProtocol, StreamHandlerFn] = dict.fromkeys(
            protocols, self.inbound
        )
        self._links: dict[ID, PeerLink] = {}
        self.keeper = Keeper(self)
        self._user_nursery: trio.Nursery | None = None
        self._nursery: trio.Nursery | None = None
        self._stopped: trio.Event | None = None  # there between `start` and `stop`
        self._finished = trio.Event()
        self._finished.set()
        self._alarm = trio.CancelScope()
        self._alarm_at = math.inf  # its deadline, when the tracker is called next
        self.timeouts: Alarms[OneBlock] = Alarms()
        self._sessions: WeakValueDictionary[int, BitswapSession] = WeakValueDictionary()
        self._peer_sessions: dict[ID, BitswapSession] = {}
        self._abandoned: deque[int | Fetch] = deque()

    # -- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """
        Begin to serve and to fetch.

        :raises HostException: if neither the host runs nor a nursery was set.
        """
        if self._stopped is not None:
            return
        await self._finished.wait()
        started, stopped, finished = trio.Event(), trio.Event(), trio.Event()
        if self._user_nursery is not None:
            self._user_nursery.start_soon(self._serve, started, stopped, finished)
        else:
            self.host.start_service(self._serve, started, stopped, finished)
        self._stopped, self._finished = stopped, finished
        await started.wait()

    async def stop(self) -> None:
        """End all fetches and streams; it can be started again."""
        if self._stopped is not None:
            self._stopped.set()
            self._end()
        await self._finished.wait()

    async def _serve(self, started: trio.Event, stopped: trio.Event, finished: trio.Event) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._attach()
                nursery.start_soon(self._watch_time)
                nursery.start_soon(self.keeper.run)
                started.set()
                await stopped.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._drop_outcomes()  # of tasks that have ended with the nursery
            started.set()
            finished.set()
            if self._stopped is stopped:
                self._end()

    def _attach(self) -> None:
        for protocol, handler in self.stream_handlers.items():
            self.host.set_stream_handler(protocol, handler)
        self.host.get_network().register_notifee(self)
        self._find_peers()

    def _end(self) -> None:
        """Leave the host and tell everybody who waits; the nursery is being cancelled."""
        self._stopped = None
        for protocol in self.stream_handlers:
            self.host.remove_stream_handler(protocol)
        self.host.get_network().remove_notifee(self)
        for peer_id, link in list(self._links.items()):
            link.intake.stop()
            self._drop_link(peer_id)
        for peer_id in self.tracker.peer_ids:
            self.tracker.remove_peer(peer_id)
        self._nursery = None
        self.inbound.cancel()
        error = ClientClosedError("bitswap was stopped")
        for session in list(self._sessions.values()):
            session.fail_all(error)
        self._drop_outcomes()

    def _drop_outcomes(self) -> None:
        """Nobody waits any more, and no search is made."""
        while outcomes := self.tracker.take_outcomes():
            for outcome in outcomes:
                if isinstance(outcome, Search):
                    self.tracker.searched(outcome.key, 0, {})

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`."""
        return self._nursery is not None

    def start_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task for as long as the client works."""
        if self._nursery is not None:
            self._nursery.start_soon(task, *args)

    # -- sessions -------------------------------------------------------------------------------

    def open_session(
        self,
        peers: Iterable[ID] | None = None,
        *,
        wait: bool = False,
        presence_only: bool = False,
    ) -> BitswapSession:
        """Begin a session; ``presence_only`` asks whether somebody has the blocks, not for them."""
        peers = None if peers is None else list(peers)
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
        session.fail_all(ClientClosedError("the session was closed"))
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

    async def find_here(self, cid: CID) -> bytes | None:
        """Give a block that needs no peer: in the store, or told by the CID itself."""
        if cid.is_identity:
            return cid.digest
        found = self.block_store.get_blocks_now((cid,))
        data = await self.block_store.get_block(cid.buffer) if found is None else found[0]
        if data is None and (found is None or cid.is_empty_block):
            data = await self._find_otherwise(cid)
        return data

    async def find_all_here(self, cids: Sequence[CID]) -> list[bytes | None]:
        """Do as `find_here` for several."""
        found = self.block_store.get_blocks_now(cids)
        if found is None:
            found = await self.block_store.get_blocks([cid.buffer for cid in cids])
        return [
            await self._find_otherwise(cid) if data is None else data
            for cid, data in zip(cids, found, strict=True)
        ]

    async def _find_otherwise(self, cid: CID) -> bytes | None:
        """Give a block that the store did not give, and that needs no peer all the same."""
        if cid.is_identity:
            return cid.digest
        if self.tracker.came_lately(cid):
            # Another fetch has just stored it, while the store was being asked.
            return await self.block_store.get_block(cid.buffer)
        if cid.is_empty_block:
            # boxo says DONT_HAVE of it even where it has it: no Kubo gives an empty raw file.
            await self.add_block(cid, b"")
            return b""
        return None

    # -- what changed ---------------------------------------------------------------------------

    def apply(self) -> None:
        """Wake whoever has something to do after a change of the tracker."""
        while self._abandoned:
            left = self._abandoned.popleft()
            if isinstance(left, int):
                self.tracker.close_session(left)
            else:
                left.close()
        for peer_id in self.tracker.take_ready():
            if (link := self._links.get(peer_id)) is not None:
                link.wake_wants()
        for outcome in self.tracker.take_outcomes():
            if isinstance(outcome, Search):
                self.start_task(self._search, outcome)
                continue
            if isinstance(outcome, Found):
                if (session := self._sessions.get(outcome.session_id)) is not None:
                    session.resolve(outcome.key, b"")
            else:
                self.keeper.fail(outcome)
        if self.tracker.alarms.earlier:
            self.keep_time()

    def fail(self, outcome: Unavailable) -> None:
        """Tell who waits for a block that it does not come."""
        if (session := self._sessions.get(outcome.session_id)) is not None:
            error = unavailable(outcome.cid, outcome.peers, outcome.providers)
            session.fail(outcome.key, error)

    def keep_time(self) -> None:
        """Call the tracker earlier if it says so now."""
        self.tracker.alarms.earlier = False
        deadline = self.tracker.next_deadline()
        if deadline is not None and deadline < self._alarm_at:
            self._alarm.deadline = self._alarm_at = deadline

    def limit_time(self, waiter: OneBlock, when: float) -> None:
        """Let somebody wait until ``when`` at most, or until `timeouts` drops him."""
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
                late[1].end()
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
        kept = self._take(peer_id, messages, trio.current_time())
        self.apply()
        if kept:
            await self.keep(kept)
        await self.answer(peer_id, messages)
        if not kept:
            await trio.lowlevel.checkpoint()  # a flood of messages must not starve the others

    def take(self, peer_id: ID, messages: Sequence[Message], now: float) -> None:
        """Act on the blocks and presences of messages; the blocks are stored by a task."""
        if self._nursery is None:
            return
        kept = self._take(peer_id, messages, now)
        if kept and not (self.keeper.is_idle and self._keep_now(kept)):
            self.keeper.add(kept)
        self.apply()

    def _take(
        self, peer_id: ID, messages: Sequence[Message], now: float
    ) -> list[tuple[Want, bytes]]:
        """Act on blocks and presences; return the blocks that were wanted."""
        if self.tracer is not None:
            for message in messages:
                self.tracer.message_received(peer_id, message)
        self.tracker.heard(peer_id, messages[-1].pending_bytes)
        kept: list[tuple[Want, bytes]] = []
        for message in messages:
            self.stats.messages_received += 1
            if message.blocks:
                kept += self._claim(peer_id, message.blocks, now)
            if message.presences:
                self.tracker.receive_presences(peer_id, message.presences, now)
        self.server.heard(peer_id)
        return kept

    def _claim(
        self, peer_id: ID, blocks: Mapping[CID, bytes], now: float
    ) -> list[tuple[Want, bytes]]:
        claimed: list[tuple[Want, bytes]] = []
        size = 0
        stats = self.stats
        for cid, data in blocks.items():
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
            else:
                stats.unwanted_blocks_received += 1
        if claimed:
            self.server.accounts.received(peer_id, len(claimed), size, now)
            if self.tracer is not None:
                trace_blocks(self.tracer, peer_id, claimed, now)
        return claimed

    async def keep(self, blocks: Sequence[tuple[Want, bytes]]) -> None:
        """Store blocks, then hand them on: who gets a block can rely on finding it again."""
        try:
            # The blocks have come, and nobody asks for them again: a lost connection must not
            # keep them from the store.
            with trio.CancelScope(shield=True):
                named: list[tuple[CIDInput, bytes]] = [(w.cid.buffer, d) for w, d in blocks]
                await self.block_store.put_blocks(named)
        except Exception as error:  # task's edge: a store of the user's may raise anything
            logger.exception("the block store cannot keep %d blocks", len(blocks))
            self._not_kept(blocks, error)
        else:
            self._hand_on(blocks)

    def _keep_now(self, blocks: Sequence[tuple[Want, bytes]]) -> bool:
        """Do the same with a store that needs no time; return False with another one."""
        try:
            if not self.block_store.put_blocks_now([(want.cid, data) for want, data in blocks]):
                return False
        except Exception as error:  # task's edge: a store of the user's may raise anything
            logger.exception("the block store cannot keep %d blocks", len(blocks))
            self._not_kept(blocks, error)
        else:
            self._hand_on(blocks)
        return True

    def _not_kept(self, blocks: Sequence[tuple[Want, bytes]], error: Exception) -> None:
        for want, _ in blocks:
            failure = BitswapError(f"block {want.cid} came but was not stored: {error}")
            failure.__cause__ = error
            for number in self.tracker.settle(want):
                if (session := self._sessions.get(number)) is not None:
                    session.fail(want.key, failure)

    def _hand_on(self, blocks: Sequence[tuple[Want, bytes]]) -> None:
        for want, data in blocks:
            self._deliver(want, data)
            self.server.new_block(want.cid, len(data))

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

    def has_link(self, peer_id: ID) -> bool:
        """Tell whether a peer is known to be connected, or was asked for."""
        return peer_id in self._links

    def _is_local(self, peer_id: ID) -> bool:
        """Tell whether a peer is on this machine or in this network, as far as is known."""
        return all(
            scope_of(address) < AddressScope.PUBLIC
            for connection in self.host.get_network().get_connections(peer_id)
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

    # -- notices of the network -----------------------------------------------------------------

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """A peer is there: it is asked for what is wanted and nobody is known to have."""
        if self._nursery is not None:
            self.ensure_link(conn.muxed_conn.peer_id)
            self.apply()

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """A connection is gone; with the last one to a peer, the peer."""
        peer_id = conn.muxed_conn.peer_id
        if network.get_connections(peer_id):
            # What was asked on the lost one may have been forgotten with it.
            self.tracker.send_all_again(peer_id)
            self.apply()
        else:
            self._lose_peer(peer_id, PeerAnswer.DISCONNECTED)

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None: ...

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None: ...

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None: ...

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None: ...
