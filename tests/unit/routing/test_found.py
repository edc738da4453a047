"""Peers of several routers, united."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing.found import MAX_ADDRESSES_PER_PEER, MAX_PEERS_FOUND, FoundPeer, FoundPeers


def peer(number: int) -> ID:
    return ID(b"\x00\x02" + number.to_bytes(2, "big"))


def address(port: int) -> Multiaddr:
    return Multiaddr(f"/ip4/192.0.2.1/tcp/{port}")


def taken(found: FoundPeers) -> list[FoundPeer]:
    """All that is ready, in order."""
    peers = []
    while (info := found.take()) is not None:
        peers.append(info)
    return peers


def test_a_peer_is_given_once_and_again_with_addresses_that_are_new() -> None:
    found = FoundPeers()
    assert found.add(PeerInfo(peer(1), [address(1)]))
    assert taken(found) == [PeerInfo(peer(1), [address(1)])]
    assert not found.add(PeerInfo(peer(1), [address(1)]))
    assert not found.add(PeerInfo(peer(1), []))
    assert taken(found) == []
    assert found.add(PeerInfo(peer(1), [address(2), address(1)]))
    assert taken(found) == [PeerInfo(peer(1), [address(1), address(2)])]
    assert len(found) == 1


def test_what_comes_before_a_peer_is_given_is_given_with_it() -> None:
    found = FoundPeers()
    found.add(PeerInfo(peer(1), []))
    found.add(PeerInfo(peer(2), [address(2)]))
    found.add(PeerInfo(peer(1), [address(1)]))
    assert taken(found) == [PeerInfo(peer(1), [address(1)]), PeerInfo(peer(2), [address(2)])]


def test_a_peer_without_addresses_is_given() -> None:
    found = FoundPeers()
    assert found.add(PeerInfo(peer(1), []))
    assert taken(found) == [PeerInfo(peer(1), [])]


def test_protocols_and_urls_are_united() -> None:
    found = FoundPeers()
    found.add(FoundPeer(peer(1), [], ["transport-bitswap"], ["https://one.example"]))
    found.add(PeerInfo(peer(1), [address(1)]))
    found.add(FoundPeer(peer(1), [], ["b", "transport-bitswap"], ["https://two.example"]))
    (info,) = taken(found)
    assert info.protocols == ("transport-bitswap", "b")
    assert info.urls == ("https://one.example", "https://two.example")
    assert info.addrs == [address(1)]
    assert "https://two.example" in repr(info)


def test_it_is_complete_when_as_many_as_were_asked_for_are_given() -> None:
    found = FoundPeers(2)
    found.add(PeerInfo(peer(1), []))
    found.add(PeerInfo(peer(2), []))
    assert not found.add(PeerInfo(peer(3), []))
    states = [found.is_complete, len(taken(found)), found.is_complete]
    assert states == [False, 2, True]
    assert found.add(PeerInfo(peer(2), [address(2)]))  # of use to who is still reading
    assert not found.is_complete


@pytest.mark.parametrize("limit", [0, MAX_PEERS_FOUND + 5])
def test_no_search_finds_without_end(limit: int) -> None:
    found = FoundPeers(limit)
    for number in range(MAX_PEERS_FOUND + 5):
        found.add(PeerInfo(peer(number), []))
    assert len(taken(found)) == MAX_PEERS_FOUND
    assert found.is_complete


def test_a_peer_has_so_many_addresses_at_most() -> None:
    found = FoundPeers()
    for port in range(1, 200):
        found.add(FoundPeer(peer(1), [address(port)], (), [f"https://{port}.example"]))
    (info,) = taken(found)
    assert len(info.addrs) == len(info.urls) == MAX_ADDRESSES_PER_PEER
    assert not found.add(PeerInfo(peer(1), [address(999)]))


@given(st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(1, 9), max_size=4))))
def test_in_whatever_order_they_come_all_peers_and_addresses_are_given(
    answers: list[tuple[int, set[int]]],
) -> None:
    found = FoundPeers()
    given_last: dict[ID, list[Multiaddr]] = {}
    for number, ports in answers:
        found.add(PeerInfo(peer(number), [address(port) for port in ports]))
        given_last.update((info.peer_id, info.addrs) for info in taken(found))
    for number, ports in answers:
        assert {address(port) for port in ports} <= set(given_last[peer(number)])
