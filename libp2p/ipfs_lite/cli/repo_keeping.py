"""``repo gc``, ``stat``, ``verify``, ``ls``, ``version``, ``migrate`` and ``reset``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import trio

from libp2p.blockstore.sliced import sliced
from libp2p.ipfs_lite.block_check import verify_blocks
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.cli.terminal import say
from libp2p.ipfs_lite.errors import UnhealthyError
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipfs_lite.repo import VERSION, Repo
from libp2p.ipld.cid import CID, RAW_CID_START

if TYPE_CHECKING:
    from libp2p.blockstore.base import BlockInfo
    from libp2p.ipfs_lite.cli.at import At

_NAME: Final = VERSION.replace(" ", "@")


async def collect(at: At, quiet: bool, silent: bool) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        batches = peer.gc()
        async with aclosing(batches):
            async for removed in batches:
                for cid, size in removed if not silent else ():
                    line = f"{cid}" if quiet else f"removed {cid}"
                    await at.say({"cid": str(cid), "size": size}, line, needed=False)


async def stat(at: At, size_only: bool, human: bool) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        store = sliced(peer.store)
        count, size = await _count(store.blocks.block_infos())
        slices, elsewhere = await _count(store.slice_infos())
    count += slices
    facts = {"blocks": count, "size": size, "slices": slices, "slices_size": elsewhere}
    lines = {"RepoSize": human_size(size) if human else str(size)}
    if slices:
        lines["SlicesSize"] = human_size(elsewhere) if human else str(elsewhere)
    if not size_only:
        lines = {"NumObjects": str(count)} | lines
        lines |= {"RepoPath": str(at.repo), "Version": _NAME}
    width = max(map(len, lines)) + 2
    await at.say(
        facts | {"path": str(at.repo), "version": _NAME},
        *(f"{name}:".ljust(width) + value for name, value in lines.items()),
    )


async def _count(batches: AsyncGenerator[list[BlockInfo], None]) -> tuple[int, int]:
    count = size = 0
    async with aclosing(batches):
        async for batch in batches:
            count += len(batch)
            size += sum(info[1] for info in batch)
    return count, size


async def verify(at: At) -> None:
    async def damaged(cid: CID, reason: str) -> None:
        line = f"block {cid} was corrupt ({reason})"
        await at.say({"cid": str(cid), "error": reason}, line)

    async with Peer.open(at.repo, online=False) as peer:
        with Bar("verifying", "blocks") as bar:
            bad = await verify_blocks(peer.store, damaged, bar.update)
    if bad:
        raise UnhealthyError(f"verify complete, {bad} blocks corrupt")
    if not at.as_json:
        await say("verify complete, all blocks validated.")


async def list_blocks(at: At) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        async for batch in peer.store.multihash_batches():
            for multihash in batch:
                cid = str(CID.of(RAW_CID_START + multihash))
                await at.say({"cid": cid}, cid)


async def version(at: At, quiet: bool) -> None:
    line = _NAME if quiet else f"ipfs-lite repo version {_NAME}"
    await at.say({"version": _NAME.partition("@")[2]}, line)


async def migrate(at: At) -> None:
    async with Peer.open(at.repo, online=False):
        await say(f"Repository is already at version {_NAME.partition('@')[2]}.")


def human_size(size: float) -> str:
    """Write a size as Kubo does, in powers of 1000."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    unit = units[0]
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"


async def reset(at: At) -> None:
    old = await trio.to_thread.run_sync(Repo.reset_state, at.repo)
    await say("no pins were there" if old is None else f"the old state is in {old}")
