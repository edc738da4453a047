"""
Who may connect, and who is dialled: `ConnectionGater`, and `ConnectionGate`, which has lists.

The five questions and their names are go-libp2p's (sans-I/O).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from libp2p.exceptions import InvalidArgument, InvalidPeerID
from libp2p.peer.addresses import ip_of
from libp2p.peer.id import ID
from libp2p.utils import arguments
from libp2p.utils.lazy import lazy_names

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.peer.addresses import IPAddress
    from libp2p.transport.abc import MuxedConnection

__getattr__, *_ = lazy_names(
    __name__, {"libp2p.network.named_addresses": ["extract_ip_from_multiaddr"]}
)

_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


class ConnectionGater(Protocol):
    """
    Is asked before anything is done for a connection; False refuses it.

    A method that raises refuses too, and what it raised is logged.
    """

    def intercept_peer_dial(self, peer_id: ID) -> bool:
        """Tell whether a peer may be dialled."""

    def intercept_addr_dial(self, peer_id: ID, address: Multiaddr) -> bool:
        """Tell whether a peer may be dialled at an address."""

    def intercept_accept(self, address: Multiaddr | None) -> bool:
        """
        Tell whether a connection from an address may begin its handshake.

        :param address: None if the transport does not know it.
        """

    def intercept_secured(self, is_initiator: bool, peer_id: ID, address: Multiaddr | None) -> bool:
        """Tell whether the peer at the other end, which is known now, may be connected."""

    def intercept_upgraded(self, connection: MuxedConnection) -> bool:
        """Tell whether a connection that is ready may be used."""


class ConnectionGate:
    """
    A gater with lists of IP addresses, networks (CIDR) and peers; the lists may change.

    An entry of a deny list is refused, even if an allow list has it too. Once an allow list has an
    entry, all others are refused: a connection must satisfy the allow list of networks and that of
    peers. An address that is no IP address, such as a name, is judged by the address it leads to.

    :param allow_private_addresses: False refuses private networks and loopback.
    :raises InvalidArgument: if an entry is no address, network or peer id: if such an
        entry were ignored, it would let in whom it has to keep out.
    """

    def __init__(
        self,
        allow_list: Iterable[str] = (),
        deny_list: Iterable[str] = (),
        allow_private_addresses: bool = True,
        *,
        allow_peers: Iterable[ID | str] = (),
        deny_peers: Iterable[ID | str] = (),
    ) -> None:
        self.allow_private_addresses = allow_private_addresses
        self._allowed = {_network(entry): None for entry in arguments.texts(allow_list, "allow")}
        self._denied = {_network(entry): None for entry in arguments.texts(deny_list, "deny")}
        self._allowed_peers = {_peer(peer) for peer in allow_peers}
        self._denied_peers = {_peer(peer) for peer in deny_peers}

    @property
    def allow_list(self) -> list[_Network]:
        return list(self._allowed)

    @property
    def deny_list(self) -> list[_Network]:
        return list(self._denied)

    def add_to_allow_list(self, entry: str) -> None:
        """Allow an address or network; see the class."""
        self._allowed[_network(entry)] = None

    def remove_from_allow_list(self, entry: str) -> None:
        """Take ``entry`` off the allow list, if it is there."""
        self._allowed.pop(_network(entry), None)

    def add_to_deny_list(self, entry: str) -> None:
        """Deny an address or network; connections that exist stay."""
        self._denied[_network(entry)] = None

    def remove_from_deny_list(self, entry: str) -> None:
        """Take ``entry`` off the deny list, if it is there."""
        self._denied.pop(_network(entry), None)

    def deny_peer(self, peer_id: ID) -> None:
        """Deny a peer; connections that exist stay."""
        self._denied_peers.add(_peer(peer_id))

    def undeny_peer(self, peer_id: ID) -> None:
        """Take a peer off the deny list, if it is there."""
        self._denied_peers.discard(_peer(peer_id))

    # -- answers ------------------------------------------------------------------------------

    def is_in_allow_list(self, remote_addr: Multiaddr) -> bool:
        """Tell whether an address is in a network that is allowed by name."""
        ip = _ip_of(remote_addr)
        return ip is not None and any(ip in network for network in self._allowed)

    def is_allowed(self, remote_addr: Multiaddr) -> Ready:
        """Tell whether an address may be connected; py-libp2p's name of `admits`, to be awaited."""
        return Ready(self.admits(remote_addr))

    def admits(self, address: Multiaddr | None) -> bool:
        """Tell whether an address may be connected; True if it begins with no IP address."""
        ip = None if address is None else _ip_of(address)
        if ip is None:
            return True
        if any(ip in network for network in self._denied):
            return False
        if not self.allow_private_addresses and ip.is_private:
            return False
        return not self._allowed or any(ip in network for network in self._allowed)

    def intercept_peer_dial(self, peer_id: ID) -> bool:
        if peer_id in self._denied_peers:
            return False
        return not self._allowed_peers or peer_id in self._allowed_peers

    def intercept_addr_dial(self, peer_id: ID, address: Multiaddr) -> bool:
        return self.admits(address)

    def intercept_accept(self, address: Multiaddr | None) -> bool:
        return self.admits(address)

    def intercept_secured(self, is_initiator: bool, peer_id: ID, address: Multiaddr | None) -> bool:
        return self.intercept_peer_dial(peer_id) and self.admits(address)

    def intercept_upgraded(self, connection: MuxedConnection) -> bool:
        return True


class Ready:
    """An answer that may be awaited, and need not be."""

    def __init__(self, answer: bool) -> None:
        self._answer = answer

    def __bool__(self) -> bool:
        return self._answer

    def __await__(self) -> Generator[None, None, bool]:
        yield from ()
        return self._answer


def _network(entry: str) -> _Network:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError as error:
        raise InvalidArgument(f"{entry!r} is neither an IP address nor a network") from error


def _peer(peer: ID | str) -> ID:
    try:
        return ID.of(peer, "a peer")
    except InvalidPeerID as error:
        raise InvalidArgument(f"{peer!r} is not a peer id") from error


def _ip_of(address: Multiaddr) -> IPAddress | None:
    """Return the IP address that ``address`` begins with; IPv4 in place of IPv4-mapped IPv6."""
    ip = ip_of(address)
    return getattr(ip, "ipv4_mapped", None) or ip
