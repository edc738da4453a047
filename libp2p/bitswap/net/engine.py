"""
The engine, which joins the cores to the network: it has the tasks, the links and the waiters.

A `BitswapEngine` owns the want tracker, the server with its ledger, and a link per connected peer.
Each change of a core is one plain call; `apply` then wakes the tasks that have got work. Nothing is
awaited between a change and `apply`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, cast

import trio

from libp2p.bitswap.common.chores import each
from libp2p.bitswap.config import DEFAULT_CONFIG, MAX_BLOCK_SIZE
from libp2p.bitswap.errors import (
    BitswapError,
    BlockTooLargeError,
    ClientClosedError,
    InvalidBlockError,
    PeerAnswer,
    timed_out,
)
from libp2p.bitswap.net.block_writer import BlockWriter
from libp2p.bitswap.net.inbound import InboundStreams
from libp2p.bitswap.net.message_handler import MessageHandler
from libp2p.bitswap.net.peer_link import LinkContext, PeerLink
from libp2p.bitswap.net.peer_receiver import PeerReceiver
from libp2p.bitswap.net.providers import ProviderSearch
from libp2p.bitswap.net.receiver import Receiver
from libp2p.bitswap.net.service import Service
from libp2p.bitswap.net.time_watch import TimeWatch
from libp2p.bitswap.net.waiters import OneBlock, Sessions, SessionState
from libp2p.bitswap.serve.accounts import Accounts
from libp2p.bitswap.serve.server import Server, ServerContext, ServerOptions
from libp2p.bitswap.stats import BitswapStat
from libp2p.bitswap.tracer import Tracing
from libp2p.bitswap.want.tracker import Found, Search, WantTracker
from libp2p.blockstore import read_blocks
from libp2p.events import PeerConnected, PeerDisconnected
from libp2p.exceptions import HostException
from libp2p.io.waiter import Waiter
from libp2p.ipld.cid import CID
from libp2p.peer.addresses import AddressScope, scope_of
from libp2p.peer.id import ID
from libp2p.resources import Resources
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import IHost, INetStream, StreamHandlerFn
    from libp2p.base_types import TProtocol
    from libp2p.bitswap.config import BitswapConfig
    from libp2p.bitswap.errors import BlockTimeoutError
    from libp2p.bitswap.net.providers import ProviderFinder
    from libp2p.bitswap.net.waiters import BlockWaiter
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CIDInput
    from libp2p.network.connection_manager import ConnectionManager
    from libp2p.utils.event_bus import Subscription

logger = get_logger(__name__)


class BitswapEngine(Service):
    """Does the work of `BitswapClient` and `BitswapSession`."""

    def __init__(
        self,
        host: IHost,
        block_store: BlockStore,
        protocols: Sequence[TProtocol],
        server_options: ServerOptions | None = None,
        resources: Resources | None = None,
        providers: ProviderFinder | None = None,
        config: BitswapConfig = DEFAULT_CONFIG,
    ) -> None:
        """:param providers: finds further peers when no connected peer has a block."""
        super().__init__()
        self.host = host
        self.config = config
        self.resources = resources or getattr(host, "resources", None) or Resources()
        self.set_block_store(block_store)
        self.supported_protocols: list[TProtocol] = list(protocols)
        self.providers = providers
        self.tracing = Tracing(self.faults)
        self.tracker = WantTracker()
        self.chores = self.tracker.chores
        self.accounts = Accounts()
        self.stats = BitswapStat()
        self.sessions = Sessions()
        self.time_watch = TimeWatch(self.tracker, self.apply)
        self.set_server_options(ServerOptions() if server_options is None else server_options)
        self.stream_handlers: dict[TProtocol, StreamHandlerFn] = dict.fromkeys(
            protocols, InboundStreams(self._receiver_of)
        )
        self._links: dict[ID, PeerLink] = {}
        self._link_context = LinkContext(
            host=host,
            protocols=self.supported_protocols,
            service=self,
            tracker=self.tracker,
            time_watch=self.time_watch,
            tracing=self.tracing,
            apply=self.apply,
            unreachable=self.peer_unreachable,
            config=config,
        )
        self._changed = self._applying = False
        self._chores_begun = Waiter()
        self._peer_sessions: dict[ID, SessionState] = {}
        self._abandoned: deque[Callable[[], object]] = deque()
        self._subscriptions: list[Subscription] = []

    def set_block_store(self, store: BlockStore) -> None:
        """Read and store blocks in this store from now on."""
        self.block_store = store

    def set_server_options(self, options: ServerOptions) -> None:
        """
        Set how blocks are served from the next `start` on.

        :raises BitswapError: if the client runs.
        """
        arguments.instance(options, ServerOptions, "server_options")
        if self.is_running:
            raise BitswapError("server_options cannot be changed while bitswap runs: stop it first")
        self.server_options = options
        self.server = Server(
            options,
            ServerContext(
                store=self._store,
                open_stream=self._open_reply_stream,
                start_task=self.start_task,
                set_timer=self.time_watch.set,
                on_unreachable=self.peer_unreachable,
                accounts=self.accounts,
                stats=self.stats,
                tracing=self.tracing,
                faults=self.faults,
                resources=self.resources,
                chores=self.chores,
            ),
        )
        self.writer = BlockWriter(
            self._store,
            self.tracker,
            self.sessions,
            self.server,
            self.faults,
            self.config,
            self._said_of,
        )
        self.receiver = Receiver(self.writer, self.resources, self.config)
        self.handler = MessageHandler(
            self.tracker,
            self.server,
            self.writer,
            self.sessions,
            self.stats,
            self.tracing,
            self.apply,
        )

    def _store(self) -> BlockStore:
        return self.block_store

    def _said_of(self, key: bytes) -> Mapping[str, str]:
        return {} if self.providers is None else self.providers.said_of(key)

    def late(self, session_id: int, cid: CID, seconds: float) -> BlockTimeoutError:
        """Make the error for a block that did not come in time, with the answers of the peers."""
        report = self.tracker.report(session_id, cid.multihash)
        return timed_out(cid, seconds, report, self._said_of(cid.multihash))

    # -- life -----------------------------------------------------------------------------------

    def _spawn(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        # py-libp2p's own tests pass hosts that run no tasks: `start` would wait for ever.
        start_service = cast("Callable[..., object]", self.host.start_service)
        if start_service(task, *args) is not None:
            raise HostException(f"{self.host!r:.100} is no host that runs tasks")

    def _parts(self) -> list[Callable[[], Awaitable[None]]]:
        return [self.time_watch.run, self.writer.run, self.receiver.run, self._do_chores]

    def _attach(self) -> None:
        for protocol, handler in self.stream_handlers.items():
            self.host.set_stream_handler(protocol, handler)
        events = self.host.get_network().events
        self._subscriptions = [
            events.subscribe(self.on_connected, PeerConnected),
            events.subscribe(self.on_disconnected, PeerDisconnected),
        ]
        if (manager := self._connection_manager) is not None:
            manager.add_estimate(self._worth)
        self._find_peers()

    @property
    def _connection_manager(self) -> ConnectionManager | None:
        # py-libp2p's networks have no connection manager.
        return getattr(self.host.get_network(), "connection_manager", None)

    def _worth(self, peer_id: ID) -> int:
        """
        Return the worth of a connection: up to 25 for past blocks, more while the peer owes some.

        The peer's own wants count for 1 in all, since any stranger can send wants.
        """
        asked = 25 if self.tracker.is_asked(peer_id) else 0
        waits = 1 if self.server.ledger.count_of(peer_id) else 0
        return asked + waits + self.accounts.score(peer_id, trio.current_time())

    def _leave(self, fault: Exception | None) -> None:
        """Leave the host and fail all waiters."""
        for protocol in self.stream_handlers:
            self.host.remove_stream_handler(protocol)
        for subscription in self._subscriptions:
            subscription.cancel()
        if (manager := self._connection_manager) is not None:
            manager.remove_estimate(self._worth)
        error = ClientClosedError("bitswap was stopped" if fault is None else "bitswap has failed")
        error.__cause__ = fault
        for session in list(self.sessions.values()):
            for _ in session.fail_all(error):
                pass  # all steps at once: no task is left to do the rest
        for peer_id, link in list(self._links.items()):
            link.receiver.stop()
            self._drop_link(peer_id)
        for peer_id in self.tracker.peer_ids:
            self.tracker.remove_peer(peer_id)
        self.writer.hurry()
        self._drop_outcomes()

    def _drop_outcomes(self) -> None:
        """Finish the chores, and end all searches without a result."""
        self.chores.finish()
        while outcomes := self.tracker.take_outcomes():
            for outcome in outcomes:
                if isinstance(outcome, Search):
                    self.tracker.searched(outcome.key, 0, {})

    def add_protocol(self, protocol: TProtocol, handler: StreamHandlerFn) -> None:
        """Add a protocol, which is offered before the others."""
        if protocol not in self.supported_protocols:
            self.supported_protocols.insert(0, protocol)
        self.stream_handlers[protocol] = handler
        if self.is_running:
            self.host.set_stream_handler(protocol, handler)

    # -- sessions -------------------------------------------------------------------------------

    def open_session(
        self,
        peers: Iterable[ID] | None = None,
        *,
        wait: bool = False,
        presence_only: bool = False,
    ) -> SessionState:
        """Begin a session; with ``presence_only`` it asks which peers have its blocks."""
        peers = None if peers is None else ID.list_of(peers)
        number = self.tracker.open_session(
            peers,
            wait=wait,
            presence_only=presence_only,
            searches=self.providers is not None,
        )
        session = SessionState(number, peers or (), self._session_gone)
        self.sessions[number] = session
        return session

    def session_with(self, peer_id: ID) -> SessionState:
        """Return the session that asks only this peer."""
        session = self._peer_sessions.get(peer_id)
        if session is None:
            session = self._peer_sessions[peer_id] = self.open_session([peer_id])
        return session

    def close_session(self, session: SessionState) -> None:
        """End a session; its waiters get a `ClientClosedError`."""
        self.chores.begin(session.close(ClientClosedError("the session was closed")))
        self.tracker.close_session(session.id)
        self.apply()

    def _session_gone(self, session_id: int) -> None:
        self.abandon(partial(self.tracker.close_session, session_id))

    def abandon(self, end: Callable[[], object]) -> None:
        """Have the next `apply` call ``end``; for ``__del__``, which may run at any time."""
        self._abandoned.append(end)

    def want(
        self,
        session: SessionState,
        cids: Iterable[CID],
        priority: int | None = None,
        now: float | None = None,
    ) -> None:
        """
        Ask for blocks for a session.

        :param now: the current time, if the caller has it.
        :raises ClientClosedError: if the client does not run, or the session is closed.
        """
        if self._nursery is None or session.closed:
            raise ClientClosedError("bitswap is not running, or the session was closed")
        for peer_id in session.peers:
            self.ensure_link(peer_id)
        if not session.peers and not self.tracker.knows_peers(session.id):
            # The event of a new connection may not have come yet.
            self._find_peers()
        if now is None:
            now = trio.current_time()
        for cid in cids:
            self.tracker.want(session.id, cid, now, priority)
        self.apply()

    async def fetch(self, session: SessionState, cid: CID, timeout: float) -> bytes:
        """
        Return a block from a peer; in a session for presences, empty bytes after HAVE.

        :raises BlockUnavailableError: when no peer is left to ask.
        :raises BlockTimeoutError: if the block has not come after ``timeout`` seconds.
        """
        key, waiter = cid.multihash, OneBlock()
        session.register(waiter, key)
        try:
            now = trio.current_time()
            self.want(session, (cid,), now=now)
            self.time_watch.set(waiter, now + timeout)
            if waiter.over:
                await trio.lowlevel.checkpoint()
            while not waiter.over:
                await waiter.task.wait()
            if waiter.error is not None:
                raise copy(waiter.error)  # each waiter raises a copy with its own traceback
            if (data := waiter.data) is None:
                raise self.late(session.id, cid, timeout)
            return data
        finally:
            waiter.release()
            self.time_watch.drop(waiter)
            self.leave(session, waiter, (key,))

    def leave(self, session: SessionState, waiter: BlockWaiter, keys: Sequence[bytes]) -> None:
        """Remove a waiter; the want of a block without waiters is taken back."""
        if len(keys) == 1 and not session.waits_for(keys[0]):
            return  # the block came or failed
        self.chores.begin(each(keys, partial(self._leave_one, session, waiter)))
        self.apply()

    def _leave_one(self, session: SessionState, waiter: BlockWaiter, key: bytes) -> None:
        if session.remove(waiter, key):
            self.tracker.unwant(session.id, key)

    # -- blocks that are here ------------------------------------------------------------------

    async def add_block(self, cid: CIDInput, data: bytes) -> None:
        """
        Store a block, and send it to the peers that wait for it.

        :raises BlockTooLargeError: if the block is too large for any bitswap message.
        :raises InvalidBlockError: if the data do not match the CID.
        """
        named = CID.of(cid)
        if type(data) is not bytes:
            data = bytes(arguments.binary(data))
        if len(data) > MAX_BLOCK_SIZE:
            raise BlockTooLargeError(f"block of {len(data)} bytes, at most {MAX_BLOCK_SIZE}")
        if not named.matches(data):
            raise InvalidBlockError(
                f"Block data does not match CID hash: {len(data)} bytes are not those of {named}"
            )
        await self.block_store.put_block(named.buffer, data)
        self.announce(named, data)

    def announce(self, cid: CID, data: bytes) -> None:
        """Give a stored block to our own waiters and to the peers that want it."""
        want = self.tracker.claim(None, cid, len(data), trio.current_time())
        if want is not None:
            self.writer.hand_on(want, data)
        self.server.new_block(cid, len(data))
        self.apply()

    async def find_here(self, cid: CID, timeout: float = math.inf) -> bytes | None:
        """Return a block of the store or of an identity CID; None if it has to come from a peer."""
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
        """Do as `find_here` for several blocks, without a timeout."""
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
        """Return a block that the store did not return but that needs no peer; else None."""
        if cid.is_identity:
            return cid.digest
        if self.tracker.came_lately(cid):
            # Another fetch may have stored the block since the store was asked.
            return await self._read(cid)
        if cid.is_empty_block:
            # boxo answers DONT_HAVE for the empty block even if it has it.
            await self.add_block(cid, b"")
            return b""
        return None

    # -- after a change of a core ---------------------------------------------------------------

    def apply(self) -> None:
        """
        Wake the links, waiters and tasks that have got work by a change of the tracker.

        What they do may change the tracker and call this again: then the outer call goes round once
        more.
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
            self.chores.begin(each(list(abandoned), lambda end: end()))
        for peer_id in self.tracker.take_ready():
            if (link := self._links.get(peer_id)) is not None:
                link.wake_wants()
        for outcome in self.tracker.take_outcomes():
            if isinstance(outcome, Search):
                self.start_task(self._search, outcome)
            elif isinstance(outcome, Found):
                if (session := self.sessions.get(outcome.session_id)) is not None:
                    session.resolve(outcome.key)
            else:
                self.writer.fail(outcome)
        self.time_watch.check_tracker()
        if self.chores.left:
            if self._nursery is None:
                self.chores.finish()
                self._changed = True
            else:
                self._chores_begun.wake()

    async def _do_chores(self) -> None:
        """Do the work that is too long for one step, a step at a time."""
        while True:
            if self.chores.left:
                self.chores.step()
                self.apply()
                await trio.lowlevel.checkpoint()
            else:
                await self._chores_begun.wait()

    async def _search(self, search: Search) -> None:
        """Search for providers of a block and tell the tracker which ones are connected."""

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

    # -- peers ----------------------------------------------------------------------------------

    def _find_peers(self) -> None:
        """Add links to connected peers whose events have not come."""
        for peer_id in self.host.get_connected_peers():
            self.ensure_link(peer_id)

    def ensure_link(self, peer_id: ID) -> PeerLink:
        """Return the link to a peer; a new link dials the peer when it has wants for it."""
        link = self._links.get(peer_id)
        if link is None:
            receiver = PeerReceiver(peer_id, self.receiver, self.handler, self, self.time_watch)
            link = self._links[peer_id] = PeerLink(self._link_context, peer_id, receiver)
            self.server.add_peer(peer_id)
            self.tracker.add_peer(peer_id, local=self._is_local(peer_id))
        return link

    async def _open_reply_stream(self, peer_id: ID) -> INetStream:
        """Open a stream for replies, without dialling a peer that has disconnected."""
        return await self.host.new_stream(peer_id, self.supported_protocols, no_dial=True)

    def _receiver_of(self, peer_id: ID) -> PeerReceiver | None:
        """Return the receiver of a peer that is connected or has a link; else None."""
        if peer_id in self._links or peer_id in self.host.get_connected_peers():
            return self.ensure_link(peer_id).receiver
        return None

    def _is_local(self, peer_id: ID) -> bool:
        """Return whether all connections to a peer stay on this machine or in this network."""
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
        self.lose_peer(peer_id, PeerAnswer.UNREACHABLE)

    def lose_peer(self, peer_id: ID, reason: PeerAnswer) -> None:
        """Forget a peer that has disconnected; others are asked for its blocks."""
        self._peer_sessions.pop(peer_id, None)
        self.tracker.remove_peer(peer_id, reason)
        self._drop_link(peer_id)
        self.apply()

    # -- events of the network ------------------------------------------------------------------

    def on_connected(self, event: PeerConnected) -> None:
        """Add a peer that has connected; the tracker may ask it for blocks at once."""
        if self._nursery is not None:
            self.ensure_link(event.peer_id)
            self.apply()

    def on_disconnected(self, event: PeerDisconnected) -> None:
        """Forget a peer without a connection; if others are left, send its wants again."""
        if self.host.get_network().get_connections(event.peer_id):
            # The peer may have dropped the wants that came on the lost connection.
            self.tracker.send_all_again(event.peer_id)
            self.apply()
        else:
            self.lose_peer(event.peer_id, PeerAnswer.DISCONNECTED)
