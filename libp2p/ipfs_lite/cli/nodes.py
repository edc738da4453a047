"""``dag put``, ``get``, ``resolve`` and ``stat``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.ipfs_lite.cli.fetching import root_and_path, run_with_peer
from libp2p.ipfs_lite.cli.repo_keeping import human_size
from libp2p.ipfs_lite.cli.small_files import read_small, write_bytes
from libp2p.ipfs_lite.cli.terminal import DASH, say, say_json
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipld.block import MAX_BLOCK_BYTES
from libp2p.ipld.node import decode, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.fetching import Fetch

#: Texts of nodes: dag-json may be several times as long as the block.
MAX_INPUT_BYTES: Final = 8 * MAX_BLOCK_BYTES


class NodeForm(NamedTuple):
    """What nodes are read in and written in; the hash function; and whether they are pinned."""

    input_codec: str
    store_codec: str
    hash: str
    pin: bool


def put(at: At, paths: Sequence[str], form: NodeForm, as_json: bool) -> None:
    async def work() -> None:
        async with Peer.open(at.repo, online=False) as peer:
            for path in paths or [DASH]:
                data = await read_small(path, MAX_INPUT_BYTES, "node")
                value = decode(data, form.input_codec)
                cid = await peer.dag.put(value, form.store_codec, hash=form.hash, pin=form.pin)
                if as_json:
                    await say_json({"cid": str(cid)})
                else:
                    await say(str(cid))

    at.run(work)


def get(at: At, fetch: Fetch, codec: str) -> None:
    async def work(peer: Peer) -> None:
        value = await peer.dag.value(*await root_and_path(peer, fetch.content))
        await write_bytes(encode(value, codec))

    run_with_peer(at, [fetch], work)


def resolve(at: At, fetch: Fetch, as_json: bool) -> None:
    async def work(peer: Peer) -> None:
        place = await peer.dag.resolve(*await root_and_path(peer, fetch.content))
        rest = "/".join(place.rest)
        if as_json:
            await say_json({"cid": str(place.cid), "rest": rest})
        else:
            await say(f"{place.cid}/{rest}" if rest else str(place.cid))

    run_with_peer(at, [fetch], work)


def stat(at: At, fetches: Sequence[Fetch], as_json: bool) -> None:
    async def work(peer: Peer) -> None:
        roots = [await peer.resolve(*await root_and_path(peer, fetch.content)) for fetch in fetches]
        stats = await peer.dag.stat(roots)
        if as_json:
            dags = [
                {"cid": str(cid), "blocks": count, "size": size} for cid, count, size in stats.dags
            ]
            await say_json({"blocks": stats.blocks, "size": stats.size, "dags": dags})
            return
        width = max(len(str(cid)) for cid, _, _ in stats.dags)
        await say(f"{'CID':<{width}}  {'Blocks':<15}  Size")
        for cid, count, size in stats.dags:
            await say(f"{cid!s:<{width}}  {count:<15}  {size}")
        await say("")
        await say("Summary")
        await say(f"Total Size: {stats.size} ({human_size(stats.size)})")
        await say(f"Unique Blocks: {stats.blocks}")
        await say(f"Shared Size: {stats.shared} ({human_size(stats.shared)})")
        await say(f"Ratio: {(stats.size + stats.shared) / (stats.size or 1):.6f}")

    run_with_peer(at, fetches, work)
