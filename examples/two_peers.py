"""Two IPFS peers in one program: one adds a file, the other fetches it by CID."""

from __future__ import annotations

import tempfile

import trio

from libp2p.ipfs_lite import Peer

FILE = __file__


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Peer.open(f"{folder}/alice", listen=["/ip4/127.0.0.1/tcp/0"]) as alice,
            Peer.open(f"{folder}/bob") as bob,
        ):
            added = await alice.add_file(FILE)
            await bob.connect(alice.addrs[0])
            async with await bob.get_file(added.cid) as file:
                data = await file.read()
            same = data == await trio.Path(FILE).read_bytes()
            print(added.cid, "identical" if same else "different")


if __name__ == "__main__":
    trio.run(main)
