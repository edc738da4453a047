"""When peers to stay connected to are dialled."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.discovery.peering.schedule import FIRST_DELAY, MAX_DELAY, MAX_PEERS, Schedule
from libp2p.exceptions import InvalidArgument
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo


def peer() -> PeerInfo:
    return PeerInfo(ID.from_pubkey(create_new_key_pair().public_key), [])


def schedule(chance: float = 0.5) -> Schedule:
    return Schedule(lambda: chance)


def test_a_new_peer_is_due_at_once_and_then_with_growing_delays() -> None:
    one, one_peer = schedule(), peer()
    one.add(one_peer, 100.0, connected=False)
    now, waits = 100.0, []
    for _ in range(10):
        assert one.take_due(now) == [one_peer]
        assert one.next_due() == inf
        one.lost(one_peer.peer_id, now)
        waits.append(one.next_due() - now)
        now = one.next_due()
    assert waits[:7] == [FIRST_DELAY * 2**n for n in range(7)]
    assert waits[-1] == pytest.approx(MAX_DELAY * 0.95)
    assert one.failures_of(one_peer.peer_id) == 10


def test_a_connection_forgets_the_failures() -> None:
    one, one_peer = schedule(), peer()
    one.add(one_peer, 0.0, connected=False)
    for _ in range(3):
        one.lost(one_peer.peer_id, 0.0)
    one.connected(one_peer.peer_id)
    assert one.next_due() == inf
    assert one.take_due(1e9) == []
    one.lost(one_peer.peer_id, 50.0)
    assert one.next_due() == 50.0 + FIRST_DELAY
    assert one.failures_of(one_peer.peer_id) == 0


def test_peers_that_are_not_kept_change_nothing() -> None:
    one, known, stranger = schedule(), peer(), peer().peer_id
    one.add(known, 0.0, connected=True)
    one.connected(stranger)
    one.lost(stranger, 0.0)
    assert one.failures_of(stranger) == 0
    assert one.next_due() == inf
    assert not one.remove(stranger)
    assert stranger not in one
    assert one.remove(known.peer_id)
    assert one.peers() == []


def test_addresses_are_replaced() -> None:
    one, known = schedule(), peer()
    one.add(known, 0.0, connected=True)
    other = PeerInfo(known.peer_id, [])
    one.add(other, 0.0, connected=False)
    assert one.peers() == [other]
    assert one.next_due() == inf


def test_there_is_a_limit() -> None:
    one = schedule()
    for _ in range(MAX_PEERS):
        one.add(peer(), 0.0, connected=False)
    with pytest.raises(InvalidArgument, match="256 or less"):
        one.add(peer(), 0.0, connected=False)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_no_delay_is_longer_than_the_longest(chances: list[float]) -> None:
    given_chances = iter([*chances, *[0.0] * 200])
    one, one_peer = Schedule(lambda: next(given_chances)), peer()
    one.add(one_peer, 0.0, connected=False)
    for _ in range(20):
        one.lost(one_peer.peer_id, 0.0)
        assert 0.75 * FIRST_DELAY <= one.next_due() <= MAX_DELAY


def test_it_is_settled_by_one_connection_or_when_every_dial_has_failed() -> None:
    kept, ann, bob = schedule(), peer(), peer()
    settled = [kept.is_settled]
    for info in (ann, bob):
        kept.add(info, 0, connected=False)
    settled.append(kept.is_settled)
    kept.lost(ann.peer_id, 1)
    settled.append(kept.is_settled)
    kept.connected(bob.peer_id)
    settled.append(kept.is_settled)
    for now in (2, 3):  # the connection has ended, and then a dial has failed
        kept.lost(bob.peer_id, now)
        settled.append(kept.is_settled)
    assert settled == [True, False, False, True, False, True]
