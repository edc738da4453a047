"""What the owner of a repo may ask the peer that runs on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from libp2p.peer.id import ID

if TYPE_CHECKING:
    from libp2p.ipfs_lite.peer import Peer
    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.resources import ScopeStatistics


def calls_of(peer: Peer) -> dict[str, Callable[[Sequence[str]], Awaitable[object]]]:
    """Return the calls by name; each takes words, and returns what JSON can say."""
    calls = (
        peers, connect, disconnect, addresses, own_addresses,
        peering, peering_add, peering_remove, resources,
        bitswap_stat, wantlist,
    )  # fmt: skip
    return {call.__name__: partial(call, peer) for call in calls}


async def peers(peer: Peer, words: Sequence[str]) -> list[dict[str, Any]]:
    """List connections: peer, address, direction, seconds of a round trip, protocols of streams."""
    return [
        {
            "peer": str(connection.peer_id),
            "address": str(address),
            "direction": "outbound" if connection.is_initiator else "inbound",
            "latency": connection.muxed_conn.rtt(),
            "streams": sorted(str(each.get_protocol() or "") for each in connection.get_streams()),
        }
        for connection in cast("list[SwarmConn]", peer.host.get_network().get_connections())
        for address in connection.get_transport_addresses()[:1]
    ]


async def connect(peer: Peer, words: Sequence[str]) -> list[str]:
    """Connect to peers; return who they are."""
    return [str(await peer.connect(word)) for word in words]


async def disconnect(peer: Peer, words: Sequence[str]) -> list[str]:
    """Close the connections to peers; return who they are."""
    from libp2p.ipfs_lite.reaching import peer_of

    named = [str(peer_of(word).peer_id) for word in words]
    for word in words:
        await peer.disconnect(word)
    return named


async def addresses(peer: Peer, words: Sequence[str]) -> dict[str, list[str]]:
    """Return the addresses that are known of each peer."""
    store = peer.host.get_peerstore()
    return {str(known): list(map(str, store.addrs(known))) for known in store.peers_with_addrs()}


async def own_addresses(peer: Peer, words: Sequence[str]) -> list[str]:
    """Return the addresses to give to others."""
    return list(map(str, peer.addrs))


async def peering(peer: Peer, words: Sequence[str]) -> dict[str, list[str]]:
    """Return the peers to stay connected to."""
    return {str(info.peer_id): list(map(str, info.addrs)) for info in peer.peering.peers()}


async def peering_add(peer: Peer, words: Sequence[str]) -> list[str]:
    """Stay connected to peers until this one is closed; return who they are."""
    return [str(peer.peering.add(word)) for word in words]


async def peering_remove(peer: Peer, words: Sequence[str]) -> list[str]:
    """Stay connected to peers no longer; return who they are."""
    named = [ID.from_string(word) for word in words]
    for one in named:
        peer.peering.remove(one)
    return list(map(str, named))


async def resources(peer: Peer, words: Sequence[str]) -> list[dict[str, Any]]:
    """List what is held of what there is, with the limits."""
    lines: list[dict[str, Any]] = []

    def note(path: str, scope: ScopeStatistics) -> None:
        facts = {"held": scope.held, "peak": scope.peak, "limit": scope.limit, "cuts": scope.cuts}
        lines.append({"scope": path, **facts})
        for child in scope.children:
            note(f"{path}/{child.name}", child)

    for name, scope in peer.host.resources.statistics().items():  # type: ignore[attr-defined]
        note(name, scope)
    return lines


async def bitswap_stat(peer: Peer, words: Sequence[str]) -> dict[str, Any]:
    """Return the counts of bitswap; CIDs and peers as text."""
    counts = asdict(peer.bitswap.stat())
    return {
        name: list(map(str, value)) if isinstance(value, list) else value
        for name, value in counts.items()
    }


async def wantlist(peer: Peer, words: Sequence[str]) -> list[str]:
    """Return what is wanted: by a peer, if one is named."""
    if words:
        return list(map(str, peer.bitswap.wantlist_for_peer(ID.from_string(words[0]))))
    return list(map(str, peer.bitswap.get_wantlist()))
