"""Three peers of a network of their own: what one has, another one finds through the third."""

from tempfile import TemporaryDirectory

import trio

from libp2p.ipfs_lite import Peer

LISTEN = "/ip4/127.0.0.1/tcp/0"


async def main() -> None:
    with TemporaryDirectory() as folder:
        async with (
            Peer.open(f"{folder}/known", listen=LISTEN) as known,
            Peer.open(f"{folder}/owner", listen=LISTEN, bootstrap=known.addrs) as owner,
            Peer.open(f"{folder}/guest", bootstrap=known.addrs) as guest,
        ):
            added = await owner.add_file(b"of this network only")
            await owner.routing.provide(added.cid)

            async with guest.routing.find_providers(added.cid) as found:
                async for info in found:
                    print("found:", info.peer_id == owner.peer_id)
            async with await guest.get_file(added.cid) as file:
                print((await file.read()).decode())


if __name__ == "__main__":
    trio.run(main)
