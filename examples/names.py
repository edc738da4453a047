"""A name that stands for a file and then for another one: one peer publishes, another resolves."""

from __future__ import annotations

import tempfile

import trio

from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.ipfs_lite import Peer

LOOPBACK = "/ip4/127.0.0.1/tcp/0"


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Peer.open(f"{folder}/alice", listen=LOOPBACK, dht="server") as alice,
            Peer.open(f"{folder}/bob", listen=LOOPBACK, bootstrap=alice.addrs, dht="server") as bob,
        ):
            await bob.meet_first()
            alice.names.keystore.add("site", Ed25519PrivateKey.new())
            for text in (b"first edition", b"second edition"):
                added = await alice.add_file(text)
                published = await alice.names.publish(added.cid, key="site", ttl=60)
                found = await bob.names.resolve(published.name, use_cache=False)
                async with await bob.get_file(found.path.cid) as file:
                    print(found.path.cid == added.cid, (await file.read()).decode())


if __name__ == "__main__":
    trio.run(main)
