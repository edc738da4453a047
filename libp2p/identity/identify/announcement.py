"""What this host says of itself to others, in identify and in its pushes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.identity.identify.message import encode_identify
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.peer.addresses import (
    AddressScope,
    scope_of,
    split_peer_id,
    visible_addresses,
    without_peer_id,
)
from libp2p.peer.peerstore import create_signed_peer_record
from libp2p.utils.version import get_agent_version

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IHost, IMuxedConn

PROTOCOL_VERSION: Final = "ipfs/0.1.0"
AGENT_VERSION: Final = get_agent_version()

#: Enough for every interface of a well-connected host; a record of them stays below 4 KiB.
MAX_OWN_ADDRESSES: Final = 64


class Announcement:
    """Builds this host's identify messages; signs a record only when addresses have changed."""

    def __init__(self, host: IHost) -> None:
        self._host = host
        self._records: dict[AddressScope, tuple[list[Multiaddr], bytes]] = {}

    def build(self, connection: IMuxedConn) -> Identify:
        """
        Return the message for the peer at the other end of ``connection``.

        It names only addresses that the peer could use, in the signed record too: nobody on the
        internet needs to know the address plan of our network.
        """
        host, observed = self._host, address_of(connection)
        scope = scope_of_connection(connection)
        known = without_peer_id(host.get_addrs(), host.get_id())
        addresses = visible_addresses(known, scope)[:MAX_OWN_ADDRESSES]
        message = Identify(
            public_key=host.get_public_key().serialize(),
            listen_addrs=[address.to_bytes() for address in addresses],
            protocols=[name for name in host.get_mux().get_protocols() if name is not None],
            protocol_version=PROTOCOL_VERSION,
            agent_version=AGENT_VERSION,
        )
        if observed is not None:
            message.observed_addr = observed.to_bytes()
        if addresses:
            message.signedPeerRecord = self._record(scope, addresses)
        return message

    def encode(self, connection: IMuxedConn) -> bytes:
        """Return the bytes of `build`, ready to be sent."""
        return encode_identify(self.build(connection))

    def _record(self, scope: AddressScope, addresses: list[Multiaddr]) -> bytes:
        signed_for, record = self._records.get(scope, ([], b""))
        if signed_for != addresses:
            record = create_signed_peer_record(
                self._host.get_id(), addresses, self._host.get_private_key()
            ).marshal_envelope()
            self._records[scope] = addresses, record
        return record


def address_of(connection: IMuxedConn) -> Multiaddr | None:
    """Return the transport address of the other end of ``connection``, if it has one."""
    for address in connection.get_transport_addresses():
        return split_peer_id(address)[0]
    return None


def scope_of_connection(connection: IMuxedConn) -> AddressScope:
    """Tell where the other end is; unknown counts as public, the careful answer."""
    address = address_of(connection)
    return AddressScope.PUBLIC if address is None else scope_of(address)
