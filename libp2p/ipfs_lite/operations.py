"""
What the operations of a peer share.

An operation ends with its peer. The blocks that it needs stay while it runs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing, closing, contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import trio

from libp2p.ipfs_lite.errors import PeerClosedError
from libp2p.ipfs_lite.file_fetch import BlockSource
from libp2p.ipfs_lite.read_ahead import MAX_READERS_BYTES, WINDOW_BYTES
from libp2p.ipfs_lite.reader import Readers
from libp2p.peer.id import ID
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.bitswap.client import BitswapClient
    from libp2p.ipfs_lite.file_fetch import Asking
    from libp2p.ipfs_lite.local import LocalParts
    from libp2p.ipfs_lite.reader import UnixFSReader
    from libp2p.ipld.block import Block
    from libp2p.ipld.cid import CID
    from libp2p.resources import Resources

_T = TypeVar("_T")

#: Seconds without any block after which a fetch fails, if no peer refuses.
DEFAULT_TIMEOUT: Final = 30.0

Call: TypeAlias = Callable[[], AbstractContextManager[None]]
"""A context that ends what runs in it when the peer is closed."""


async def each_within(call: Call, items: AsyncGenerator[_T, None]) -> AsyncGenerator[_T, None]:
    """
    Yield items, and wait for each one in a ``call``.

    The call ends before the item is yielded: otherwise the caller's cancel scopes would cross it.
    """
    async with aclosing(items):
        while True:
            item = None
            with call():
                item = await anext(items, None)
            if item is None:
                return
            yield item


class Operations:
    """Begins the operations of one peer, and ends them."""

    def __init__(
        self,
        parts: LocalParts,
        bitswap: BitswapClient | None,
        nursery: trio.Nursery,
        resources: Resources,
    ) -> None:
        """:param bitswap: None for a peer without a network."""
        self.parts: Final = parts
        self.stored: Final = None if bitswap is None else bitswap.notify_new_blocks
        """Awaited with the CIDs of stored blocks: bitswap sends them to peers that wait."""
        self.files_turn: Final = trio.Lock()
        """The task that changes the mutable tree holds it; it does not keep other processes out."""
        self._bitswap = bitswap
        self._nursery = nursery
        self._readers = Readers(resources.scope("readers", MAX_READERS_BYTES))
        self._calls: set[trio.CancelScope] = set()
        self.is_closed = False

    def end(self) -> None:
        """Make calls under way raise `PeerClosedError`; the parts below are closed next."""
        self.is_closed = True
        self._readers.end(PeerClosedError())
        for scope in self._calls:
            scope.cancel()

    def check_open(self) -> None:
        """:raises PeerClosedError: if the peer is closed."""
        if self.is_closed:
            raise PeerClosedError

    @contextmanager
    def call(self) -> Iterator[None]:
        """Run a call that ends with the peer."""
        self.check_open()
        with trio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                yield
            finally:
                self._calls.discard(scope)
        if scope.cancelled_caught:
            raise PeerClosedError

    def source(
        self,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        asking: Asking | None = None,
        *,
        roots: Iterable[CID] = (),
    ) -> BlockSource:
        """Return a source of blocks; the blocks that it fetches stay until it is closed."""
        self.check_open()
        seconds = arguments.seconds(timeout)
        asked = None if peers is None else ID.list_of(peers)
        session = None if self._bitswap is None else self._bitswap.new_session(asked)
        held = ExitStack()
        held.enter_context(self.parts.leases.hold(roots))
        return BlockSource(self.parts.store, session, seconds, held.close, asking=asking)

    @contextmanager
    def open_source(
        self,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        *,
        roots: Iterable[CID] = (),
    ) -> Iterator[BlockSource]:
        """Yield a source of blocks for the length of the block."""
        with closing(self.source(peers, timeout, roots=roots)) as source:
            yield source

    def each(self, items: AsyncGenerator[_T, None]) -> AsyncGenerator[_T, None]:
        """Yield items until the peer is closed; then raise `PeerClosedError`."""
        return each_within(self.call, items)

    async def store_blocks(self, blocks: Sequence[Block]) -> None:
        """Store blocks, and tell bitswap, which sends them to the peers that wait for them."""
        if blocks:
            await self.parts.store.put_blocks(blocks)
            if self.stored is not None:
                await self.stored([block.cid for block in blocks])

    async def open_file(
        self, cid: CID, source: BlockSource, window: int = WINDOW_BYTES
    ) -> UnixFSReader:
        """Return a reader of a file."""
        reader = self._readers.add(cid, source, self._nursery, window)
        try:
            return await reader.open()
        except BaseException:
            reader.close()
            raise
