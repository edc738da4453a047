"""Two peers trade a file, and one of them is watched: its log, and its numbers."""

from __future__ import annotations

import logging
import sys
import tempfile

import trio

from libp2p.ipfs_lite import Peer
from libp2p.stream_muxer.yamux.yamux import Yamux

FILE = __file__


def start_log() -> None:
    """Print the library's log, and nothing of other packages."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    log = logging.getLogger("libp2p")
    log.addHandler(handler)
    log.setLevel(logging.INFO)


def export(peer: Peer) -> dict[str, float]:
    """Take the numbers that a monitoring system is given every so often."""
    numbers: dict[str, float] = {}
    for name, scope in peer.resources.statistics().items():
        numbers[f"{name}, held"] = scope.held
        numbers[f"{name}, most ever"] = scope.peak
        numbers[f"{name}, cut off"] = scope.cuts
    stat = peer.bitswap.stat()
    numbers["bytes received"], numbers["bytes sent"] = stat.data_received, stat.data_sent
    numbers["blocks wanted"] = len(stat.wantlist)
    for connection in peer.host.get_network().get_connections():
        if isinstance(connection.muxed_conn, Yamux):
            link = connection.muxed_conn.statistics()
            numbers[f"{connection.muxed_conn.peer_id}, round trip"] = link.rtt or 0.0
    return numbers


async def main() -> None:
    start_log()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Peer.open(f"{folder}/alice", listen=["/ip4/127.0.0.1/tcp/0"]) as alice,
            Peer.open(f"{folder}/bob") as bob,
        ):
            added = await alice.add_file(FILE)
            await bob.connect(alice.addrs[0])
            async with await bob.get_file(added.cid) as file:
                await file.read()
            for name, number in export(bob).items():
                print(f"{name}: {number:g}")


if __name__ == "__main__":
    trio.run(main)
