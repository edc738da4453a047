"""The peers that a host was connected to, and their form in a datastore."""

from __future__ import annotations

from math import inf

import pytest
from multiaddr import Multiaddr

from libp2p.exceptions import InvalidRecord
from libp2p.peer.id import ID
from libp2p.peer.persistent.codec import (
    StoredAddress,
    StoredPeer,
    decode_peer,
    decode_seen,
    encode_peer,
    encode_seen,
)
from libp2p.peer.seen_peers import (
    MAX_SEEN_ADDRESSES,
    MAX_SEEN_PEERS,
    SEEN_SECONDS,
    SeenPeer,
    SeenPeers,
)


def peer(number: int) -> ID:
    return ID(b"\x12\x20" + number.to_bytes(32, "big"))


def addr(port: int) -> Multiaddr:
    return Multiaddr(f"/ip4/192.0.2.1/tcp/{port}")


def test_the_latest_comes_first() -> None:
    seen = SeenPeers()
    for now, number in enumerate((1, 2, 3, 1)):
        seen.note(peer(number), float(now), [addr(number)])
    assert [p.peer_id for p in seen.latest_first(5.0)] == [peer(1), peer(3), peer(2)]
    assert seen.get(peer(1)) == SeenPeer(peer(1), (addr(1),), 3.0, True)
    assert seen.get(peer(9)) is None


def test_where_it_was_dialled_comes_before_what_it_announces() -> None:
    seen = SeenPeers()
    seen.note(peer(1), 1.0, announced=[addr(5), addr(6)])
    seen.note(peer(1), 2.0, [addr(1)])
    seen.note(peer(1), 3.0, announced=map(addr, range(5, 99)))
    (one,) = seen.latest_first(3.0)
    assert one.addrs[:3] == (addr(1), addr(5), addr(6))
    assert len(one.addrs) == MAX_SEEN_ADDRESSES
    assert one.seen_at == 3.0


def test_peers_without_addresses_are_not_kept() -> None:
    seen = SeenPeers()
    seen.note(peer(1), 1.0)
    assert len(seen) == 0


def test_the_longest_gone_give_way() -> None:
    seen = SeenPeers()
    for number in range(MAX_SEEN_PEERS + 5):
        seen.note(peer(number), float(number), [addr(1)])
    assert len(seen) == MAX_SEEN_PEERS
    assert seen.get(peer(4)) is None
    assert seen.get(peer(5)) is not None


def test_those_that_were_dialled_come_first_and_stay() -> None:
    """A server with thousands of clients still knows whom it reached itself."""
    seen = SeenPeers()
    for number in range(10):
        seen.note(peer(number), float(number), [addr(number)])
    for number in range(100, 100 + 2 * MAX_SEEN_PEERS):
        seen.note(peer(number), float(number), announced=[addr(1)])
    seen.note(peer(3), 999.0, announced=[addr(99)])
    found = [p.peer_id for p in seen.latest_first(1000.0)]
    assert found[:10] == [peer(n) for n in (3, 9, 8, 7, 6, 5, 4, 2, 1, 0)]
    assert found[10] == peer(99 + 2 * MAX_SEEN_PEERS)
    assert len(found) == MAX_SEEN_PEERS


def test_after_a_month_it_is_forgotten() -> None:
    seen = SeenPeers()
    seen.note(peer(1), 10.0, [addr(1)])
    assert len(seen.latest_first(9.0 + SEEN_SECONDS)) == 1
    assert seen.latest_first(10.0 + SEEN_SECONDS) == []


def test_those_of_an_earlier_run_come_after_those_of_this_one() -> None:
    seen = SeenPeers()
    seen.note(peer(1), 5.0, [addr(1)])
    earlier = [
        SeenPeer(peer(n), (addr(n),), 100.0 - n, n < 99) for n in range(1, MAX_SEEN_PEERS + 50)
    ]
    seen.restore(earlier)
    found = [p.peer_id for p in seen.latest_first(5.0)]
    assert found[:3] == [peer(1), peer(2), peer(3)]
    assert len(found) == MAX_SEEN_PEERS
    assert seen.get(peer(1)) == SeenPeer(peer(1), (addr(1),), 5.0, True)


PEERS = [
    StoredPeer(),
    StoredPeer([StoredAddress(addr(1), 12.5, True), StoredAddress(addr(2), inf, False)]),
    StoredPeer(
        [StoredAddress(addr(1), 7.0, False)],
        ["/ipfs/ping/1.0.0", "/odd/\ud800\n"],
        b"\x08\x01",
        {"AgentVersion": "x", "n": 1, "f": 0.5, "b": True, "none": None},
        b"\xff\x00",
    ),
]


@pytest.mark.parametrize("stored", PEERS)
def test_a_peer_survives_its_bytes(stored: StoredPeer) -> None:
    assert decode_peer(encode_peer(stored)) == stored


def test_a_peer_is_of_use_until_its_last_address_expires() -> None:
    assert StoredPeer().expires_at == inf
    assert StoredPeer([StoredAddress(addr(n), float(n), True) for n in (1, 3, 2)]).expires_at == 3.0
    assert PEERS[2].expires_at == inf


def test_a_connection_survives_its_bytes() -> None:
    seen = SeenPeer(peer(1), (addr(1), addr(2)), 99.5, False)
    assert decode_seen(peer(1), encode_seen(seen)) == seen


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"[]", b"1", b'{"addresses":1}', b'{"addresses":[["x",1,1]],"seen_at":{}}',
     b'{"protocols":5}', b'{"metadata":7}', b'{"public_key":7}', b'{"addresses":[["","x",1]]}'],
)  # fmt: skip
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidRecord):
        decode_peer(data)
    with pytest.raises(InvalidRecord):
        decode_seen(peer(1), data)
