"""Which connections go when there are too many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from libp2p.network.connection_manager import ConnectionManager
from libp2p.network.tag_store import TagStore, upsert_add, upsert_bounded, upsert_set
from tests.support.identities import peer_id_of

if TYPE_CHECKING:
    from libp2p.peer.id import ID

A, B, C = map(peer_id_of, "ABC")


@dataclass
class Connection:
    name: str
    active_at: float = 0.0
    is_initiator: bool = False
    opened_at: float = 0.0

    @property
    def peer_id(self) -> ID:
        return peer_id_of(self.name)


def chosen(manager: ConnectionManager, *connections: Connection, count: int = 10) -> list[str]:
    return [c.name for c in manager.choose(connections, count, idle_since=10)]


def test_the_longest_idle_go_first() -> None:
    busy, idle, idler = Connection("busy", 11), Connection("idle", 10), Connection("idler", 3)
    assert chosen(ConnectionManager(max_tagged=100), busy, idle, idler) == ["idler", "idle"]
    assert chosen(ConnectionManager(max_tagged=100), busy, idle, idler, count=1) == ["idler"]


def test_what_this_side_has_dialled_goes_after_strangers() -> None:
    manager = ConnectionManager(max_tagged=100)
    dialled, stranger = Connection("dialled", 1, is_initiator=True), Connection("stranger", 9)
    assert chosen(manager, dialled, stranger) == ["stranger", "dialled"]
    assert manager.choose([dialled, stranger], 2, 10, inbound=True) == [stranger]


def test_the_newest_go_first_where_that_is_asked_for() -> None:
    old, new = Connection("old", 1, opened_at=0), Connection("new", 2, opened_at=2)
    assert ConnectionManager(max_tagged=100).choose([old, new], 1, 10, newest=True) == [new]


def test_tags_add_up_and_can_be_taken_back() -> None:
    manager = ConnectionManager(max_tagged=100)
    first, second = Connection("first"), Connection("second")
    manager.tag_peer(first.peer_id, "blocks", 5)
    manager.tag_peer(first.peer_id, "friend", 5)
    manager.tag_peer(second.peer_id, "blocks", 7)
    assert manager.value_of(first.peer_id) == 10
    assert chosen(manager, first, second) == ["second", "first"]
    manager.untag_peer(first.peer_id, "friend")
    manager.untag_peer(first.peer_id, "unknown")
    assert chosen(manager, first, second) == ["first", "second"]
    manager.untag_peer(first.peer_id, "blocks")
    manager.untag_peer(first.peer_id, "blocks")
    assert manager.value_of(first.peer_id) == 0


def test_services_are_asked_what_a_peer_is_worth(caplog: pytest.LogCaptureFixture) -> None:
    manager = ConnectionManager(max_tagged=100)
    first, second = Connection("first"), Connection("second")

    def estimate(peer_id: ID) -> int:
        return 3 if peer_id == first.peer_id else 1

    def fail(peer_id: ID) -> int:
        raise ValueError("a user's mistake")

    manager.add_estimate(fail)
    manager.add_estimate(estimate)
    manager.tag_peer(second.peer_id, "friend", 1)
    assert chosen(manager, first, second) == ["second", "first"]
    assert manager.value_of(first.peer_id) == 3
    assert len(caplog.records) == 1
    manager.remove_estimate(estimate)
    manager.remove_estimate(estimate)
    assert chosen(manager, first, second) == ["first", "second"]


def test_protected_peers_never_go() -> None:
    manager = ConnectionManager(max_tagged=100)
    friend = Connection("friend")
    manager.protect(friend.peer_id, "friend")
    manager.protect(friend.peer_id, "relay")
    assert manager.is_protected(friend.peer_id)
    assert manager.is_protected(friend.peer_id, "relay")
    assert not manager.is_protected(friend.peer_id, "other")
    assert chosen(manager, friend) == []
    assert manager.unprotect(friend.peer_id, "relay")
    assert not manager.unprotect(friend.peer_id, "friend")
    assert chosen(manager, friend) == ["friend"]


def test_tags_are_bounded() -> None:
    manager = ConnectionManager(max_tagged=2)
    for name in ("a", "b", "c"):
        manager.tag_peer(peer_id_of(name), "met", 1)
    assert [manager.value_of(peer_id_of(name)) for name in ("a", "b", "c")] == [0, 1, 1]


def test_values_that_decay() -> None:
    now = [100.0]
    manager = ConnectionManager(max_tagged=2)
    tag = manager.decaying_tag(10, lambda: now[0])
    tag.bump(A, 80)
    assert manager.value_of(A) == 80
    now[0] += 10
    assert manager.value_of(A) == 40
    tag.bump(A, 10)
    now[0] += 20
    assert manager.value_of(A) == 12
    tag.bump(B, 1)
    tag.bump(C, 1)
    assert [manager.value_of(peer) for peer in (A, B, C)] == [0, 1, 1]
    tag.remove(B)
    tag.remove(B)
    assert manager.value_of(B) == 0
    tag.close()
    assert manager.value_of(C) == 0
    with pytest.raises(ValueError, match="half_life"):
        manager.decaying_tag(0, lambda: 0.0)


def test_a_tag_is_changed_by_a_function() -> None:
    manager = ConnectionManager(max_tagged=2)
    manager.upsert_tag(A, "x", upsert_add(5))
    manager.upsert_tag(A, "x", upsert_bounded(10, 0, 7))
    assert manager.get_tag_info(A) == (7, {"x": 7})
    manager.upsert_tag(A, "x", upsert_set(1))
    assert manager.value_of(A) == 1
    store = TagStore()
    store.tag_peer(B, "y", 3)
    assert store.get_tag_value(B) == 3
