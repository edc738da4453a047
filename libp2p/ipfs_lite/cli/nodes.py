"""``dag put``, ``get``, ``resolve`` and ``stat``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from libp2p.ipfs_lite.cli.fetching import fetching_peer, find, root_and_path
from libp2p.ipfs_lite.cli.inputs import read_small
from libp2p.ipfs_lite.cli.repo_keeping import human_size
from libp2p.ipfs_lite.cli.terminal import DASH, write_bytes
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipld.block import MAX_BLOCK_BYTES
from libp2p.ipld.node import decode, encode

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice
    from libp2p.ipfs_lite.cli.parameters import Content

#: Texts of nodes: dag-json may be several times as long as the block.
MAX_INPUT_BYTES: Final = 8 * MAX_BLOCK_BYTES


async def put(
    at: At, paths: Sequence[str], *, input_codec: str, store_codec: str, hash_name: str, pin: bool
) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        for path in paths or [DASH]:
            data = await read_small(path, MAX_INPUT_BYTES, "node")
            value = decode(data, input_codec)
            cid = await peer.dag.put(value, store_codec, hash=hash_name, pin=pin)
            await at.say({"cid": str(cid)}, str(cid))


async def get(at: At, content: Content, fetch: FetchChoice, codec: str) -> None:
    async with fetching_peer(at, fetch, content) as peer:
        value = await peer.dag.value(*await root_and_path(peer, content))
        await write_bytes(encode(value, codec))


async def resolve(at: At, content: Content, fetch: FetchChoice) -> None:
    async with fetching_peer(at, fetch, content) as peer:
        place = await peer.dag.resolve(*await root_and_path(peer, content))
        rest = "/".join(place.rest)
        line = f"{place.cid}/{rest}" if rest else str(place.cid)
        await at.say({"cid": str(place.cid), "rest": rest}, line)


async def stat(at: At, contents: Sequence[Content], fetch: FetchChoice) -> None:
    async with fetching_peer(at, fetch, *contents) as peer:
        stats = await peer.dag.stat([await find(peer, content) for content in contents])
        dags = [{"cid": str(cid), "blocks": count, "size": size} for cid, count, size in stats.dags]
        width = max(len(str(cid)) for cid, _, _ in stats.dags)
        await at.say(
            {"blocks": stats.blocks, "size": stats.size, "dags": dags},
            f"{'CID':<{width}}  {'Blocks':<15}  Size",
            *(f"{cid!s:<{width}}  {count:<15}  {size}" for cid, count, size in stats.dags),
            "",
            "Summary",
            f"Total Size: {stats.size} ({human_size(stats.size)})",
            f"Unique Blocks: {stats.blocks}",
            f"Shared Size: {stats.shared} ({human_size(stats.shared)})",
            f"Ratio: {(stats.size + stats.shared) / (stats.size or 1):.6f}",
        )
