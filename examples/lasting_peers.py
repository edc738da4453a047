"""A host that finds its peers again at its next start, without asking a public server."""

from __future__ import annotations

import tempfile
from pathlib import Path

import trio

from libp2p import BasicHost, KeyPair, create_new_ed25519_key_pair, new_host
from libp2p.datastore import SqliteDatastore
from libp2p.discovery.bootstrap import Bootstrap
from libp2p.peer.persistent import PersistentPeerStore

LOOPBACK = "/ip4/127.0.0.1/tcp/0"


async def meet(host: BasicHost, bootstrap: Bootstrap) -> None:
    async with host.run([LOOPBACK]), trio.open_nursery() as nursery:
        nursery.start_soon(bootstrap.run)  # it keeps the host connected from now on
        await bootstrap.until_met()
        for outcome in await bootstrap.outcomes(5):
            print("connected" if outcome.error is None else outcome.error)
        print("peers:", len(host.get_connected_peers()))
        nursery.cancel_scope.cancel()


async def run_once(folder: Path, identity: KeyPair, friends: list[str] | None) -> None:
    async with SqliteDatastore(folder / "peers.sqlite") as datastore:
        host = new_host(key_pair=identity, peerstore_opt=PersistentPeerStore(datastore))
        await meet(host, Bootstrap(host, friends))


async def main() -> None:
    identity = create_new_ed25519_key_pair()
    friend = new_host()
    with tempfile.TemporaryDirectory() as name:
        async with friend.run([LOOPBACK]):
            print("the first start is told of a friend")
            await run_once(Path(name), identity, [str(friend.get_addrs()[0])])
            print("the second one is told of nobody")
            await run_once(Path(name), identity, None)


trio.run(main)
