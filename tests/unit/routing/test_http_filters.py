"""IPIP-484: which peers and addresses pass."""

from __future__ import annotations

import pytest
from multiaddr import Multiaddr

from libp2p.exceptions import InvalidArgument
from libp2p.peer.id import ID
from libp2p.routing.found import FoundPeer
from libp2p.routing.http_filters import MAX_FILTER_NAMES, MAX_NAME_CHARACTERS, Filters

TCP4 = Multiaddr("/ip4/192.0.2.1/tcp/4001")
TCP6 = Multiaddr("/ip6/2001:db8::1/tcp/4001")
QUIC = Multiaddr("/ip4/192.0.2.1/udp/4001/quic-v1")
URL = "https://example.com"


def passing(addrs: str, protocols: str = "", of: list[str] | None = None) -> object:
    """What is left of a peer: its addresses, None if it does not pass."""
    found = FoundPeer(ID(b"\x00\x01a"), [TCP4, TCP6, QUIC], of or [], [URL])
    left = Filters.parse(addrs, protocols).apply(found)
    return None if left is None else [*left.addrs, *left.urls]


@pytest.mark.parametrize(
    ("addrs", "left"),
    [
        ("", [TCP4, TCP6, QUIC, URL]),
        ("tcp", [TCP4, TCP6]),
        ("TCP", [TCP4, TCP6]),
        ("tcp,quic-v1", [TCP4, TCP6, QUIC]),
        ("!ip6", [TCP4, QUIC, URL]),
        ("tcp,!ip6", [TCP4]),
        ("https", [URL]),
        ("!https,!udp", [TCP4, TCP6]),
        ("webrtc", None),
        ("unknown", None),
        ("!ip4,!ip6,!https", None),
        ("no-such-protocol,tcp", [TCP4, TCP6]),
    ],
)
def test_addresses_are_filtered(addrs: str, left: list[object] | None) -> None:
    assert passing(addrs) == left


def test_a_peer_without_addresses_passes_as_unknown_only() -> None:
    bare = FoundPeer(ID(b"\x00\x01a"), [])
    assert Filters().apply(bare) is bare
    assert Filters(addrs=("tcp", "unknown")).apply(bare) is bare
    assert Filters(addrs=("tcp",)).apply(bare) is None


@pytest.mark.parametrize(
    ("protocols", "of", "passes"),
    [
        ("", ["transport-bitswap"], True),
        ("", [], True),
        ("transport-bitswap", ["transport-bitswap", "other"], True),
        ("Transport-Bitswap", ["transport-BITSWAP"], True),
        ("transport-bitswap", ["other"], False),
        ("transport-bitswap", [], False),
        ("unknown", [], True),
        ("unknown", ["other"], False),
        ("unknown,other", ["other"], True),
    ],
)
def test_peers_are_filtered_by_protocol(protocols: str, of: list[str], passes: bool) -> None:
    assert (passing("", protocols, of) is not None) == passes


def test_a_peer_that_passes_keeps_all_its_protocols() -> None:
    found = FoundPeer(ID(b"\x00\x01a"), [TCP4, QUIC], ["a", "b"])
    left = Filters.parse("tcp", "a").apply(found)
    assert left is not None
    assert left.protocols == ("a", "b")


def test_parameters_are_sorted() -> None:
    assert Filters(("tcp", "quic-v1"), ("unknown", "b")).parameters() == {
        "filter-addrs": "quic-v1,tcp",
        "filter-protocols": "b,unknown",
    }
    assert Filters().parameters() == {}
    assert Filters.parse(" tcp,,TCP").addrs == ("tcp",)


@pytest.mark.parametrize(
    "addrs",
    [
        tuple(f"p{n}" for n in range(MAX_FILTER_NAMES + 1)),
        ("x" * (MAX_NAME_CHARACTERS + 2),),
        "tcp",
    ],
)
def test_a_filter_has_a_limit(addrs: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument):
        Filters(addrs)
