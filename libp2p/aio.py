"""
This library under asyncio: trio runs in a thread of its own, and nothing of it shows.

    from libp2p import aio

    async def main() -> None:
        async with aio.Peer.open("my-repo") as peer:
            added = await peer.add_file("film.mp4")

The names are those of `libp2p`, `libp2p.bitswap` and `libp2p.ipfs_lite`, and so are their methods
and types. `bridge` makes the same of any other class, function or object of the library:

    dht = aio.bridge(KadDHT)(host, DHTMode.CLIENT)

* ``await``, ``async with`` and ``async for`` are what they are on trio. A cancelled task cancels
  what it waits for and waits for its end; errors are raised as they are; context variables go over.
* Coroutine functions and readers that you pass, such as stream handlers, run in your loop.
* Plain methods and properties block for a turn of trio's loop, usually 0.1 ms. Plain functions that
  you pass, such as ``progress``, are called in trio's thread.
* Any number of loops, in any threads, use one thread of trio. A forked process gets its own, and
  makes its objects anew.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from libp2p.bridge.remote import bridge as bridge

if TYPE_CHECKING:
    from libp2p.bitswap import BitswapClient as BitswapClient
    from libp2p.blockstore.filesystem import FilesystemBlockStore as FilesystemBlockStore
    from libp2p.blockstore.memory import MemoryBlockStore as MemoryBlockStore
    from libp2p.factory import new_host as new_host
    from libp2p.host.basic_host import BasicHost as BasicHost
    from libp2p.host.ping import PingService as PingService
    from libp2p.host.routed_host import RoutedHost as RoutedHost
    from libp2p.ipfs_lite.peer import Peer as Peer
    from libp2p.kad_dht.kad_dht import KadDHT as KadDHT

_HOMES: Final = {
    "BasicHost": "libp2p.host.basic_host",
    "BitswapClient": "libp2p.bitswap",
    "FilesystemBlockStore": "libp2p.blockstore.filesystem",
    "KadDHT": "libp2p.kad_dht.kad_dht",
    "MemoryBlockStore": "libp2p.blockstore.memory",
    "Peer": "libp2p.ipfs_lite.peer",
    "PingService": "libp2p.host.ping",
    "RoutedHost": "libp2p.host.routed_host",
    "new_host": "libp2p.factory",
}

__all__ = ["bridge", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return bridge(getattr(import_module(_HOMES[name]), name))


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
