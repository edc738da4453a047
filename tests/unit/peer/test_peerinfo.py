"""A peer with its addresses, and the texts people pass around."""

from __future__ import annotations

import pytest
from multiaddr import Multiaddr

from libp2p.peer.id import ID
from libp2p.peer.peerinfo import (
    InvalidAddrError,
    PeerInfo,
    info_from_p2p_addr,
    peer_info_from_bytes,
    peer_info_to_bytes,
)

PEER = ID.from_string("12D3KooWM6CgA9iBFZmcYAHA6A2qvbAxqfkmrYiRQuz3XEsk4Ksv")
TRANSPORT = Multiaddr("/ip4/127.0.0.1/tcp/4001")


@pytest.mark.parametrize("name", ["p2p", "ipfs"])
@pytest.mark.parametrize("text", [str(PEER), PEER.to_multibase(), PEER.to_multibase("base32")])
def test_an_address_with_its_peer_as_text(name: str, text: str) -> None:
    assert info_from_p2p_addr(f"{TRANSPORT}/{name}/{text}\n") == PeerInfo(PEER, [TRANSPORT])


def test_an_address_with_its_peer_as_an_object() -> None:
    info = info_from_p2p_addr(Multiaddr(f"{TRANSPORT}/p2p/{PEER}"))
    assert (info.peer_id, info.addrs) == (PEER, [TRANSPORT])


def test_a_peer_alone_has_no_addresses() -> None:
    assert info_from_p2p_addr(f"/p2p/{PEER}") == PeerInfo(PEER, [])


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        Multiaddr(""),
        Multiaddr(b"\xff"),
        "/ip4/127.0.0.1/tcp/4001",
        f"/p2p/{PEER}/tcp/4001",
        "/ip4/127.0.0.1/tcp/4001/p2p",
        "/ip4/127.0.0.1/tcp/4001/p2p/QmNope",
        "/p2p/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        "/ip4/300.0.0.1",
        "127.0.0.1:4001",
    ],
)
def test_what_names_no_peer_is_refused(address: Multiaddr | str | None) -> None:
    with pytest.raises(InvalidAddrError):
        info_from_p2p_addr(address)


def test_peers_are_written_as_lines_and_read_again() -> None:
    info = PeerInfo(PEER, [TRANSPORT, Multiaddr("/dns/example.org/tcp/1")])
    assert peer_info_to_bytes(info).decode().splitlines() == [str(PEER), *map(str, info.addrs)]
    assert peer_info_from_bytes(peer_info_to_bytes(info)) == info


@pytest.mark.parametrize("data", [b"", b"\xff", b"Qm", f"{PEER}\nnonsense".encode()])
def test_other_lines_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidAddrError):
        peer_info_from_bytes(data)


def test_peers_are_equal_by_id_and_addresses() -> None:
    info = PeerInfo(PEER, [TRANSPORT])
    assert info == PeerInfo(PEER, (TRANSPORT,))
    assert hash(info) == hash(PeerInfo(PEER, []))
    assert info not in (PeerInfo(PEER, []), PEER)
    assert repr(info) == f"PeerInfo({PEER}, [{TRANSPORT}])"
