"""
Sessions: fetches that share peers, because who has one block of a file probably has the rest.

A session registers waiters for blocks. When a block has been stored the client hands it to all
waiters in one plain call; when nobody is left to ask they get the error the same way.
"""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import DEFAULT_TIMEOUT
from libp2p.bitswap.errors import BitswapError, timed_out
from libp2p.bitswap.fetch.blocks import BlockIterator, Fetch, OrderedFetch
from libp2p.bitswap.stats import SessionStat
from libp2p.bitswap.want.chores import each
from libp2p.io.waiter import Waiter as OneTask
from libp2p.ipld.cid import CID, cid_inputs
from libp2p.peer.id import ID
from libp2p.utils import arguments
from libp2p.utils.closing import AsyncClosing
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from libp2p.bitswap.net.engine import BitswapEngine
    from libp2p.ipld.cid import CIDInput


class Waiter(Protocol):
    """Who waits for blocks; both methods are plain, they only wake somebody."""

    def deliver(self, key: bytes, data: bytes) -> None:
        """Take a block."""

    def fail(self, key: bytes, error: BitswapError) -> None:
        """Learn that a block will not come."""


class OneBlock:
    """Waits for one block, not beyond its time: ``task`` does, until it is over."""

    __slots__ = ("data", "error", "over", "task")

    def __init__(self) -> None:
        self.task = OneTask()
        self.over = False
        self.data: bytes | None = None
        self.error: BitswapError | None = None

    def deliver(self, key: bytes, data: bytes) -> None:
        self.data = data
        self.end()

    def fail(self, key: bytes, error: BitswapError) -> None:
        self.error = error
        self.end()

    def end(self) -> None:
        """Wait no longer."""
        self.over = True
        self.task.wake()

    expire = end


