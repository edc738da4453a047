"""
A process that announces keys and is killed by its test; it is run as a module.

Arguments: the datastore, a file for what was sent, numbers of keys and of peers. Each record that a
peer takes is a line of the file, written before the peer's answer is known. The last line is
``done``, once nothing is left.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from libp2p.datastore.sqlite import SqliteDatastore
from libp2p.provide.config import ProvideConfig
from libp2p.provide.provider import Provider
from tests.support.model_network import ModelNetwork, peer_number
from tests.support.sweep_router import ListedKeys, SweepRouter, numbered, until_idle

if TYPE_CHECKING:
    from libp2p.peer.id import ID

LOOKUP_SECONDS = 0.01
WORKERS = 4
ONCE = 20
"""Keys that are announced once, in the first run."""


class LoggingRouter(SweepRouter):
    """Writes down what it was handed."""

    def __init__(self, network: ModelNetwork, log: str) -> None:
        super().__init__(network, lookup_seconds=LOOKUP_SECONDS, send_seconds=0.001)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def send_provider_records(self, peer: ID, multihashes: Sequence[bytes]) -> int:
        taken = await super().send_provider_records(peer, multihashes)
        self.write(f"sent {peer} {' '.join(one.hex() for one in multihashes)}")
        return taken

    def write(self, line: str) -> None:
        """One write each: a killed process leaves whole lines."""
        os.write(self._log, f"{line}\n".encode())


async def main(store: str, log: str, keys: int, peers: int, is_first: bool) -> None:
    """Announce until nothing is left."""
    router = LoggingRouter(ModelNetwork(peers), log)
    datastore = SqliteDatastore(store)
    source, config = (
        ListedKeys(numbered(0, keys)),
        ProvideConfig(max_workers=WORKERS, on_demand_workers=1, periodic_workers=1),
    )
    provider = Provider(router, source, datastore, config, peer_id=peer_number(-1))
    async with provider.run():
        if is_first:
            once = numbered(1_000_000, 1_000_000 + ONCE)
            await provider.provide_once([b"\x01\x55" + one for one in once])
        router.write("ready")
        await until_idle(provider, 0.01)
        router.write(f"lookups {router.lookups}")
        router.write("done")
    await datastore.close()


if __name__ == "__main__":
    store, log, keys, peers = sys.argv[1:]
    trio.run(main, store, log, int(keys), int(peers), not os.path.exists(log))
