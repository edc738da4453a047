"""The links below a block, in the order of ``ipfs refs``: each, then those of what it leads to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidArgument
from libp2p.ipld import dag_pb
from libp2p.ipld.codec import DAG_PB, RAW
from libp2p.ipld.dag_walk import MAX_VISITED, MAX_WAITING
from libp2p.ipld.links import links_of

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipld.cid import CID

#: Blocks that are asked for at once: with fewer, a distant peer would be waited for at each.
BLOCKS_AHEAD: Final = 32


class Ref(NamedTuple):
    """A link from a block to another."""

    source: CID
    target: CID
    name: str
    """Of the link, in dag-pb; empty in other codecs."""


class _Node(NamedTuple):
    """A block of which some links have not been followed."""

    left: list[Ref]  # the next one is the last
    ahead: dict[CID, Buffer]


async def refs_below(
    source: BlockSource, root: CID, *, max_depth: int | None = 1, unique: bool = False
) -> AsyncGenerator[Ref, None]:
    """
    Yield the links of a block, and of those below it; only blocks whose links count are fetched.

    :param max_depth: 1 is the block's own links, None all below it; 0 is nothing, as in Kubo.
    :param unique: leave out links to what has been yielded.
    :raises BitswapError: if a block cannot be had.
    :raises ParseError: if one is not in the codec that its CID says.
    :raises UnknownCodec: if the links of one cannot be read.
    :raises InvalidArgument: if there are too many links to remember.
    """
    depths: dict[bytes, int] = {}
    [block] = await source.fetch([root])
    nodes = [_Node(_refs_of(root, block) if max_depth != 0 else [], {})]
    waiting = len(nodes[0].left)
    while nodes:
        node = nodes[-1]
        if not node.left:
            nodes.pop()
            continue
        ref = node.left.pop()
        waiting -= 1
        depth = len(nodes)
        before = depths.get(ref.target.buffer) if unique else None
        if before is None:
            yield ref
        if unique:
            # As in Kubo: what has been seen deeper down may have more below it within the depth.
            if before is not None and (max_depth is None or before <= depth):
                continue
            depths[ref.target.buffer] = depth
            if len(depths) > MAX_VISITED:
                raise InvalidArgument(f"there are more than {MAX_VISITED:,} links to remember")
        if depth == max_depth or ref.target.codec_code == RAW:
            continue
        refs = _refs_of(ref.target, await _block_of(source, ref, node))
        waiting += len(refs)
        if waiting > MAX_WAITING:
            raise InvalidArgument(f"more than {MAX_WAITING:,} links of the DAG are waiting")
        nodes.append(_Node(refs, {}))


def _refs_of(cid: CID, block: Buffer) -> list[Ref]:
    if cid.codec_code == DAG_PB:
        links = [(link.cid, link.name or "") for link in dag_pb.decode(block).links]
    else:
        links = [(target, "") for target in links_of(cid, block)]
    return [Ref(cid, target, name) for target, name in reversed(links)]


async def _block_of(source: BlockSource, ref: Ref, node: _Node) -> Buffer:
    """Return a block; fetch those of the next links with it."""
    if ref.target not in node.ahead:
        node.ahead.clear()
        wanted = [ref.target]
        for other in reversed(node.left[-BLOCKS_AHEAD:]):
            if other.target.codec_code != RAW and other.target not in wanted:
                wanted.append(other.target)
        node.ahead.update(zip(wanted, await source.fetch(wanted), strict=True))
    return node.ahead[ref.target]
