"""Peers of commands: one that only asks, and one that announces what its repo has."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.datastore import SqliteDatastore
from libp2p.exceptions import OpenConnectionError, RoutingError
from libp2p.ipfs_lite.errors import NotAnnouncedError
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipfs_lite.repo import DATASTORE_FILE, Repo
from libp2p.peer.addresses import to_multiaddrs

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice, NetworkSettings
    from libp2p.ipfs_lite.config import Config
    from libp2p.ipld.cid import CID


_PORT: Final = re.compile(r"/tcp/\d+")


async def config_at(at: At) -> Config:
    """Return the settings of the repo, which is made if it is not there."""
    return (await trio.to_thread.run_sync(Repo.identity_of, at.repo)).config


def client_settings(network: NetworkChoice, config: Config) -> NetworkSettings:
    """
    Return the settings of a peer that is gone in a moment.

    It answers nobody in the DHT unless it is told to: others would list it for nothing.
    """
    settings = network.settings()
    if (settings["dht"] or config.dht) == "auto":
        settings["dht"] = "client"
    return settings


async def is_anybody_known(at: At, network: NetworkChoice) -> bool:
    """Tell whether there is anybody to ask: else a network need not be loaded."""
    config = await config_at(at)
    if network.knows_anybody(config):
        return True
    if network.settings()["bootstrap"] == ():
        return False  # not even peers that were seen before
    return network.may_ask_the_dht(config) and (at.repo / DATASTORE_FILE).exists()


@asynccontextmanager
async def open_asker(at: At, network: NetworkChoice) -> AsyncIterator[Peer]:
    """
    Open a peer that asks others, with the repo's settings and what the repo knows of peers.

    It has an identity of its own and no part in the repo's lock: it works while ``serve`` runs.
    """
    network.require_others()
    config = await config_at(at)
    settings = client_settings(network, config)
    async with (
        SqliteDatastore(at.repo / DATASTORE_FILE) as datastore,
        Peer.open(
            block_store=MemoryBlockStore(),
            config=config,
            datastore=datastore,
            **settings,
        ) as peer,
    ):
        yield peer


@asynccontextmanager
async def open_announcer(at: At, network: NetworkChoice) -> AsyncIterator[Peer]:
    """
    Open the repo's peer to announce what the repo has.

    It listens where ``serve`` would, so that these addresses are announced; at another port if
    another program has that one.
    """
    network.require_others()
    config = await config_at(at)
    settings = client_settings(network, config)
    async with Peer.open(at.repo, **settings) as peer:
        swarm = peer.host.get_network()
        try:
            await swarm.listen(*to_multiaddrs(config.listen, "listen"))
        except OpenConnectionError:
            # Another program has the port. Others learn who has the blocks, and ask where that is.
            free = [_PORT.sub("/tcp/0", address) for address in config.listen]
            await swarm.listen(*to_multiaddrs(free, "listen"))
        yield peer


async def announce(peer: Peer, cids: Sequence[CID]) -> None:
    """
    Announce blocks, one after the other.

    :raises NotAnnouncedError: if nobody took one.
    """
    for cid in cids:
        try:
            if not await peer.routing.provide(cid):
                raise NotAnnouncedError(f"{cid} is not announced: no router takes announcements")
        except RoutingError as error:
            raise NotAnnouncedError(f"{cid} is not announced: {error}") from error
