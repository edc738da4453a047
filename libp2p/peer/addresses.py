"""
Parts of multiaddrs: their components, their peer id, and how far they reach.

`multiaddr.Multiaddr` accepts any bytes and raises later, when it is converted. So read the
addresses that peers send with `address_from_wire`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from libp2p.exceptions import IncompleteVarint, InvalidAddrError, InvalidPeerID, ParseError
from libp2p.hostile_input import refused_as
from libp2p.peer.host_names import ascii_name, set_up_multiaddr
from libp2p.peer.id import ID
from libp2p.utils.arguments import listed, wrong_type
from libp2p.utils.varint import decode_uvarint, encode_uvarint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

# https://github.com/multiformats/multicodec/blob/master/table.csv, the rows tagged multiaddr
IP4: Final = 4
TCP: Final = 6
IP6: Final = 41
IP6ZONE: Final = 42
DNSADDR: Final = 56
DNS: Final = frozenset((53, 54, 55, DNSADDR))
UNIX: Final = 400
P2P: Final = 421
MEMORY: Final = 777

#: Bytes of the value behind each code; None: the value carries its own length.
_VALUE_BYTES: Final[dict[int, int | None]] = {
    IP4: 4, TCP: 2, 33: 2, IP6: 16, 43: 1, 132: 2, 273: 2, 444: 12, 445: 37, MEMORY: 8,
    **dict.fromkeys((275, 276, 280, 281, 290, 301, 302, 443, 448, 454), 0),
    **dict.fromkeys((460, 461, 465, 477, 478, 479, 480), 0),
    **dict.fromkeys((IP6ZONE, *DNS, UNIX, P2P, 446, 447, 449, 466, 481), None),
}  # fmt: skip

#: Longer than any address in use. multiaddr itself has no limit.
MAX_ADDRESS_BYTES: Final = 1024

#: Addresses whose parts are kept: while two peers connect, each side asks of one address 20 times.
KEPT_ADDRESSES: Final = 1024

#: Behind /p2p a CID may stand in place of the multihash.
_PEER_CID_PREFIX: Final = b"\x01\x72"


IPAddress: TypeAlias = IPv4Address | IPv6Address

#: The usual way to write the zone of a link-local address; multiaddr reads ``/ip6zone`` only.
_ZONE_IN_ADDRESS: Final = re.compile(r"/ip6/([^/%]+)%([^/]+)")


class Component(NamedTuple):
    """One ``/protocol/value`` of an address."""

    code: int
    value: bytes
    raw: bytes


class AddressScope(IntEnum):
    """How far an address reaches; an address is of use to peers of its own scope and below."""

    LOOPBACK = 0
    PRIVATE = 1
    PUBLIC = 2


def split_address(data: Buffer) -> tuple[Component, ...]:
    """
    Split a binary address into its components.

    :raises InvalidAddrError: if a protocol is unknown or a value is cut off.
    """
    if len(data) > MAX_ADDRESS_BYTES:
        raise InvalidAddrError(f"address of {len(data)} bytes")
    return _split(bytes(data))


@lru_cache(KEPT_ADDRESSES)
def _split(raw: bytes) -> tuple[Component, ...]:
    components: list[Component] = []
    offset = 0
    try:
        while offset < len(raw):
            code, start = decode_uvarint(raw, offset)
            if code not in _VALUE_BYTES:
                raise InvalidAddrError(f"address has the unknown protocol {code}")
            size = _VALUE_BYTES[code]
            if size is None:
                size, start = decode_uvarint(raw, start)
            end = start + size
            if end > len(raw):
                raise IncompleteVarint("address ends inside a value")
            components.append(Component(code, raw[start:end], raw[offset:end]))
            offset = end
    except InvalidAddrError:
        raise
    except ParseError as error:
        raise InvalidAddrError(f"malformed address {raw.hex()}") from error
    return tuple(components)


def tcp_address(host: str, port: int) -> Multiaddr:
    """Return the address of an IP address and a TCP port; an IPv4 one for what maps it to IPv6."""
    ip: IPAddress = ip_address(host.partition("%")[0])
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    # Its bytes, for multiaddr takes three times as long for the text.
    return Multiaddr(ip_component(ip) + bytes((TCP,)) + port.to_bytes(2, "big"))


def address_from_text(text: str) -> Multiaddr:
    """
    Read an address that a person has typed.

    Blanks around it are ignored, the old ``/ipfs/`` is read as ``/p2p/``, and
    ``/ip6/fe80::1%eth0`` for ``/ip6zone/eth0/ip6/fe80::1``.

    :raises InvalidAddrError: if it is malformed; the text says where.
    """
    written = _ZONE_IN_ADDRESS.sub(r"/ip6zone/\2/ip6/\1", text.strip().replace("/ipfs/", "/p2p/"))
    set_up_multiaddr()
    try:
        return Multiaddr(written)
    except Exception as error:  # task's edge: multiaddr raises anything for any text
        reason = reason_of(error)
        raise InvalidAddrError(f"{text!r:.200} is not a multiaddr: {reason:.200}") from error


def to_multiaddr(value: object, name: str = "the address") -> Multiaddr:
    """
    Return an address, which may be given as text.

    :raises TypeError: if it is neither; ``name`` is what the error calls it.
    :raises InvalidAddrError: if it cannot be read.
    """
    if not isinstance(value, str | Multiaddr):
        raise wrong_type(name, value, "a multiaddr, such as /ip4/127.0.0.1/tcp/4001")
    set_up_multiaddr()
    address = value if isinstance(value, Multiaddr) else address_from_text(value)
    if not address.to_bytes():
        raise InvalidAddrError(f"{name} is empty")
    return address


def to_multiaddrs(values: object, name: str) -> list[Multiaddr]:
    """Return a list of addresses, also for a single one; an empty list for None."""
    if values is None:
        return []
    if isinstance(values, str | Multiaddr):
        return [to_multiaddr(values, name)]
    several = listed(values, name, "a list of multiaddrs")
    return [to_multiaddr(value, f"an address of {name}") for value in several]


def reason_of(error: Exception) -> str:
    """Return why an address cannot be read: the cause, for multiaddr's text repeats the address."""
    known = isinstance(error, MultiaddrError) and error.__cause__ is not None
    return str(error.__cause__ if known else error)


