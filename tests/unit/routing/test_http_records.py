"""Peers in the JSON of ``/routing/v1``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from libp2p.exceptions import BadRouterAnswer
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing.found import MAX_ADDRESSES_PER_PEER, FoundPeer
from libp2p.routing.http_records import (
    MAX_JSON_BYTES,
    MAX_LINE_BYTES,
    MAX_PROTOCOLS_PER_PEER,
    MAX_RECORDS,
    MAX_STREAM_BYTES,
    JsonPeers,
    NdjsonPeers,
    peer_from_record,
    peer_to_json,
)

PEER = ID.from_string("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA")
OTHER = ID.from_string("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
ADDRESS = Multiaddr("/ip4/192.0.2.1/tcp/4001")


def record(**fields: object) -> dict[str, object]:
    return {"Schema": "peer", "ID": str(PEER), "Addrs": [str(ADDRESS)], **fields}


def line(**fields: object) -> bytes:
    return json.dumps(record(**fields)).encode() + b"\n"


def read(fields: dict[str, object]) -> FoundPeer:
    peer = peer_from_record(fields)
    assert peer is not None
    return peer


def test_a_peer_is_read_and_what_is_unknown_is_ignored() -> None:
    peer = read(record(Protocols=["transport-bitswap", "x"], x={"y": 1}, Metadata="gBI="))
    assert peer == PeerInfo(PEER, [ADDRESS])
    assert peer.protocols == ("transport-bitswap", "x")


@pytest.mark.parametrize("base", ["base32", "base36"])
def test_a_peer_may_be_written_as_a_cid(base: str) -> None:
    assert read(record(ID=PEER.to_multibase(base))).peer_id == PEER


def test_the_schema_from_before_2023_is_read() -> None:
    peer = read(record(Schema="bitswap", Protocol="transport-bitswap"))
    assert peer.protocols == ("transport-bitswap",)


@pytest.mark.parametrize("fields", [{"Addrs": None}, {"Addrs": []}, {"Addrs": "/ip4/1.2.3.4"}])
def test_a_peer_without_addresses_is_read(fields: dict[str, object]) -> None:
    assert read(record(**fields)) == PeerInfo(PEER, [])


def test_addresses_are_taken_one_by_one() -> None:
    peer = read(
        record(
            Addrs=[
                "https://gateway.example:8443/ipfs",
                "HTTP://plain.example",
                f"{ADDRESS}/p2p/{PEER}",
                f"/ip4/192.0.2.9/tcp/1/p2p/{OTHER}",
                f"/ip4/192.0.2.9/tcp/1/p2p/{OTHER}/p2p-circuit",
                f"/p2p/{PEER}",
                "/no-such/protocol",
                "",
                7,
                None,
                "/dns4/" + "x" * 5000,
                "/dns4/example.com/tcp/443/tls/http",
            ]
        )
    )
    assert peer.urls == ("https://gateway.example:8443/ipfs", "HTTP://plain.example")
    assert list(map(str, peer.addrs)) == [
        str(ADDRESS),
        f"/ip4/192.0.2.9/tcp/1/p2p/{OTHER}/p2p-circuit",
        "/dns4/example.com/tcp/443/tls/http",
    ]


@pytest.mark.parametrize(
    "bad",
    [
        record(Schema="generic", ID="https://example.com"),
        record(Schema=None),
        {"ID": str(PEER)},
        {"Schema": "peer"},
        record(ID="12D3KooW"),
        record(ID=17),
        record(ID=["x"]),
        record(ID="x" * 100_000),
        record(Schema=["peer"]),
        record(Schema=7),
        [],
        "peer",
        None,
        3,
    ],
)
def test_a_record_without_a_peer_is_left_out(bad: object) -> None:
    assert peer_from_record(bad) is None


def test_lists_have_limits() -> None:
    peer = read(
        record(
            Addrs=[f"/ip4/192.0.2.1/tcp/{port}" for port in range(1, 500)],
            Protocols=[f"p{n}" for n in range(500)],
        )
    )
    assert len(peer.addrs) == MAX_ADDRESSES_PER_PEER
    assert len(peer.protocols) == MAX_PROTOCOLS_PER_PEER


def test_what_is_written_is_read_again() -> None:
    peer = FoundPeer(PEER, [ADDRESS], ["transport-bitswap"], ["https://example.com"])
    written = peer_to_json(peer)
    assert b"\n" not in written
    again = read(json.loads(written))
    assert (again, again.protocols, again.urls) == (peer, peer.protocols, peer.urls)
    with_id = PeerInfo(PEER, [Multiaddr(f"{ADDRESS}/p2p/{PEER}")])
    assert read(json.loads(peer_to_json(with_id))) == PeerInfo(PEER, [ADDRESS])
    assert json.loads(peer_to_json(with_id))["Addrs"] == [str(ADDRESS)]
    for bare in (PeerInfo(PEER, []), FoundPeer(PEER, [])):
        assert json.loads(peer_to_json(bare)) == {
            "Schema": "peer",
            "ID": str(PEER),
            "Addrs": [],
        }


# -- whole answers --------------------------------------------------------------------------------


def answer_of(value: Any) -> list[FoundPeer]:
    reader = JsonPeers("Providers")
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    for at in range(0, len(data), 1000):
        assert reader.receive(data[at : at + 1000]) == []
    return reader.end()


def test_the_peers_of_a_json_answer() -> None:
    assert answer_of({"Providers": [record(), {"Schema": "x"}, record(ID=str(OTHER))]}) == [
        PeerInfo(PEER, [ADDRESS]),
        PeerInfo(OTHER, [ADDRESS]),
    ]


@pytest.mark.parametrize("none", [{}, {"Providers": None}, {"Providers": []}])
def test_an_answer_without_peers(none: object) -> None:
    assert answer_of(none) == []


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"<html>",
        b"\xff",
        b"[" * 500_000,
        b"9" * 500_000,
        b'{"Providers": {}}',
        b"[]",
        b"null",
        b'{"Providers": [}',
    ],
)
def test_what_is_no_answer_is_refused(bad: bytes) -> None:
    with pytest.raises(BadRouterAnswer):
        answer_of(bad)


def test_an_answer_has_a_limit() -> None:
    reader = JsonPeers("Peers")
    reader.receive(bytes(MAX_JSON_BYTES))
    with pytest.raises(BadRouterAnswer, match="longer than"):
        reader.receive(b" ")
    many = {"Providers": [{"Schema": "peer", "ID": str(PEER)}] * (MAX_RECORDS + 1)}
    assert len(answer_of(many)) == MAX_RECORDS


# -- streams --------------------------------------------------------------------------------------


def test_peers_are_given_as_their_lines_end() -> None:
    reader = NdjsonPeers()
    first, second = line(), line(ID=str(OTHER))
    assert reader.receive(first[:-1]) == []
    assert reader.receive(b"\n" + second) == [PeerInfo(PEER, [ADDRESS]), PeerInfo(OTHER, [ADDRESS])]
    assert reader.receive(b"\r\n\n" + first[:-1]) == []
    assert reader.end() == [PeerInfo(PEER, [ADDRESS])]
    assert reader.end() == []


def test_a_bad_line_costs_itself_only() -> None:
    reader = NdjsonPeers()
    assert len(reader.receive(line() + b"{\n[1]\n" + b"[" * 100_000 + b"\n" + line())) == 2


@given(st.lists(st.integers(0, 600), max_size=20))
def test_any_cut_of_the_stream_gives_the_same_peers(cuts: list[int]) -> None:
    data = (
        line() + b"garbage\n" + line(ID=str(OTHER)) + b"\n" + line(Schema="generic") + line()[:-1]
    )
    reader = NdjsonPeers()
    at, peers = 0, []
    for cut in sorted(cuts):
        peers += reader.receive(data[at:cut])
        at = max(at, cut)
    peers += reader.receive(data[at:])
    assert [p.peer_id for p in peers + reader.end()] == [PEER, OTHER, PEER]


@pytest.mark.parametrize("last", [b"", b"\n"])
def test_a_line_has_a_limit(last: bytes) -> None:
    reader = NdjsonPeers()
    reader.receive(b"x" * MAX_LINE_BYTES)
    with pytest.raises(BadRouterAnswer, match="line"):
        reader.receive(b"x" + last)


def test_a_stream_has_a_limit() -> None:
    reader = NdjsonPeers()
    piece = b"\n" * MAX_LINE_BYTES
    for _ in range(MAX_STREAM_BYTES // len(piece)):
        reader.receive(piece)
    with pytest.raises(BadRouterAnswer, match="longer than"):
        reader.receive(b"\n")


def test_a_stream_has_so_many_records() -> None:
    reader = NdjsonPeers()
    peers = reader.receive(b"bad\n" * (MAX_RECORDS - 1))
    before = reader.is_full
    peers += reader.receive(line() * 3)
    assert (before, reader.is_full) == (False, True)
    assert len(peers + reader.receive(line())) == 1
