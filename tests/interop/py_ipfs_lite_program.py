"""
Uses the wheel of py-ipfs-lite on whichever libp2p is found: run by test_py_ipfs_lite_wheel.py.

Arguments: the path of a file, and the CID of a file at a peer with that peer's address.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

import trio
from py_ipfs_lite.config import Config
from py_ipfs_lite.peer import Peer

import libp2p

LISTEN = ["/ip4/127.0.0.1/tcp/0"]


def say(name: str, value: object) -> None:
    """Print one result."""
    print(name, value, flush=True)


async def main(*given: str) -> None:
    path, foreign_cid, foreign_address = given
    say("libp2p", Path(libp2p.__file__).parent)
    async with (
        Peer(Config(blockstore_type="memory"), listen_addrs=LISTEN) as first,
        Peer(Config(blockstore_type="memory"), listen_addrs=LISTEN) as second,
    ):
        cid = await first.add_file(path)
        say("added", cid)
        fetched = await second.get_file(cid, provider_addr=str(first.host.addrs()[0]))
        say("fetched", sha256(fetched).hexdigest())
        fetched = await second.get_file(foreign_cid, provider_addr=foreign_address)
        say("foreign", sha256(fetched).hexdigest())
        node = await first.add_node({"title": "Hello"}, codec="dag-cbor")
        say("node", await second.get_node(node, provider_addr=str(first.host.addrs()[0])))
    say("closed", True)


trio.run(main, *sys.argv[1:])