class BitswapSession(AsyncClosing):
    """
    Fetches blocks that belong together. Made by `BitswapClient.new_session`.

    It is forgotten when nothing refers to it any more; `close` or ``async with`` do it at once.
    """

    def __init__(self, client: BitswapEngine, session_id: int, peers: Iterable[ID] = ()) -> None:
        self.client = client
        self.id = session_id
        self.peers = tuple(peers)
        """The only peers that are asked; empty if all are."""
        self.stats = SessionStat()
        """What this session has received; `BitswapClient.stat` counts for all."""
        self._waiters: dict[bytes, list[Waiter]] = {}
        self.closed = False

    def __del__(self) -> None:
        # Not `close`: this may run in the middle of anything.
        self.client.abandon_session(self.id)

    def close(self) -> None:
        """End the session: nothing more is asked for, and who still waits gets an error."""
        self.closed = True
        self.client.close_session(self)

    def __repr__(self) -> str:
        return shown(self, self._facts)

    def _facts(self) -> str:
        asked = f"{len(self.peers)} peers" if self.peers else "all peers"
        state = "closed" if self.closed else f"wants: {len(self._waiters)}"
        return f"#{self.id}, asks {asked}, {state}"

    # -- fetching -------------------------------------------------------------------------------

    async def get_block(
        self, cid: CIDInput, peer_id: ID | None = None, timeout: float | None = DEFAULT_TIMEOUT
    ) -> bytes:
        """
        Give a block from the store, or else from a peer; then it is in the store.

        :param peer_id: ask this peer only, connecting to it if its addresses are known.
        :raises BlockUnavailableError: at once when nobody is left to ask; it says who answered
            what. `BlockNotFoundError` if all of them do not have it.
        :raises BlockTimeoutError: if no peer has sent it, or the store has not answered, after
            ``timeout`` seconds.
        :raises Exception: whatever the block store raises: a block that it cannot look for it could
            not keep either, so no peer is asked.
        :raises InvalidCID: if ``cid`` is none.
        :raises ValueError: or `TypeError`, if ``timeout`` is no time. None is without end.
        """
        wanted, timeout = CID.of(cid), arguments.seconds(timeout)
        if peer_id is not None:
            peer_id = ID.of(peer_id)
        if (data := await self.client.find_here(wanted, timeout)) is not None:
            return data
        if peer_id is not None:
            return await self.client.session_with(peer_id).fetch(wanted, timeout)
        return await self.fetch(wanted, timeout)

    async def fetch(self, cid: CID, timeout: float) -> bytes:
        """Do as `get_block` for a block that is not in the store."""
        client, key, waiter = self.client, cid.multihash, OneBlock()
        self.register(waiter, key)
        try:
            now = trio.current_time()
            client.want(self, (cid,), now=now)
            client.limit_time(waiter, now + timeout)
            if waiter.over:
                await trio.lowlevel.checkpoint()
            while not waiter.over:
                await waiter.task.wait()
            if waiter.error is not None:
                raise copy(waiter.error)  # others raise it as well: each with its own traceback
            if (data := waiter.data) is None:
                raise timed_out(cid, timeout, client.tracker.report(self.id, key))
            return data
        finally:
            waiter.data = None  # its timer stays in the heap for a while
            client.timeouts.drop(waiter)
            self.leave(waiter, (key,))

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
        Give blocks as they come, as an async iterator of (CID, data).

        :param cids: may be a generator; it is asked for CIDs no faster than blocks are taken.
        :param peer_id: ask this peer only.
        :param timeout: the longest time without any block; the fetch as a whole has no limit.
        :param window: how many blocks are asked for ahead of their use; by default as many as
            make `READ_AHEAD_BYTES`.
        :param ordered: give the blocks in the order of ``cids``.

        The iterator raises what `get_block` does and is over then. Left early, its ``close()`` (or
        ``async with``, or its end of life) takes back what was asked.
        """
        session = self
        if peer_id is not None:
            session = self.client.session_with(ID.of(peer_id))
        if window is not None:
            window = arguments.count(window, "window", least=1)
        kind = OrderedFetch if ordered else Fetch
        listed, seconds = cid_inputs(cids), arguments.seconds(timeout)
        return BlockIterator(kind(session, listed, seconds, window))

    async def get_blocks_batch(
        self,
        cids: Sequence[CIDInput],
        peer_id: ID | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        batch_size: int = 32,
    ) -> dict[bytes, bytes]:
        """
        Give several blocks by their binary CIDs.

        :param batch_size: how many are asked for at once.
        :raises BitswapError: if one of them cannot be had; those that came are in the store.
        """
        batch_size = arguments.count(batch_size, "batch_size", least=1)
        async with self.get_blocks(cids, peer_id, timeout, window=2 * batch_size) as blocks:
            return {cid.buffer: data async for cid, data in blocks}

    async def receive_block(self, cid: CIDInput, data: bytes, peer_id: ID | None = None) -> None:
        """Take a block that came some other way: it is verified, stored and handed on."""
        await self.client.add_block(cid, data)

    # -- waiters --------------------------------------------------------------------------------

    @property
    def active_peers(self) -> set[ID]:
        """The peers that have said that they have blocks of this session, or have sent some."""
        return self.client.tracker.peers_of(self.id)

    def waits_for(self, key: bytes) -> bool:
        """Tell whether somebody waits for a block."""
        return key in self._waiters

    def register(self, waiter: Waiter, key: bytes) -> None:
        """Let somebody wait for a block; the client is asked for it by `BitswapClient.want`."""
        self._waiters.setdefault(key, []).append(waiter)

    def leave(self, waiter: Waiter, keys: Sequence[bytes]) -> None:
        """Forget a waiter; a block that nobody waits for is taken back."""
        if len(keys) == 1 and keys[0] not in self._waiters:
            return  # it came, or never will
        self.client.chores.begin(each(keys, partial(self._leave, waiter)))
        self.client.apply()

    def _leave(self, waiter: Waiter, key: bytes) -> None:
        waiters = self._waiters.get(key)
        if waiters is None or waiter not in waiters:
            return
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[key]
            self.client.tracker.unwant(self.id, key)

    def count_duplicate(self, data: bytes) -> None:
        """Note a block that came for the second time."""
        self.stats.dup_blks_received += 1
        self.stats.dup_data_received += len(data)

    def deliver(self, key: bytes, data: bytes) -> None:
        """Hand a block to all who wait for it."""
        stats = self.stats
        stats.blocks_received += 1
        stats.data_received += len(data)
        for waiter in self._waiters.pop(key, ()):
            waiter.deliver(key, data)

    def resolve(self, key: bytes, data: bytes) -> None:
        """Tell all who wait for a block that they need not any more."""
        for waiter in self._waiters.pop(key, ()):
            waiter.deliver(key, data)

    def fail(self, key: bytes, error: BitswapError) -> None:
        """Tell all who wait for a block that it will not come."""
        for waiter in self._waiters.pop(key, ()):
            waiter.fail(key, error)

    def fail_all(self, error: BitswapError) -> None:
        """Tell everybody that nothing more will come."""
        for _ in self.failing_all(error):
            pass

    def failing_all(self, error: BitswapError) -> Iterator[None]:
        """Do the same in steps."""
        return each(list(self._waiters), partial(self.fail, error=error))
