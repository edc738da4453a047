"""``repo import``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import trio

from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.errors import UnhealthyError
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipfs_lite.stores import open_place
from libp2p.utils.printable import printable

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At


async def import_blocks(at: At, place: str) -> None:
    source = await trio.to_thread.run_sync(open_place, place)
    try:
        async with Peer.open(at.repo, online=False) as peer:
            with Bar("importing", printable(place)) as bar:
                result = await peer.import_blocks(
                    source, progress=lambda so_far: bar.update(so_far.bytes, None)
                )
    finally:
        await source.close()
    await at.say(
        asdict(result),
        f"imported {result.copied} blocks ({result.bytes} bytes), {result.there} were here",
    )
    if result.damaged:
        raise UnhealthyError(f"{result.damaged} blocks of {place} are damaged: they are left out")
