"""
IPFS under asyncio, with nothing to set up.

    from libp2p.ipfs_lite import aio

    cid = await aio.add(b"hello")
    await aio.get(cid)

A peer in the background of this process does the work: it is opened at the first call, in the repo
that ``repo=`` names, and closed at exit. `Peer` is one of your own; see `libp2p.aio`.
"""

from __future__ import annotations

from libp2p.bridge.remote import bridge
from libp2p.ipfs_lite import background, everyday
from libp2p.ipfs_lite.peer import Peer as _Peer

__all__ = [
    "Peer", "add", "addresses", "cat", "connect", "get", "ls", "open", "peer", "pin", "start",
    "stop", "unpin",
]  # fmt: skip

Peer = bridge(_Peer)

add = bridge(everyday.add)
get = bridge(everyday.get)
cat = bridge(everyday.cat)
open = bridge(everyday.open)
ls = bridge(everyday.ls)
pin = bridge(everyday.pin)
unpin = bridge(everyday.unpin)
connect = bridge(everyday.connect)
addresses = bridge(everyday.addresses)
peer = bridge(background.peer)
start = bridge(background.start)
stop = bridge(background.stop)
