"""The blocks of a store that are reachable from a root."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from libp2p.blockstore import read_blocks
from libp2p.exceptions import ParseError, UnknownCodec
from libp2p.ipld.codec import RAW
from libp2p.ipld.links import links_of

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CID

#: Blocks below one root: of 1 MiB each they are 4 TiB. Beyond, the rest is left out.
MAX_BLOCKS: Final = 1 << 22


async def blocks_below(store: BlockStore, root: CID) -> AsyncIterator[CID]:
    """
    Return a root and the blocks below it that are in the store, each once.

    A block whose links cannot be read counts as one without any.
    """
    seen = {root.multihash}
    todo = [root]
    while todo:
        cid = todo.pop()
        if cid.is_identity:
            continue  # it carries its own data
        if cid.codec_code == RAW:
            if await store.has_block(cid):
                yield cid
            continue
        [data], _ = await read_blocks(store, [cid])
        if data is None:
            continue
        yield cid
        try:
            links = links_of(cid, data)
        except (ParseError, UnknownCodec):
            continue
        for link in reversed(links):
            if link.multihash not in seen and len(seen) < MAX_BLOCKS:
                seen.add(link.multihash)
                todo.append(link)
