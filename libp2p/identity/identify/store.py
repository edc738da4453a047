"""Storing what a peer said of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.identity.identify.message import read_identity
from libp2p.peer.addresses import AddressScope

if TYPE_CHECKING:
    from libp2p.abc import IPeerStore
    from libp2p.identity.identify.message import PeerIdentity
    from libp2p.identity.identify.pb.identify_pb2 import Identify
    from libp2p.peer.id import ID

#: Seconds that announced addresses are worth dialling, as in py-libp2p: longer than most
#: interruptions, shorter than most leases of an address.
ANNOUNCED_ADDR_TTL: Final = 7200


def store_identity(peerstore: IPeerStore, identity: PeerIdentity) -> None:
    """
    Take over what ``identity`` says; what it does not mention stays as it was.

    Protocols and announced addresses are replaced as a whole. Addresses that did not come from
    the peer itself (the user's, for one) are kept. A signed record older than the stored one
    changes no address.
    """
    peer_id = identity.peer_id
    if identity.public_key is not None:
        peerstore.add_pubkey(peer_id, identity.public_key)
    if identity.protocols is not None:
        peerstore.set_protocols(peer_id, identity.protocols)
    if identity.agent_version:
        peerstore.put(peer_id, "AgentVersion", identity.agent_version)
    if identity.protocol_version:
        peerstore.put(peer_id, "ProtocolVersion", identity.protocol_version)
    record = identity.signed_record
    is_current = record is None or peerstore.consume_peer_record(record, ANNOUNCED_ADDR_TTL)
    if is_current and identity.addresses is not None:
        # After the record: of its addresses only those count that the peer's place lets pass.
        peerstore.replace_announced_addrs(peer_id, identity.addresses, ANNOUNCED_ADDR_TTL)


async def update_peerstore_from_identify(
    peerstore: IPeerStore,
    peer_id: ID,
    identify_msg: Identify,
    scope: AddressScope = AddressScope.LOOPBACK,
) -> None:
    """
    Check and store an identify message; py-libp2p's name for it.

    :raises IdentifyError: if it carries another peer's key.
    """
    store_identity(peerstore, read_identity(identify_msg, peer_id, scope))
