"""Which addresses of a host are told to whom."""

from __future__ import annotations

import pytest
from multiaddr import Multiaddr

from libp2p.peer.addresses import AddressScope
from libp2p.peer.own_addresses import (
    LOOPBACK_INTERFACES,
    MAX_OWN_ADDRESSES,
    Interface,
    OwnAddress,
    addresses_for,
    is_any_interface,
    reachable_addresses,
    scope_of_peer,
)

LAN_MASK, LAN_MASK_6 = "255.255.255.0", "ffff:ffff:ffff:ffff::"
#: As psutil tells of them on Linux.
LAPTOP = (
    Interface.of("127.0.0.1", "255.0.0.0"),
    Interface.of("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    Interface.of("192.168.1.7", LAN_MASK),
    Interface.of("fd00::7", LAN_MASK_6),
    Interface.of("2a00:1450::7", LAN_MASK_6),
    Interface.of("fe80::7%wlan0", LAN_MASK_6),
    Interface.of("169.254.3.4", "255.255.0.0"),
    Interface.of("172.17.0.1", "255.255.0.0"),
    Interface.of("100.64.0.7", None),
    Interface.of("11.22.33.7", LAN_MASK),
)
ANY_4, ANY_6 = Multiaddr("/ip4/0.0.0.0/tcp/4001"), Multiaddr("/ip6/::/tcp/4002")


def texts(addresses: list[Multiaddr]) -> list[str]:
    """The hosts of the addresses, which are all of the same kind."""
    return [str(address).split("/")[2] for address in addresses]


def told(
    seen_at: str | None, *listening: str, interfaces: tuple[Interface, ...] = LAPTOP
) -> set[str]:
    """Who is told what, by hosts only."""
    listens = [Multiaddr(text) for text in listening] or [ANY_4, ANY_6]
    own = [OwnAddress.of(address) for address in reachable_addresses(listens, interfaces)]
    peer = None if seen_at is None else Multiaddr(seen_at)
    return set(texts(addresses_for(own, interfaces, peer)))


PUBLIC = {"2a00:1450::7", "11.22.33.7"}
PRIVATE = {"192.168.1.7", "fd00::7", "172.17.0.1", "100.64.0.7"}
LOOPBACK = {"127.0.0.1", "::1"}
LINK = {"169.254.3.4"}


def test_all_interfaces_stand_for_each_of_the_family_the_farthest_reaching_first() -> None:
    assert texts(reachable_addresses([ANY_4], LAPTOP)) == [
        "11.22.33.7",
        "192.168.1.7",
        "172.17.0.1",
        "100.64.0.7",
        "169.254.3.4",
        "127.0.0.1",
    ]
    assert [str(address) for address in reachable_addresses([ANY_6], LAPTOP)] == [
        "/ip6/2a00:1450::7/tcp/4002",
        "/ip6/fd00::7/tcp/4002",
        "/ip6/::1/tcp/4002",
    ]


def test_other_addresses_are_what_they_are() -> None:
    others = [
        Multiaddr("/ip4/192.168.1.7/tcp/1"),
        Multiaddr("/dns4/my_node/tcp/1"),
        Multiaddr("/ip6zone/eth0/ip6/fe80::7/tcp/1"),
        Multiaddr("/ip4/127.0.0.1/tcp/1"),
    ]
    assert reachable_addresses(others, ()) == others
    assert reachable_addresses(others, LAPTOP) == others


def test_no_address_is_named_twice() -> None:
    listening = [Multiaddr("/ip4/192.168.1.7/tcp/4001"), ANY_4, ANY_4]
    found = reachable_addresses(listening, LAPTOP)
    assert len(found) == len(set(found)) == 6
    assert found[0] == listening[0]


def test_without_interfaces_of_its_family_nothing_is_listened_on() -> None:
    assert reachable_addresses([ANY_4, ANY_6], ()) == []
    assert texts(reachable_addresses([ANY_4, ANY_6], LOOPBACK_INTERFACES)) == ["127.0.0.1", "::1"]


def test_what_stands_behind_the_port_stays() -> None:
    (found,) = reachable_addresses([Multiaddr("/ip4/0.0.0.0/tcp/1/ws")], LOOPBACK_INTERFACES)
    assert str(found) == "/ip4/127.0.0.1/tcp/1/ws"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/ip4/0.0.0.0/tcp/1", True),
        ("/ip6/::/tcp/1", True),
        ("/ip4/127.0.0.1/tcp/1", False),
        ("/dns4/localhost/tcp/1", False),
        ("", False),
    ],
)
def test_an_address_of_all_interfaces(text: str, expected: bool) -> None:
    assert is_any_interface(Multiaddr(text)) is expected


