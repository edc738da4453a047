"""A peer with its addresses, and texts such as ``/ip4/192.0.2.1/tcp/4001/p2p/12D3…``."""

from __future__ import annotations

from collections.abc import Sequence

from multiaddr import Multiaddr

from libp2p.exceptions import InvalidAddrError, InvalidPeerID, first_few
from libp2p.peer.addresses import split_peer_id, text_of, to_multiaddr, to_multiaddrs
from libp2p.peer.id import ID
from libp2p.utils.arguments import binary, wrong_type

__all__ = [
    "InvalidAddrError",
    "PeerInfo",
    "info_from_p2p_addr",
    "peer_info_from_bytes",
    "peer_info_to_bytes",
]


class PeerInfo:
    """
    A peer id and addresses of that peer, without ``/p2p/<id>`` at their ends.

    :raises ValueError: if one of them is invalid; both may be given as text.
    """

    __slots__ = ("addrs", "peer_id")

    def __init__(self, peer_id: ID, addrs: Sequence[Multiaddr]) -> None:
        self.peer_id = ID.of(peer_id)
        self.addrs = to_multiaddrs(addrs, "addrs")

    @classmethod
    def of(cls, value: object) -> PeerInfo:
        """
        Return a peer that is given as a `PeerInfo`, or as an address with ``/p2p/<peer id>``.

        :raises InvalidAddrError: if it is an address that does not.
        """
        if isinstance(value, PeerInfo):
            return value
        if isinstance(value, str | Multiaddr):
            return info_from_p2p_addr(value)
        expected = "a PeerInfo, or an address that ends in /p2p/<peer id>"
        raise wrong_type("the peer", value, expected)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PeerInfo):
            return NotImplemented
        return self.peer_id == other.peer_id and self.addrs == other.addrs

    def __hash__(self) -> int:
        return hash(self.peer_id)

    def __repr__(self) -> str:
        return f"PeerInfo({self.peer_id}, [{first_few(map(text_of, self.addrs))}])"


def info_from_p2p_addr(addr: Multiaddr | str | None) -> PeerInfo:
    """
    Read an address that ends in ``/p2p/<peer id>``; the old ``/ipfs/`` is read as ``/p2p/``.

    An address of nothing but the peer gives a `PeerInfo` without addresses.

    :raises InvalidAddrError: if it is not such an address.
    """
    if addr is None:
        raise InvalidAddrError("the address is empty")
    address = to_multiaddr(addr)
    transport, peer_id = split_peer_id(address)
    if peer_id is None:
        raise InvalidAddrError(f"address {address} does not end in /p2p/<peer id>")
    return PeerInfo(peer_id, [transport] if transport.to_bytes() else [])


def peer_info_to_bytes(peer_info: PeerInfo) -> bytes:
    """Write a peer as text: its id, then an address on each line."""
    return "\n".join([str(peer_info.peer_id), *map(str, peer_info.addrs)]).encode()


def peer_info_from_bytes(data: bytes) -> PeerInfo:
    """
    Read what `peer_info_to_bytes` wrote.

    :raises InvalidAddrError: if it is something else.
    """
    try:
        peer_id, *addresses = bytes(binary(data)).decode().splitlines()
        return PeerInfo(ID.from_string(peer_id), list(map(to_multiaddr, addresses)))
    except (ValueError, InvalidPeerID) as error:
        raise InvalidAddrError(f"not a peer with its addresses: {error}") from error
