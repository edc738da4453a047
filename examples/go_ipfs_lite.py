"""Go ipfs-lite's example, line by line: parts first, then a peer on them."""

import trio

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.ipfs_lite import AddParams, new, new_in_memory_datastore, setup_libp2p

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]


async def main() -> None:
    async with (
        setup_libp2p(create_new_key_pair(), None, LOOPBACK) as (host, dht),
        new(new_in_memory_datastore(), None, host, dht) as lite,
        setup_libp2p(create_new_key_pair()) as (other_host, other_dht),
        new(new_in_memory_datastore(), None, other_host, other_dht) as other,
    ):
        node = await lite.add_file(b"hello, world\n", **AddParams().choices())
        print(node.cid)

        reached = await other.bootstrap(lite.addrs)
        print("bootstrapped:", reached == [lite.peer_id])
        async with other.session() as session, await session.get_file(node.cid) as file:
            print(await file.read())
        print("here now:", await other.has_block(node.cid))
        print("it is in the block store:", await other.block_store().has_block(node.cid))
        print("exchange:", type(other.exchange()).__name__)


if __name__ == "__main__":
    trio.run(main)
