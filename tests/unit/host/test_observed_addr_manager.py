"""What peers say of this host's addresses, and when it is believed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from multiaddr import Multiaddr

from libp2p.connection_types import ConnectionType
from libp2p.host.observed_addr_manager import (
    ACTIVATION_THRESHOLD,
    MAX_EXTERNAL_ADDRS_PER_LOCAL,
    NATDeviceType,
    ObservedAddrManager,
    extract_thin_waist,
    has_consistent_transport,
    is_valid_observation,
    observer_group,
)

LISTENING = [Multiaddr("/ip4/0.0.0.0/tcp/4001"), Multiaddr("/ip4/0.0.0.0/udp/4001/quic-v1")]
SEEN = Multiaddr("/ip4/198.51.100.1/tcp/4001")


@dataclass(eq=False)
class Conn:
    """A connection from one address."""

    host: str | None
    kind: ConnectionType = ConnectionType.DIRECT
    is_closed: bool = False
    muxed_conn: Conn = field(init=False)

    def __post_init__(self) -> None:
        self.muxed_conn = self

    def get_remote_address(self) -> tuple[str, int] | None:
        return None if self.host is None else (self.host, 4001)

    def get_connection_type(self) -> ConnectionType:
        return self.kind


def told(
    manager: ObservedAddrManager,
    address: Multiaddr,
    count: int = ACTIVATION_THRESHOLD,
    net: int = 2,
) -> list[Conn]:
    conns = [Conn(f"192.0.{net}.{number}") for number in range(count)]
    for conn in conns:
        manager.record_observation(conn, address, LISTENING)
    return conns


def test_an_address_counts_once_enough_networks_agree_and_while_they_are_connected() -> None:
    manager = ObservedAddrManager()
    told(manager, SEEN, ACTIVATION_THRESHOLD - 1)
    assert manager.addrs() == []
    assert manager.addrs(min_observers=1) == [SEEN]
    twice = Conn("192.0.2.0")
    manager.record_observation(twice, SEEN, LISTENING)
    assert manager.addrs() == []  # the same network
    last = Conn("203.0.113.1")
    manager.record_observation(last, SEEN, LISTENING)
    assert manager.addrs() == [SEEN]
    assert manager.addrs_for(LISTENING[0]) == [SEEN]
    assert manager.addrs_for(LISTENING[1]) == []
    assert manager.addrs_for(Multiaddr("/dns/example.com/tcp/1")) == []
    other = Multiaddr("/ip4/198.51.100.2/tcp/4001")
    manager.record_observation(last, other, LISTENING)  # it says something else now
    assert manager.addrs() == []
    manager.record_observation(last, SEEN, LISTENING)
    manager.remove_conn(last)
    manager.remove_conn(last)
    assert manager.addrs() == []


@pytest.mark.parametrize(
    ("conn", "address"),
    [
        (Conn("192.0.2.1", is_closed=True), SEEN),
        (Conn("192.0.2.1", ConnectionType.RELAYED), SEEN),
        (Conn(None), SEEN),
        (Conn("192.0.2.1"), Multiaddr("/ip4/127.0.0.1/tcp/4001")),
        (Conn("192.0.2.1"), Multiaddr("/ip6/2001:db8::1/tcp/4001")),  # nothing listens there
    ],
)
def test_what_is_not_counted(conn: Conn, address: Multiaddr) -> None:
    manager = ObservedAddrManager()
    manager.record_observation(conn, address, LISTENING)
    assert manager.addrs(min_observers=1) == []


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/127.0.0.1/tcp/1",
        "/ip6/::1/tcp/1",
        "/ip6/64:ff9b::102:304/tcp/1",
        "/dns/example.com/tcp/1",
        "/ip4/192.0.2.1/tcp/1/p2p-circuit",
        "/ip4/192.0.2.1",
        "/ip4/192.0.2.1/sctp/1",
    ],
)
def test_addresses_of_no_use(text: str) -> None:
    assert not is_valid_observation(Multiaddr(text))


def test_a_few_addresses_of_one_listener_with_what_follows_the_port() -> None:
    manager = ObservedAddrManager()
    for number in range(MAX_EXTERNAL_ADDRS_PER_LOCAL + 1):
        told(manager, Multiaddr(f"/ip4/198.51.100.{number}/udp/4001/quic-v1"), net=number)
    told(manager, Multiaddr("/ip4/198.51.100.3/udp/4001"), ACTIVATION_THRESHOLD + 1, net=9)
    found = [str(address) for address in manager.addrs()]
    assert found[:2] == ["/ip4/198.51.100.3/udp/4001", "/ip4/198.51.100.3/udp/4001/quic-v1"]
    assert len(found) == 2 * MAX_EXTERNAL_ADDRS_PER_LOCAL
    assert manager.addrs_for(LISTENING[1])[0] == Multiaddr("/ip4/198.51.100.3/udp/4001/quic-v1")


def test_a_router_that_keeps_ports_and_one_that_does_not() -> None:
    manager = ObservedAddrManager()
    assert manager.get_nat_type() == (NATDeviceType.UNKNOWN, NATDeviceType.UNKNOWN)
    told(manager, SEEN, 9)
    for number in range(20):
        told(manager, Multiaddr(f"/ip4/198.51.100.1/udp/{5000 + number}"), 1, net=number)
    endpoint = NATDeviceType.ENDPOINT_INDEPENDENT, NATDeviceType.ENDPOINT_DEPENDENT
    assert manager.get_nat_type() == endpoint


def test_parts_of_addresses() -> None:
    assert extract_thin_waist(Multiaddr("/ip4/192.0.2.1/tcp/1/ws")) == (
        Multiaddr("/ip4/192.0.2.1/tcp/1"),
        "/ws",
    )
    assert observer_group(("192.0.2.1", 1)) == "192.0.2.1"
    assert observer_group(("2001:db8:1:2ff::1%eth0", 1)) == "2001:db8:1:200::"
    assert observer_group(("somewhere", 1)) == "somewhere"
    assert not has_consistent_transport(*LISTENING)
    assert not has_consistent_transport(Multiaddr("/memory/1"), Multiaddr("/memory/1"))