def text_of(address: Multiaddr) -> str:
    """Return ``address`` as text, or its bytes in hex if it is malformed."""
    text: str
    set_up_multiaddr()
    try:
        text = str(address)
    except Exception:  # noqa: BLE001 - task's edge: multiaddr raises anything for any bytes
        text = address.to_bytes().hex()
    return text


def address_from_wire(data: Buffer) -> Multiaddr:
    """
    Read an address that a peer sent; converting it later cannot fail.

    :raises InvalidAddrError: if it is empty, malformed or of an unknown kind.
    """
    components = split_address(data)
    if not components:
        raise InvalidAddrError("empty address")
    set_up_multiaddr()
    raw = b"".join(_canonical(component) for component in components)
    with refused_as(InvalidAddrError, f"address {raw.hex()} has no text form"):
        address = Multiaddr(raw)
        str(address)
    return address


def addresses_from_wire(datas: Iterable[Buffer], limit: int) -> list[Multiaddr]:
    """Read up to ``limit`` addresses that a peer sent and leave out the unreadable ones."""
    addresses: list[Multiaddr] = []
    for data, _ in zip(datas, range(limit), strict=False):
        try:
            addresses.append(address_from_wire(data))
        except InvalidAddrError:
            continue  # of an unknown kind, or malformed
    return addresses


def split_peer_id(address: Multiaddr) -> tuple[Multiaddr, ID | None]:
    """
    Split the peer id off the end of ``address``.

    :raises InvalidAddrError: if the address is malformed or ends in something that is no peer id.
    """
    components = split_address(address.to_bytes())
    if not components or components[-1].code != P2P:
        return address, None
    peer_id = _peer_id_of(components[-1])
    transport = b"".join(component.raw for component in components[:-1])
    return Multiaddr(transport), peer_id


def with_peer_id(address: Multiaddr, peer_id: ID) -> Multiaddr:
    """Return ``address`` with ``/p2p/<peer_id>`` at its end, once."""
    transport, _ = split_peer_id(address)
    return Multiaddr(transport.to_bytes() + _p2p_component(peer_id))


