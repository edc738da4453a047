"""Where a reader's blocks come from: a bitswap session, which looks into the store first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.bitswap.errors import not_here
from libp2p.blockstore import read_blocks
from libp2p.blockstore.reading import damage_of
from libp2p.exceptions import first_few

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from libp2p.bitswap.fetch.blocks import BlockIterator
    from libp2p.bitswap.fetch.session import BitswapSession
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CID


class BlockFetcher:
    """
    Gives blocks, wherever they are.

    :param session: gives and stores what is not in the store; None for a peer without a network.
    :param timeout: the longest time without any block.
    """

    def __init__(self, store: BlockStore, session: BitswapSession | None, timeout: float) -> None:
        self._store = store
        self._session = session
        self._timeout = timeout

    def fetch(self, cids: Sequence[CID]) -> BlockIterator | AsyncGenerator[tuple[CID, bytes], None]:
        """
        Give the blocks in the order in which they come; to be closed by ``aclose``.

        :raises BlockUnavailableError: if a block is not in the store, or is damaged there, and
            there is no network.
        :raises BitswapError: if the peers do not have it, or fail.
        """
        if self._session is None:
            return self._read(cids)
        return self._session.get_blocks(cids, timeout=self._timeout, window=len(cids))

    async def _read(self, cids: Sequence[CID]) -> AsyncGenerator[tuple[CID, bytes], None]:
        blocks, damaged = await read_blocks(self._store, cids)
        for cid, data in zip(cids, blocks, strict=True):
            if data is None:
                raise not_here(cid, damage_of(self._store, cid, damaged))
            yield cid, data

    def sources(self) -> str:
        """Say where the blocks came from, until `close`."""
        if self._session is None or not self._session.stats.blocks_received:
            return "from the store"
        stats = self._session.stats
        peers = first_few(map(str, self._session.active_peers)) or "peers that have gone"
        return f"{stats.blocks_received} blocks of {stats.data_received} bytes from {peers}"

    def close(self) -> None:
        """Ask for nothing more."""
        if self._session is not None:
            self._session.close()
