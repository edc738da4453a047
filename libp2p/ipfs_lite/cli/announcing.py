"""``routing provide``, ``provide once`` and ``provide stat``: what others are told of the repo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.ipfs_lite.cli.company import announce, open_announcer
from libp2p.ipfs_lite.cli.terminal import say, say_json, tell
from libp2p.ipfs_lite.dag import blocks_below
from libp2p.ipfs_lite.errors import NotFoundError
from libp2p.utils.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.finding import Style
    from libp2p.ipfs_lite.cli.options import NetworkChoice
    from libp2p.ipld.cid import CID


def announce_blocks(
    at: At, network: NetworkChoice, cids: Sequence[CID], recursive: bool, style: Style
) -> None:
    """Announce blocks of the repo, and on request those below them; print each that was named."""

    async def work() -> None:
        async with open_announcer(at, network) as peer:
            for cid in cids:
                if not await peer.has_block(cid):
                    raise NotFoundError(f"{cid} is not in the repo: add or get it first")
            for cid in cids:
                blocks = [cid]
                if recursive:
                    blocks = [block async for block in blocks_below(peer.store, cid)]
                await announce(peer, blocks)
                if style.as_json:
                    await say_json({"cid": str(cid), "blocks": len(blocks)}, needed=False)
                else:
                    await say(f"announced {cid}", needed=False)
            if style.verbose:
                for report in peer.routing.reports():
                    took = f"took {report.results} of {report.calls}"
                    tell(f"{report.name}: {one_line(report.last_error) or took}")

    at.run(work)
