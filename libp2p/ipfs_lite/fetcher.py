"""Where a reader's blocks come from: a bitswap session, which looks into the store first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.bitswap.errors import BlockNotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from libp2p.bitswap.block_store import BlockStore
    from libp2p.bitswap.fetch import BlockIterator
    from libp2p.bitswap.session import BitswapSession
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

        :raises BlockNotFoundError: if a block is not in the store and there is no network.
        :raises BitswapError: if the peers do not have it, or fail.
        """
        if self._session is None:
            return self._read(cids)
        return self._session.get_blocks(cids, timeout=self._timeout, window=len(cids))

    async def _read(self, cids: Sequence[CID]) -> AsyncGenerator[tuple[CID, bytes], None]:
        blocks = await self._store.get_blocks([cid.buffer for cid in cids])
        for cid, found in zip(cids, blocks, strict=True):
            if found is None:
                raise BlockNotFoundError(f"block {cid} is not in the repo", cid)
            yield cid, found

    def close(self) -> None:
        """Ask for nothing more."""
        if self._session is not None:
            self._session.close()
