"""What this host says of itself to others, in identify and in its pushes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from libp2p.identity.identify.message import encode_identify
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.peer.addresses import (
    AddressScope,
    scope_of,
    split_peer_id,
    without_peer_id,
    without_zone,
)
from libp2p.peer.interfaces import local_interfaces
from libp2p.peer.own_addresses import (
    LOOPBACK_INTERFACES,
    OwnAddress,
    addresses_for,
    scope_of_peer,
)
from libp2p.peer.peerstore import create_signed_peer_record
from libp2p.utils.version import get_agent_version

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IHost, IMuxedConn
    from libp2p.peer.own_addresses import Interface

PROTOCOL_VERSION: Final = "ipfs/0.1.0"
AGENT_VERSION: Final = get_agent_version()

#: Signed records that are kept: peers on this machine, in each network, and the rest are told
#: different addresses.
MAX_KEPT_RECORDS: Final = 16


class Announcement:
    """Builds this host's identify messages; signs no record of the same addresses twice."""

    def __init__(self, host: IHost) -> None:
        self._host = host
        self._own: tuple[list[Multiaddr], list[OwnAddress]] = [], []
        self._records: dict[tuple[Multiaddr, ...], bytes] = {}

    def build(self, connection: IMuxedConn) -> Identify:
        """
        Return the message for the peer at the other end of ``connection``.

        It names only addresses that the peer could use, in the signed record too: nobody on the
        internet needs to know the address plan of our network.
        """
        return self.build_for(address_of(connection))

    def build_for(self, observed: Multiaddr | None) -> Identify:
        """Return the message for a peer that is seen at an address."""
        host = self._host
        addresses = addresses_for(self._own_addresses(), _interfaces_near(observed), observed)
        message = Identify(
            public_key=host.get_public_key().serialize(),
            listen_addrs=[address.to_bytes() for address in addresses],
            protocols=[name for name in host.get_mux().get_protocols() if name is not None],
            protocol_version=PROTOCOL_VERSION,
            agent_version=AGENT_VERSION,
        )
        if observed is not None:
            message.observed_addr = without_zone(observed).to_bytes()
        if addresses:
            message.signedPeerRecord = self._record(addresses)
        return message

    def encode(self, connection: IMuxedConn) -> bytes:
        """Return the bytes of `build`, ready to be sent."""
        return encode_identify(self.build(connection))

    def _own_addresses(self) -> list[OwnAddress]:
        addresses = self._host.get_addrs()
        if addresses != self._own[0]:
            known = without_peer_id(addresses, self._host.get_id())
            self._own = addresses, [OwnAddress.of(address) for address in known]
            self._records.clear()  # of two records of one peer the one signed last counts
        return self._own[1]

    def _record(self, addresses: list[Multiaddr]) -> bytes:
        key = tuple(addresses)
        record = self._records.pop(key, None)
        if record is None:
            record = create_signed_peer_record(
                self._host.get_id(), addresses, self._host.get_private_key()
            ).marshal_envelope()
        self._records[key] = record
        if len(self._records) > MAX_KEPT_RECORDS:
            del self._records[next(iter(self._records))]
        return record


def address_of(connection: IMuxedConn) -> Multiaddr | None:
    """Return the transport address of the other end of ``connection``, if it has one."""
    for address in connection.get_transport_addresses():
        return split_peer_id(address)[0]
    return None


def scope_of_connection(connection: IMuxedConn) -> AddressScope:
    """Tell where the other end is; unknown counts as public, the careful answer."""
    address = address_of(connection)
    return scope_of_peer(address, _interfaces_near(address))


def _interfaces_near(seen_at: Multiaddr | None) -> Sequence[Interface]:
    """Return this machine's interfaces, as far as they matter to a peer that is seen there."""
    # Programs that only talk to their own machine need not wait until these are read.
    if seen_at is None or scope_of(seen_at) is AddressScope.LOOPBACK:
        return LOOPBACK_INTERFACES
    return local_interfaces()
