"""``serve``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from libp2p.ipfs_lite.cli.company import config_at
from libp2p.ipfs_lite.cli.ending import run_to_an_end
from libp2p.ipfs_lite.control.running import controlled
from libp2p.ipfs_lite.peer import Peer
from libp2p.utils.short_collections import short_collections

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice


def serve(
    at: At,
    network: NetworkChoice,
    *,
    listen: Sequence[Multiaddr],
    routing_api: str | None,
    peering: tuple[str, ...],
) -> None:
    """Serve; what is empty is what the repo says."""

    async def work() -> None:
        own = None if listen else await config_at(at)
        async with (
            Peer.open(
                at.repo,
                listen=listen if own is None else own.listen,
                provide=True,
                peering=peering or None,
                **network.settings(),
            ) as peer,
            _answering(peer, routing_api) as url,
            controlled(peer, at.repo),
        ):
            places = [("address", str(address)) for address in peer.addrs]
            for kind, place in [*places, *([("routing_api", url)] if url else [])]:
                await at.say({kind: place}, place, needed=False)
            with short_collections():
                await trio.sleep_forever()

    run_to_an_end(work, at.timeout, stopping_is_success=True)


@asynccontextmanager
async def _answering(peer: Peer, bind: str | None) -> AsyncIterator[str]:
    """Answer delegated routing if there is where to listen; yield the URL, or nothing."""
    if bind is None:
        yield ""
        return
    from libp2p.ipfs_lite.routing_api import routing_api

    async with routing_api(peer, bind) as url:
        yield url