@pytest.mark.parametrize(
    ("seen_at", "expected"),
    [
        ("/ip4/127.0.0.1/tcp/5", PUBLIC | PRIVATE | LINK | LOOPBACK),
        ("/ip6/::1/tcp/5", PUBLIC | PRIVATE | LINK | LOOPBACK),
        ("/unix/tmp/socket", PUBLIC | PRIVATE | LINK | LOOPBACK),
        ("/ip4/192.168.1.9/tcp/5", PUBLIC | PRIVATE),
        ("/ip4/192.168.1.7/tcp/5", PUBLIC | PRIVATE),  # itself, by way of the LAN
        ("/ip4/10.9.9.9/tcp/5", PUBLIC | PRIVATE),  # in another private network
        ("/ip4/172.17.0.2/tcp/5", PUBLIC | PRIVATE),  # in a container
        ("/ip6/fd00::9/tcp/5", PUBLIC | PRIVATE),
        ("/ip6zone/wlan0/ip6/fe80::9/tcp/5", PUBLIC | PRIVATE),
        ("/ip4/169.254.9.9/tcp/5", PUBLIC | PRIVATE | LINK),
        ("/ip4/11.22.33.9/tcp/5", PUBLIC | PRIVATE),  # a public address, and in our network
        ("/ip6/2a00:1450::9/tcp/5", PUBLIC | PRIVATE),
        ("/ip4/11.22.34.9/tcp/5", PUBLIC),
        ("/ip4/8.8.8.8/tcp/5", PUBLIC),
        ("/ip6/2606:4700::1/tcp/5", PUBLIC),
        (None, PUBLIC),
    ],
)
def test_peers_are_told_what_they_can_use(seen_at: str | None, expected: set[str]) -> None:
    assert told(seen_at) == expected


def test_addresses_listened_on_by_name_are_told_by_the_same_rules() -> None:
    listening = (
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/192.168.1.7/tcp/1",
        "/ip4/169.254.3.4/tcp/1",
        "/ip4/11.22.33.7/tcp/1",
        "/dns4/example.org/tcp/1",
    )
    public = {"11.22.33.7", "example.org"}
    assert told("/ip4/8.8.8.8/tcp/5", *listening) == public
    assert told("/ip4/192.168.1.9/tcp/5", *listening) == public | {"192.168.1.7"}
    assert told("/ip4/169.254.1.1/tcp/5", *listening) == public | {"192.168.1.7", "169.254.3.4"}
    assert told("/ip4/127.0.0.1/tcp/5", "/ip6zone/eth0/ip6/fe80::7/tcp/1") == set()


@pytest.mark.parametrize(
    ("seen_at", "scope"),
    [
        (None, AddressScope.PUBLIC),
        ("/ip4/8.8.8.8/tcp/1", AddressScope.PUBLIC),
        ("/ip4/11.22.33.9/tcp/1", AddressScope.PRIVATE),
        ("/ip4/10.0.0.1/tcp/1", AddressScope.PRIVATE),
        ("/ip4/127.0.0.1/tcp/1", AddressScope.LOOPBACK),
    ],
)
def test_a_peer_in_a_network_of_ours_is_no_stranger(
    seen_at: str | None, scope: AddressScope
) -> None:
    assert scope_of_peer(None if seen_at is None else Multiaddr(seen_at), LAPTOP) is scope


#: A host of containers: each with a bridge of its own, and the LAN is the last interface.
MANY = (
    *LOOPBACK_INTERFACES,
    *(Interface.of(f"10.{n // 250}.{n % 250}.1", LAN_MASK) for n in range(1000)),
    Interface.of("192.168.1.7", LAN_MASK),
    Interface.of("11.22.33.7", LAN_MASK),
)


@pytest.mark.parametrize(
    ("seen_at", "first"),
    [
        ("/ip4/192.168.1.9/tcp/1", "192.168.1.7"),
        ("/ip4/10.3.77.9/tcp/1", "10.3.77.1"),
        ("/ip4/127.0.0.1/tcp/1", "127.0.0.1"),
        ("/ip4/172.16.0.1/tcp/1", "11.22.33.7"),
    ],
)
def test_of_a_thousand_interfaces_some_are_told_those_of_the_peers_network_first(
    seen_at: str, first: str
) -> None:
    own = [OwnAddress.of(address) for address in reachable_addresses([ANY_4], MANY)]
    assert len(own) == 1003
    found = texts(addresses_for(own, MANY, Multiaddr(seen_at)))
    assert found[0] == first
    assert len(found) == MAX_OWN_ADDRESSES
    assert "11.22.33.7" in found


@pytest.mark.parametrize(("address", "netmask"), [("", None), ("nothing", None), ("::1", "x")])
def test_what_is_no_interface_is_refused(address: str, netmask: str | None) -> None:
    with pytest.raises(ValueError, match="address"):
        Interface.of(address, netmask)