def without_peer_id(addresses: Iterable[Multiaddr], owner: ID) -> list[Multiaddr]:
    """Return the transport parts of those ``addresses`` that are not another peer's."""
    transports: list[Multiaddr] = []
    for address in addresses:
        transport, peer_id = split_peer_id(address)
        if peer_id in (None, owner) and transport.to_bytes():
            transports.append(transport)
    return transports


def without_zone(address: Multiaddr) -> Multiaddr:
    """Return ``address`` without the name of an interface of ours, which says nothing to others."""
    components = split_address(address.to_bytes())
    if not components or components[0].code != IP6ZONE:
        return address
    return Multiaddr(address.to_bytes()[len(components[0].raw) :])


def ip_of(address: Multiaddr) -> IPAddress | None:
    """
    Return the IP address that ``address`` begins with, without its zone; None if there is none.

    :raises InvalidAddrError: if it is malformed.
    """
    components = split_address(address.to_bytes())
    if components and components[0].code == IP6ZONE:
        components = components[1:]
    return _ip_of(components[0]) if components else None


@lru_cache(KEPT_ADDRESSES)
def _ip_of(component: Component) -> IPAddress | None:
    if component.code == IP4:
        return IPv4Address(component.value)
    return IPv6Address(component.value) if component.code == IP6 else None


def ip_component(ip: IPAddress) -> bytes:
    """Return the component of an address that is this IP address."""
    return bytes((IP4 if ip.version == 4 else IP6,)) + ip.packed


def scope_of(address: Multiaddr) -> AddressScope:
    """Return how far ``address`` reaches, by its first component."""
    return _scope_of(address.to_bytes())


@lru_cache(KEPT_ADDRESSES)
def _scope_of(raw: bytes) -> AddressScope:
    components = split_address(raw)
    if not components:
        return AddressScope.LOOPBACK
    code, value, _ = components[0]
    ip = _ip_of(components[0])
    if ip is not None:
        return scope_of_ip(ip)
    if code == IP6ZONE:
        return AddressScope.PRIVATE
    if code in DNS:
        return _scope_of_name(value.lower().rstrip(b"."))
    if code in (UNIX, MEMORY):
        return AddressScope.LOOPBACK
    return AddressScope.PUBLIC


def scope_of_ip(address: IPAddress) -> AddressScope:
    """Return how far an IP address reaches."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_unspecified:
        return AddressScope.LOOPBACK  # connecting to 0.0.0.0 connects to oneself
    return AddressScope.PUBLIC if address.is_global else AddressScope.PRIVATE


def visible_addresses(addresses: Iterable[Multiaddr], scope: AddressScope) -> list[Multiaddr]:
    """
    Return those addresses of a peer in ``scope`` that may be dialled.

    A public peer could announce 127.0.0.1 or 10.0.0.1 to make us dial hosts of our own network. A
    link-local IPv6 address needs a zone, and the zones that a peer sends are those of its machine.
    """
    return [
        address
        for address in addresses
        if scope_of(address) >= scope and not is_link_local_6(ip_of(address))
    ]


def is_link_local_6(ip: IPAddress | None) -> bool:
    """Return whether an address is link-local IPv6, which can be dialled only with a zone."""
    return isinstance(ip, IPv6Address) and ip.is_link_local


def _peer_id_of(component: Component) -> ID:
    try:
        return ID.from_bytes(component.value.removeprefix(_PEER_CID_PREFIX))
    except InvalidPeerID as error:
        raise InvalidAddrError(f"address with a malformed peer id: {error}") from error


def _p2p_component(peer_id: ID) -> bytes:
    value = peer_id.to_bytes()
    return encode_uvarint(P2P) + encode_uvarint(len(value)) + value


def _canonical(component: Component) -> bytes:
    if component.code == P2P:
        return _p2p_component(_peer_id_of(component))
    if component.code in DNS:
        if not component.value.isascii():
            raise InvalidAddrError(f"address with a malformed host name {component.value!r}")
        ascii_name(component.value.decode())
    return component.raw


def _scope_of_name(name: bytes) -> AddressScope:
    if name == b"localhost" or name.endswith(b".localhost"):
        return AddressScope.LOOPBACK
    return AddressScope.PRIVATE if name.endswith(b".local") else AddressScope.PUBLIC
