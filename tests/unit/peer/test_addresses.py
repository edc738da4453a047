"""Multiaddrs of peers: reading what strangers send, and how far an address reaches."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from libp2p.exceptions import InvalidAddrError
from libp2p.peer.addresses import (
    MAX_ADDRESS_BYTES,
    AddressScope,
    address_from_text,
    address_from_wire,
    addresses_from_wire,
    ip_of,
    scope_of,
    scope_of_ip,
    split_address,
    split_peer_id,
    tcp_address,
    to_multiaddr,
    to_multiaddrs,
    visible_addresses,
    with_peer_id,
    without_peer_id,
    without_zone,
)
from libp2p.peer.id import ID

PEER = ID.from_string("12D3KooWM6CgA9iBFZmcYAHA6A2qvbAxqfkmrYiRQuz3XEsk4Ksv")
RELAY = ID.from_string("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")

TEXTS = [
    "/ip4/127.0.0.1/tcp/4001",
    "/ip6/2001:db8::1/udp/4001/quic-v1",
    "/ip6zone/eth0/ip6/fe80::1/tcp/4001",
    "/dns4/example.org/tcp/443/tls/sni/example.org/ws",
    "/dnsaddr/bootstrap.libp2p.io",
    f"/ip4/1.2.3.4/tcp/4001/p2p/{RELAY}/p2p-circuit/p2p/{PEER}",
    "/memory/7",
    "/unix/tmp/socket",
]


@pytest.mark.parametrize("text", TEXTS)
def test_addresses_of_all_kinds_are_read(text: str) -> None:
    address = Multiaddr(text)
    assert address_from_wire(address.to_bytes()) == address
    assert b"".join(part.raw for part in split_address(address.to_bytes())) == address.to_bytes()


@given(st.sampled_from(TEXTS), st.data())
def test_a_cut_address_is_refused_or_ends_at_a_component(text: str, data: st.DataObject) -> None:
    whole = Multiaddr(text).to_bytes()
    cut = whole[: data.draw(st.integers(min_value=0, max_value=len(whole) - 1))]
    boundaries = {len(b"".join(p.raw for p in split_address(whole)[:n])) for n in range(9)}
    if len(cut) in boundaries:
        split_address(cut)
    else:
        with pytest.raises(InvalidAddrError):
            split_address(cut)


@given(st.binary(max_size=60))
def test_junk_never_passes_unless_it_can_be_shown(junk: bytes) -> None:
    try:
        address = address_from_wire(junk)
    except InvalidAddrError:
        return
    assert str(address)


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "04",
        "047f0000",
        "7f00",  # unknown protocol
        "8004",  # a code that is cut off
        "808000",  # a code that is not in its shortest form
        "a503" + "03" + "616263",  # /p2p of something else
        "36ffffffffffffffffff01",  # an endless host name
        "3602" + "ff00",
        "3603" + "612f62",  # a slash in a host name
        "d203" + "0161",  # a certificate hash that is none
    ],
)
def test_malformed_addresses_are_refused(encoded: str) -> None:
    with pytest.raises(InvalidAddrError):
        address_from_wire(bytes.fromhex(encoded))


def test_an_endless_address_is_refused() -> None:
    with pytest.raises(InvalidAddrError, match="bytes"):
        split_address(Multiaddr("/tcp/1").to_bytes() * MAX_ADDRESS_BYTES)


def test_a_peer_id_written_as_a_cid_becomes_the_usual_one() -> None:
    value = b"\x01\x72" + PEER.to_bytes()
    odd = Multiaddr("/ip4/1.2.3.4/tcp/1").to_bytes() + b"\xa5\x03" + bytes((len(value),)) + value
    usual = Multiaddr(f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}")
    assert address_from_wire(odd) == usual
    assert split_peer_id(Multiaddr(odd)) == split_peer_id(usual)


def test_unreadable_addresses_are_left_out_and_their_number_is_bounded() -> None:
    good = [Multiaddr(f"/tcp/{port}") for port in range(5)]
    wire = [good[0].to_bytes(), b"\xff", b"", *(address.to_bytes() for address in good[1:])]
    assert addresses_from_wire(wire, 100) == good
    assert addresses_from_wire(wire, 4) == good[:2]
    assert addresses_from_wire(wire, 0) == []


def test_the_peer_at_the_end_is_split_off_and_put_on() -> None:
    transport = Multiaddr("/ip4/1.2.3.4/tcp/1")
    full = with_peer_id(transport, PEER)
    assert str(full) == f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}"
    assert with_peer_id(full, PEER) == full
    assert split_peer_id(full) == (transport, PEER)
    assert split_peer_id(transport) == (transport, None)
    assert split_peer_id(Multiaddr("")) == (Multiaddr(""), None)
    relayed = Multiaddr(f"/p2p/{RELAY}/p2p-circuit")
    assert split_peer_id(with_peer_id(relayed, PEER)) == (relayed, PEER)


def test_addresses_of_other_peers_are_no_transport_addresses() -> None:
    transport = Multiaddr("/ip4/1.2.3.4/tcp/1")
    addresses = [
        transport,
        with_peer_id(transport, PEER),
        with_peer_id(transport, RELAY),
        Multiaddr(f"/p2p/{PEER}"),
    ]
    assert without_peer_id(addresses, PEER) == [transport, transport]


LOOPBACK, PRIVATE, PUBLIC = AddressScope


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("127.0.0.1", LOOPBACK),
        ("127.8.9.10", LOOPBACK),
        ("0.0.0.0", LOOPBACK),
        ("::1", LOOPBACK),
        ("::ffff:127.0.0.1", LOOPBACK),
        ("10.0.0.1", PRIVATE),
        ("172.16.0.1", PRIVATE),
        ("192.168.1.1", PRIVATE),
        ("169.254.1.1", PRIVATE),
        ("100.64.0.1", PRIVATE),
        ("fe80::1", PRIVATE),
        ("fd00::1", PRIVATE),
        ("::ffff:10.0.0.1", PRIVATE),
        ("8.8.8.8", PUBLIC),
        ("2606:4700::1", PUBLIC),
        ("::ffff:8.8.8.8", PUBLIC),
    ],
)
def test_scope_of_ip_addresses(text: str, scope: AddressScope) -> None:
    ip = ip_address(text)
    assert scope_of_ip(ip) is scope
    assert scope_of(Multiaddr(f"/ip{ip.version}/{text}/tcp/1")) is scope


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("", LOOPBACK),
        ("/unix/tmp/socket", LOOPBACK),
        ("/memory/1", LOOPBACK),
        ("/dns/localhost/tcp/1", LOOPBACK),
        ("/dns4/a.localhost/tcp/1", LOOPBACK),
        ("/dns6/Printer.local/tcp/1", PRIVATE),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1", PRIVATE),
        ("/dnsaddr/bootstrap.libp2p.io", PUBLIC),
        (f"/p2p/{RELAY}/p2p-circuit", PUBLIC),
    ],
)
def test_scope_of_other_addresses(text: str, scope: AddressScope) -> None:
    assert scope_of(Multiaddr(text)) is scope


@pytest.mark.parametrize(("scope", "count"), [(LOOPBACK, 3), (PRIVATE, 2), (PUBLIC, 1)])
def test_addresses_are_visible_from_their_scope_inwards(scope: AddressScope, count: int) -> None:
    addresses = [Multiaddr(f"/ip4/{ip}/tcp/1") for ip in ("8.8.8.8", "10.0.0.1", "127.0.0.1")]
    assert visible_addresses(addresses, scope) == addresses[:count]


@pytest.mark.parametrize("scope", AddressScope)
def test_link_local_addresses_of_ipv6_are_believed_of_nobody(scope: AddressScope) -> None:
    addresses = [Multiaddr("/ip6/fe80::1/tcp/1"), Multiaddr("/ip6zone/eth0/ip6/fe80::1/tcp/1")]
    assert visible_addresses(addresses, scope) == []


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("/ip4/10.0.0.1/tcp/1", "10.0.0.1"),
        ("/ip6/fd00::1/udp/1/quic-v1", "fd00::1"),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1", "fe80::1"),
        ("/dns4/my_node/tcp/1", None),
        ("/ip6zone/eth0", None),
        ("", None),
    ],
)
def test_the_ip_address_that_an_address_begins_with(text: str, ip: str | None) -> None:
    assert ip_of(Multiaddr(text)) == (None if ip is None else ip_address(ip))


def test_a_zone_is_taken_off() -> None:
    plain = Multiaddr("/ip6/fe80::1/tcp/1")
    assert without_zone(Multiaddr("/ip6zone/eth0/ip6/fe80::1/tcp/1")) == plain
    assert without_zone(plain) == plain
    assert without_zone(Multiaddr("")) == Multiaddr("")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/ip6/fe80::1%eth0/tcp/4001", "/ip6zone/eth0/ip6/fe80::1/tcp/4001"),
        ("  /ip4/1.2.3.4/tcp/1\n", "/ip4/1.2.3.4/tcp/1"),
        (f"/ip4/1.2.3.4/tcp/1/ipfs/{PEER}", f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}"),
    ],
)
def test_addresses_are_read_as_people_write_them(typed: str, meant: str) -> None:
    assert str(address_from_text(typed)) == meant


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("nonsense", "No protocol with name 'nonsense'"),
        ("/ip4/1.2.3/tcp/1", "'1.2.3' is not IPv4"),
        ("/ip4/1.2.3.4/tcp", "missing value"),
        ("/ip4/1.2.3.4/tcp/70000", "integer not in range"),
        ("/dns4/a b/tcp/1", "'a b' is no host name"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(typed: str, reason: str) -> None:
    with pytest.raises(InvalidAddrError, match=reason) as caught:
        address_from_text(typed)
    assert typed in str(caught.value)


def test_a_refusal_of_a_long_text_is_short() -> None:
    with pytest.raises(InvalidAddrError) as caught:
        address_from_text("/ip4/" * 10_000)
    assert len(str(caught.value)) < 600


def test_an_argument_may_be_an_address_or_its_text() -> None:
    text = "/ip4/192.0.2.1/tcp/4001"
    assert to_multiaddr(text) == to_multiaddr(Multiaddr(text)) == Multiaddr(text)
    assert to_multiaddrs(text, "addrs") == to_multiaddrs([Multiaddr(text)], "addrs")
    assert to_multiaddrs(None, "addrs") == to_multiaddrs([], "addrs") == []
    with pytest.raises(TypeError, match="an address of addrs must be a multiaddr"):
        to_multiaddrs([5], "addrs")
    with pytest.raises(InvalidAddrError, match="the address is empty"):
        to_multiaddr(Multiaddr(b""))


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("192.0.2.1", "/ip4/192.0.2.1/tcp/1"),
        ("::ffff:192.0.2.1", "/ip4/192.0.2.1/tcp/1"),
        ("::FFFF:192.0.2.1", "/ip4/192.0.2.1/tcp/1"),
        ("2001:db8::1", "/ip6/2001:db8::1/tcp/1"),
        ("fe80::1%eth0", "/ip6/fe80::1/tcp/1"),
    ],
)
def test_the_address_of_a_socket(host: str, written: str) -> None:
    assert str(tcp_address(host, 1)) == written
