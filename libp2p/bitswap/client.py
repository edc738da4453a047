"""The bitswap client and server of a host: what users call; `exchange` does the work."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.block_store import BlockStore, MemoryBlockStore
from libp2p.bitswap.config import (
    BITSWAP_PROTOCOL_V120,
    BITSWAP_PROTOCOLS,
    DEFAULT_GET_TIMEOUT,
    DEFAULT_PRIORITY,
    HAVE_TIMEOUT,
)
from libp2p.bitswap.errors import BitswapError
from libp2p.bitswap.exchange import Exchange
from libp2p.bitswap.extension import serve_extension
from libp2p.bitswap.wantlist import WantType, block_key
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from libp2p.abc import IHost
    from libp2p.bitswap.extension import IBitswapExtension
    from libp2p.bitswap.session import BitswapSession, BlockIterator
    from libp2p.bitswap.stats import BitswapStat
    from libp2p.custom_types import TProtocol
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo


class ContentRouter(Protocol):
    """Finds peers that have a block; a client with one waits for peers instead of failing."""

    def find_provider_iter(self, cid: bytes, count: int) -> Iterable[PeerInfo]:
        """Give up to ``count`` peers that have said that they have the block."""


class BitswapClient(Exchange):
    """
    Fetches blocks from peers, and answers theirs.

    It works between `start` and `stop`, or inside ``async with client.run()``. Its tasks run in the
    host, or in a nursery given by `set_nursery`. Start it before connecting: Kubo decides
    when it identifies us whether we speak bitswap.
    """

    def __init__(
        self,
        host: IHost,
        block_store: BlockStore | None = None,
        protocol_version: TProtocol = BITSWAP_PROTOCOL_V120,
        provider_query_manager: object = None,
        presence_ttl: float = 60.0,
        content_router: ContentRouter | None = None,
    ) -> None:
        """
        :param protocol_version: the newest version to speak; older ones are offered as well.
        :param provider_query_manager: kept for programs that read it back; it is not used.
        :param presence_ttl: accepted for compatibility; what a peer has is remembered per want.
        :param content_router: not asked yet; fetches wait for peers when there is one.
        """
        newest = BITSWAP_PROTOCOLS.index(protocol_version)
        store = MemoryBlockStore() if block_store is None else block_store
        super().__init__(host, store, BITSWAP_PROTOCOLS[newest:])
        self.provider_query_manager = provider_query_manager
        self.content_router = content_router
        self._default_session = self.new_session(wait=content_router is not None)
        self._patient_session = self.new_session(wait=True)
        self._wanted_session = self.new_session(wait=True)
        self._haves = self.open_session(presence_only=True)
        self._wanted_haves = self.open_session(wait=True, presence_only=True)

    # -- life -----------------------------------------------------------------------------------

    def set_nursery(self, nursery: trio.Nursery) -> None:
        """Run the tasks in this nursery instead of the host's."""
        self._user_nursery = nursery

    @asynccontextmanager
    async def run(self) -> AsyncIterator[BitswapClient]:
        """Work for the length of the block: `start`, then `stop`."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

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
        timeout: float = DEFAULT_GET_TIMEOUT,
        *,
        wait: bool = False,
    ) -> bytes:
        """
        Give a block from the store, or else from a peer.

        :param peer_id: ask this peer only.
        :param wait: do not fail when nobody has it, but wait for a peer that has.
        :raises BlockUnavailableError: at once when nobody is left to ask; it says who answered
            what. `BlockNotFoundError` if all of them do not have it.
        :raises TimeoutError: if it has not come after ``timeout`` seconds.
        """
        session = self._patient_session if wait else self._default_session
        return await session.get_block(cid, peer_id, timeout)

    def get_blocks(
        self,
        cids: Iterable[CIDInput],
        peer_id: ID | None = None,
        timeout: float = DEFAULT_GET_TIMEOUT,
        *,
        window: int | None = None,
    ) -> BlockIterator:
        """Give blocks as they come, (CID, data) each; see `BitswapSession.get_blocks`."""
        return self.new_session().get_blocks(cids, peer_id, timeout, window=window)

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
        """
        wanted = CID.of(cid)
        if await self.find_here(wanted) is not None:
            return
        for_block = int(want_type) == WantType.Block
        self.want(self._wanted_session if for_block else self._wanted_haves, [wanted], priority)

    async def cancel_want(self, cid: CIDInput) -> None:
        """Take back what `want_block` asked for."""
        key = block_key(CID.of(cid))
        for session in (self._wanted_session, self._wanted_haves):
            self.tracker.unwant(session.id, key)
        self.apply()
        await trio.lowlevel.checkpoint()

    async def have_block(
        self, cid: CIDInput, peer_id: ID | None = None, timeout: float = HAVE_TIMEOUT
    ) -> bool:
        """
        Tell whether a block can be had: from the store, or from a peer that says HAVE.

        :param peer_id: ask this peer, and only it.
        """
        wanted = CID.of(cid)
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
        for cid in map(CID.of, cids):
            if self.tracker.is_wanted(cid) or self.ledger.is_wanted(cid):
                data = await self.block_store.get_block(cid.buffer)
                if data is not None:
                    self.announce(cid, data)

    # -- what is going on -----------------------------------------------------------------------

    def stat(self) -> BitswapStat:
        """Count what has been sent and received so far."""
        return replace(self.stats, wantlist=self.tracker.wantlist(), peers=self.tracker.peer_ids)

    def wantlist_for_peer(self, peer_id: ID) -> list[CID]:
        """List what a peer wants from us."""
        return [entry.cid for entry in self.ledger.wantlist(peer_id)]

    # -- extensions -----------------------------------------------------------------------------

    def register_extension(self, protocol: TProtocol, extension: IBitswapExtension) -> None:
        """Let an extension see the messages that come with a protocol of its own."""
        extension.set_client(self)
        handler = partial(self.serve_stream, partial(serve_extension, extension))
        self.protocol_handlers[protocol] = handler
        if self.is_running:
            self.host.set_stream_handler(protocol, handler)
