"""Which addresses belong into which DHT."""

from __future__ import annotations

import pytest
from multiaddr import Multiaddr

from libp2p.kad_dht.filters import DHTNetwork
from tests.support.identities import peer_id_of

PUBLIC = Multiaddr("/ip4/8.8.8.8/tcp/4001")
PRIVATE = Multiaddr("/ip4/192.168.1.7/tcp/4001")
LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/4001")
RELAYED = Multiaddr(f"/ip4/8.8.8.8/tcp/4001/p2p/{peer_id_of('relay')}/p2p-circuit")
UNREADABLE = b"\xff\xff\xff"


def wire(*addrs: Multiaddr) -> list[bytes]:
    return [addr.to_bytes() for addr in addrs]


@pytest.mark.parametrize(
    ("addrs", "asked", "listed"),
    [
        (wire(PUBLIC), "any wan lan", "any wan"),
        (wire(PRIVATE), "any lan", "any lan"),
        (wire(LOOPBACK), "any lan", "any lan"),
        (wire(PRIVATE, PUBLIC), "any wan lan", "any wan lan"),
        ([UNREADABLE, *wire(PUBLIC)], "any wan lan", "any wan"),
        ([UNREADABLE], "any lan", "any"),
        (wire(RELAYED), "any lan", "any"),
        ([], "", ""),
    ],
)
def test_who_may_be_asked_and_listed(addrs: list[bytes], asked: str, listed: str) -> None:
    assert [kind.value for kind in DHTNetwork if kind.may_ask(addrs)] == asked.split()
    assert [kind.value for kind in DHTNetwork if kind.may_list(addrs)] == listed.split()


def test_what_is_announced() -> None:
    own = [PUBLIC, PRIVATE, LOOPBACK]
    assert DHTNetwork.ANY.to_announce(own) == own
    assert DHTNetwork.WAN.to_announce(own) == [PUBLIC]
    assert DHTNetwork.LAN.to_announce(own) == [PRIVATE, LOOPBACK]


def test_what_others_are_told_of_a_peer() -> None:
    addrs = [*wire(PUBLIC, RELAYED, PRIVATE), UNREADABLE]
    assert DHTNetwork.ANY.to_tell(addrs) == DHTNetwork.LAN.to_tell(addrs) == tuple(addrs)
    assert DHTNetwork.WAN.to_tell(addrs) == tuple(wire(PUBLIC, RELAYED))


def test_who_can_be_reached() -> None:
    reached = [kind.can_be_reached([PRIVATE]) for kind in DHTNetwork]
    assert reached == [False, False, True]
    assert all(kind.can_be_reached([PRIVATE, PUBLIC]) for kind in DHTNetwork)
