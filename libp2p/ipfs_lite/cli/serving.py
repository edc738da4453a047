"""``serve``."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import trio

from libp2p.ipfs_lite.cli.ending import run_to_an_end
from libp2p.ipfs_lite.cli.terminal import say, say_json
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipfs_lite.repo import Repo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multiaddr import Multiaddr

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice


def serve(at: At, listen: Sequence[Multiaddr], network: NetworkChoice, as_json: bool) -> None:
    async def work() -> None:
        addresses = (
            listen or (await trio.to_thread.run_sync(Repo.identity_of, at.repo)).config.listen
        )
        async with Peer.open(at.repo, listen=addresses, provide=True, **network.settings()) as peer:
            for address in peer.addrs:
                if as_json:
                    await say_json({"address": str(address)}, needed=False)
                else:
                    await say(str(address), needed=False)
            gc.freeze()  # all that is loaded now stays: garbage collections need not visit it
            await trio.sleep_forever()

    run_to_an_end(work, at.timeout, stopping_is_success=True)
