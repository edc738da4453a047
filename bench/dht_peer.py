"""A DHT server of ours with many peers in its table: prints its address and waits."""

from __future__ import annotations

import argparse
import os
import sys

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.routing_table import RoutingTableConfig
from libp2p.peer.id import ID

ADDRESS = Multiaddr("/ip4/127.0.0.1/tcp/9").to_bytes()
SHA256_ID = b"\x12\x20"


def fill(dht: KadDHT, known: int, in_table: int) -> None:
    """
    Offer random peers to the table, as they would have answered their check.

    :param known: so many of them, or
    :param in_table: until the table has so many.
    """
    offered = 0
    while offered < known or len(dht.table) < in_table:
        peer = ID(SHA256_ID + os.urandom(32))
        dht.table.consider(peer, [ADDRESS], trio.current_time(), verified=True)
        dht.table.take_events()
        offered += 1


async def serve(options: argparse.Namespace) -> None:
    """Run the server until standard input ends."""
    table = RoutingTableConfig(bucket_size=options.bucket_size)
    host = new_host()
    dht = KadDHT(host, DHTMode.SERVER, table_config=table)
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]), dht.run():
        fill(dht, options.known, options.in_table)
        print(host.get_addrs()[0], flush=True)
        print(f"{len(dht.table)} peers in the table", file=sys.stderr, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--known", type=int, default=1000)
    parser.add_argument("--in-table", type=int, default=0)
    parser.add_argument("--bucket-size", type=int, default=20)
    trio.run(serve, parser.parse_args())


if __name__ == "__main__":
    main()
