"""Finds the addresses of a peer by asking the peers near its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.exceptions import RoutingError
from libp2p.kad_dht.config import MAX_READ_ADDRESSES
from libp2p.kad_dht.messages import Message, MessageType
from libp2p.peer.addresses import addresses_from_wire
from libp2p.peer.peerinfo import PeerInfo

if TYPE_CHECKING:
    from libp2p.kad_dht.engine import Engine
    from libp2p.peer.id import ID

#: Peers that have to name the addresses of the searched peer: a single one could lie.
WITNESSES = 3


async def find_peer(engine: Engine, peer: ID) -> PeerInfo | None:
    """
    Return a peer with its addresses: those in the peerstore, else those that others name.

    :raises RoutingError: if nobody could be asked.
    """
    if peer == engine.own:
        return PeerInfo(peer, engine.own_addresses())
    known = engine.known_addresses(peer)
    if known:
        return PeerInfo(peer, addresses_from_wire(known, MAX_READ_ADDRESSES))
    found: dict[bytes, None] = {}
    witnesses: set[ID] = set()

    def on_answer(witness: ID, answer: Message) -> bool:
        for entry in answer.closer:
            if entry.peer_id == peer and entry.addrs:
                witnesses.add(witness)
                found.update(dict.fromkeys(entry.addrs))
        return len(witnesses) >= WITNESSES or engine.host.is_peer_connected(peer)

    try:
        await engine.look_up(Message(MessageType.FIND_NODE, peer.to_bytes()), on_answer)
    except RoutingError:
        if not found:
            raise
    addrs = addresses_from_wire([*engine.known_addresses(peer), *found], MAX_READ_ADDRESSES)
    unique = list({addr.to_bytes(): addr for addr in addrs}.values())
    return PeerInfo(peer, unique) if unique else None
