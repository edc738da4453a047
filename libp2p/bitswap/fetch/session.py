"""Sessions: fetches that share peers, as a peer with one block of a file often has the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from libp2p.bitswap.config import DEFAULT_TIMEOUT
from libp2p.bitswap.fetch.blocks import BlockIterator, Fetch, OrderedFetch
from libp2p.ipld.cid import CID, cid_inputs
from libp2p.peer.id import ID
from libp2p.utils import arguments
from libp2p.utils.closing import AsyncClosing
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.bitswap.common.timers import Timed
    from libp2p.bitswap.errors import BitswapError
    from libp2p.bitswap.net.engine import BitswapEngine
    from libp2p.bitswap.net.waiters import BlockWaiter, SessionState
    from libp2p.bitswap.stats import SessionStat
    from libp2p.ipld.cid import CIDInput


class BitswapSession(AsyncClosing):
    """
    Fetches blocks that belong together. Made by `BitswapClient.new_session`.

    A session ends when nothing refers to it any more; `close` or ``async with`` end it at once.
    """

    def __init__(self, engine: BitswapEngine, state: SessionState) -> None:
        self._engine = engine
        self._state = state

    @property
    def id(self) -> int:
        """The number of the session."""
        return self._state.id

    @property
    def peers(self) -> tuple[ID, ...]:
        """The only peers that are asked; empty if all peers are asked."""
        return self._state.peers

    @property
    def stats(self) -> SessionStat:
        """The blocks that this session has received; `BitswapClient.stat` counts for all."""
        return self._state.stats

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._state.closed

    @property
    def active_peers(self) -> set[ID]:
        """The peers that have sent HAVE or a block of this session, or are providers."""
        return self._engine.tracker.peers_of(self.id)

    def waits_for(self, key: bytes) -> bool:
        """Return whether a call waits in this session for the block of a multihash."""
        return self._state.waits_for(key)

    def close(self) -> None:
        """End the session: its wants are taken back, and calls that wait get an error."""
        self._engine.close_session(self._state)

    def __repr__(self) -> str:
        return shown(self, self._facts)

    def _facts(self) -> str:
        asked = f"{len(self.peers)} peers" if self.peers else "all peers"
        state = "closed" if self.closed else f"wants: {self._state.waiting}"
        return f"#{self.id}, asks {asked}, {state}"

    # -- fetching -------------------------------------------------------------------------------

    async def get_block(
        self, cid: CIDInput, peer_id: ID | None = None, timeout: float | None = DEFAULT_TIMEOUT
    ) -> bytes:
        """
        Return a block from the store, or else from a peer; a block of a peer is stored first.

        :param peer_id: ask this peer only, connecting to it if its addresses are known.
        :param timeout: in seconds; None for no timeout.
        :raises BlockUnavailableError: as soon as no peer is left to ask, with the answers of all
            peers. `BlockNotFoundError` if all of them answered DONT_HAVE.
        :raises BlockTimeoutError: if no peer has sent the block, or the store has not answered,
            after ``timeout`` seconds.
        :raises Exception: any error of the block store. No peer is asked then, as the store could
            not keep the block either.
        :raises InvalidCID: if ``cid`` is not a CID.
        :raises ValueError: or `TypeError`, if ``timeout`` is not a time.
        """
        wanted, timeout = CID.of(cid), arguments.seconds(timeout)
        if peer_id is not None:
            peer_id = ID.of(peer_id)
        if (data := await self._engine.find_here(wanted, timeout)) is not None:
            return data
        return await self._engine.fetch(self._state_for(peer_id), wanted, timeout)

    def get_blocks(
        self,
        cids: Iterable[CIDInput],
        peer_id: ID | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        *,
        window: int | None = None,
        ordered: bool = False,
    ) -> BlockIterator:
        """
        Return an async iterator of (CID, data) that gives blocks as they come.

        :param cids: may be a generator; CIDs are taken from it no faster than blocks are used.
        :param peer_id: ask this peer only.
        :param timeout: seconds without any block; the fetch as a whole has no timeout.
        :param window: how many blocks are asked for ahead of their use; by default as many as
            make `READ_AHEAD_BYTES`.
        :param ordered: give the blocks in the order of ``cids``.

        The iterator raises the errors of `get_block` and ends then. If the caller leaves early,
        ``close()``, ``async with`` or the end of the iterator's life takes the wants back.
        """
        session = self._state_for(None if peer_id is None else ID.of(peer_id))
        if window is not None:
            window = arguments.count(window, "window", least=1)
        kind = OrderedFetch if ordered else Fetch
        listed, seconds = map(CID.of, cid_inputs(cids)), arguments.seconds(timeout)
        return BlockIterator(kind(self._engine, session, listed, seconds, window))

    async def get_blocks_batch(
        self,
        cids: Sequence[CIDInput],
        peer_id: ID | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        batch_size: int = 32,
    ) -> dict[bytes, bytes]:
        """
        Return several blocks by their binary CIDs.

        :param batch_size: twice as many blocks are asked for ahead of their use.
        :raises BitswapError: if a block does not come; the blocks that came are in the store.
        """
        batch_size = arguments.count(batch_size, "batch_size", least=1)
        async with self.get_blocks(cids, peer_id, timeout, window=2 * batch_size) as blocks:
            return {cid.buffer: data async for cid, data in blocks}

    async def receive_block(self, cid: CIDInput, data: bytes, peer_id: ID | None = None) -> None:
        """Verify a block that came some other way, store it and give it to its waiters."""
        await self._engine.add_block(cid, data)

    # -- for waiters without a task of their own ------------------------------------------------

    async def find_here(self, cids: Sequence[CID]) -> Sequence[bytes | None]:
        """Return the blocks that are in the store, None for the others."""
        return await self._engine.find_all_here(cids)

    def ask(self, cids: Sequence[CID], waiter: BlockWaiter) -> None:
        """
        Ask peers for blocks; ``waiter`` gets each block or its error.

        :raises ClientClosedError: if the client does not run, or the session is closed.
        """
        for cid in cids:
            self._state.register(waiter, cid.multihash)
        self._engine.want(self._state, cids)

    def take_back(self, keys: Sequence[bytes], waiter: BlockWaiter) -> None:
        """Take the wants of a waiter back, by multihashes."""
        self._engine.leave(self._state, waiter, keys)

    def limit_time(self, waiter: Timed, when: float) -> None:
        """Call ``waiter.expire`` at ``when``, or earlier if it was set earlier."""
        self._engine.time_watch.set(waiter, when)

    def timed_out(self, cid: CID, seconds: float) -> BitswapError:
        """Return the error for a block that did not come in time, with the peers' answers."""
        return self._engine.late(self.id, cid, seconds)

    def _state_for(self, peer_id: ID | None) -> SessionState:
        return self._state if peer_id is None else self._engine.session_with(peer_id)
