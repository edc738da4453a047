"""``dht stat``: the routing tables of the DHT, as this machine gets them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from libp2p.exceptions import PeerStoreError, RoutingError
from libp2p.ipfs_lite.cli.company import open_asker
from libp2p.ipfs_lite.cli.terminal import say, say_json
from libp2p.ipfs_lite.errors import NotFoundError
from libp2p.peer.addresses import addresses_from_wire

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice
    from libp2p.ipfs_lite.peer import Peer
    from libp2p.kad_dht.kad_dht import KadDHT
    from libp2p.peer.id import ID

#: Filling the tables ends after this time.
FILL_SECONDS: Final = 10.0

#: Addresses of a peer that are printed: the peer has said them itself.
MAX_SHOWN_ADDRESSES: Final = 32

NAMES: Final = ("wan", "lan")


async def show(at: At, network: NetworkChoice, names: Sequence[str]) -> None:
    """
    Meet the peers that are known, look around, and print the tables.

    :raises NotFoundError: if the peer has no part in the DHT.
    """
    async with open_asker(at, network) as peer:
        if peer.dht is None:
            raise NotFoundError("the DHT is off: say --dht auto, or change it in config.json")
        with trio.move_on_after(FILL_SECONDS):
            await fill_tables(peer)
        tables = {"wan": peer.dht.wan, "lan": peer.dht.lan}
        for name in names or NAMES:
            await (_show_json if at.as_json else _show_table)(name, tables[name])


async def fill_tables(peer: Peer) -> None:
    """Meet the first peers, and look up what is near this one."""
    await peer.meet_first()
    with suppress(RoutingError):  # nobody is known: the tables say so
        await peer.routing.get_closest_peers(peer.peer_id.to_bytes())


async def _show_json(name: str, dht: KadDHT) -> None:
    peers = []
    for peer_id in dht.table:
        row = dht.table.row(peer_id)
        if row is not None:
            addresses = list(map(str, addresses_from_wire(row.entry.addrs, MAX_SHOWN_ADDRESSES)))
            peers.append({"id": str(peer_id), "bucket": row.prefix_length, "addresses": addresses})
    await say_json({"dht": name, "protocol": dht.protocol, "mode": dht.active_mode, "peers": peers})


async def _show_table(name: str, dht: KadDHT) -> None:
    """Print a table by buckets, as Kubo does."""
    await say(f"DHT {name} ({len(dht.table)} peers), {dht.active_mode} of {dht.protocol}")
    buckets: dict[int, list[str]] = {}
    for peer_id in dht.table:
        row = dht.table.row(peer_id)
        if row is not None:
            addresses = addresses_from_wire(row.entry.addrs, MAX_SHOWN_ADDRESSES)
            where = str(addresses[0]) if addresses else "no address"
            agent = _agent_of(dht, peer_id)
            buckets.setdefault(row.prefix_length, []).append(f"{peer_id}  {where}  {agent}")
    for number in sorted(buckets):
        await say(f"  bucket {number} ({len(buckets[number])} peers)")
        for line in buckets[number]:
            await say(f"    {line}".rstrip())


def _agent_of(dht: KadDHT, peer_id: ID) -> str:
    """Return what a peer says that it is; nothing if it was not connected."""
    try:
        return str(dht.host.get_peerstore().get(peer_id, "AgentVersion"))
    except PeerStoreError:
        return ""
