"""
Identify: asking a peer what it is and what it speaks, and answering the same question.

`receive_identity`, `store_identity` and `send_identity` are shared with identify push.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from libp2p.base_types import TProtocol
from libp2p.exceptions import IdentifyError, StreamTimeout
from libp2p.identity.identify.announcement import (
    AGENT_VERSION,
    PROTOCOL_VERSION,
    Announcement,
    scope_of_connection,
)
from libp2p.identity.identify.message import (
    BareReader,
    IdentifyReader,
    PeerIdentity,
    parse_identify_response,
    read_identity,
)
from libp2p.peer.addresses import AddressScope, split_peer_id, tcp_address
from libp2p.protocol_muxer.multiselect_client import select_one
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IHost, INetConn, INetStream, IPeerStore, StreamHandlerFn
    from libp2p.identity.identify.pb.identify_pb2 import Identify
    from libp2p.peer.id import ID as PeerID

__all__ = [
    "AGENT_VERSION",
    "ANNOUNCED_ADDR_TTL",
    "ID",
    "IDENTIFY_TIMEOUT",
    "PROTOCOL_VERSION",
    "PeerIdentity",
    "identify",
    "identify_handler_for",
    "parse_identify_response",
    "receive_identity",
    "send_identity",
    "store_identity",
    "update_peerstore_from_identify",
]

logger = get_logger(__name__)

ID: Final = TProtocol("/ipfs/id/1.0.0")

#: Seconds for the whole of it, as go and js have it.
IDENTIFY_TIMEOUT: Final = 5.0
#: Seconds that announced addresses are worth dialling, as in py-libp2p: longer than most
#: interruptions, shorter than most leases of an address.
ANNOUNCED_ADDR_TTL: Final = 7200


async def identify(host: IHost, connection: INetConn) -> PeerIdentity:
    """
    Ask the peer at the other end of ``connection`` who it is, and store the answer.

    :raises IdentifyError: if the answer is malformed or not this peer's.
    :raises MultiselectClientError: if the peer does not speak identify.
    :raises StreamError: if the stream fails; a `StreamTimeout` if all is not over in five seconds.
    :raises MuxedConnError: if the connection has ended.
    """
    with trio.move_on_after(IDENTIFY_TIMEOUT):
        async with await connection.new_stream() as stream:
            stream.set_protocol(await select_one(stream, [ID]))
            identity = await receive_identity(stream)
        store_identity(host.get_peerstore(), identity)
        return identity
    raise StreamTimeout(f"peer did not identify itself within {IDENTIFY_TIMEOUT:.0f} s")


def identify_handler_for(host: IHost, use_varint_format: bool = True) -> StreamHandlerFn:
    """
    Return the handler that answers identify for ``host``.

    :param use_varint_format: False sends one bare message, as old versions of py-libp2p expect it.
    """
    announcement = Announcement(host)

    async def handle_identify(stream: INetStream) -> None:
        if use_varint_format:
            message = announcement.encode(stream.muxed_conn)
        else:
            message = announcement.build(stream.muxed_conn).SerializeToString()
        await send_identity(stream, message)
        await stream.close()

    return handle_identify


async def receive_identity(stream: INetStream, *, is_framed: bool = True) -> PeerIdentity:
    """
    Read ``stream`` to its end and check what the peer says.

    :param is_framed: False reads one bare message, as old versions of py-libp2p send it.
    :raises IdentifyError: if it is malformed or not this peer's.
    :raises StreamError: if the stream fails.
    """
    reader = IdentifyReader() if is_framed else BareReader()
    while buffers := await stream.receive():
        reader.receive(buffers)
    connection = stream.muxed_conn
    return read_identity(reader.finish(), connection.peer_id, scope_of_connection(connection))


async def send_identity(stream: INetStream, message: bytes) -> None:
    """Write ``message`` and end the writing side: the peer reads until there."""
    with trio.move_on_after(IDENTIFY_TIMEOUT) as scope:
        await stream.send([message])
        await stream.close_write()
    if scope.cancelled_caught:
        raise StreamTimeout("peer did not take the identify message in time")


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
        peerstore.note_connection(peer_id, announced=identity.addresses)


async def update_peerstore_from_identify(
    peerstore: IPeerStore,
    peer_id: PeerID,
    identify_msg: Identify,
    scope: AddressScope = AddressScope.LOOPBACK,
) -> None:
    """
    Check and store an identify message; py-libp2p's name for it.

    One that carries another peer's key is not stored, which is logged at the level DEBUG.
    """
    try:
        identity = read_identity(identify_msg, peer_id, scope)
    except IdentifyError as error:
        logger.debug("what %s says of itself is not stored: %s", peer_id, error)
    else:
        store_identity(peerstore, identity)


def _mk_identify_protobuf(host: IHost, observed_multiaddr: Multiaddr | None) -> Identify:
    """Return what a host says to a peer at an address; py-libp2p's examples use the name."""
    return Announcement(host).build_for(observed_multiaddr)


def _strip_p2p_suffix(address: Multiaddr) -> Multiaddr:
    """Return an address without the peer id at its end; py-libp2p's programs use the name."""
    return split_peer_id(address)[0]


def _multiaddr_to_bytes(address: Multiaddr) -> bytes:
    """Return what identify sends of an address; py-libp2p's programs use the name."""
    return bytes(_strip_p2p_suffix(address))


def _remote_address_to_multiaddr(remote_address: tuple[str, int] | None) -> Multiaddr | None:
    """Return the address of a host and TCP port; py-libp2p's examples use the name."""
    return None if remote_address is None else tcp_address(*remote_address)
