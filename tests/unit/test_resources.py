"""Who holds how much of what: limits that refuse, and limits that cut off where the most is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libp2p.resources import Resources, Scope


def cut_half(tree: Scope, name: str) -> Scope:
    """A scope that gives half of what it holds, at least 1, when it is cut."""
    scope = tree.open(name, cut=lambda: scope.release((scope.held + 1) // 2))
    return scope


def test_what_is_held_below_counts_above() -> None:
    host = Scope("host", 100)
    peer = host.open("peer")
    stream = peer.open("stream")
    stream.hold(30)
    peer.hold(10)
    assert (stream.held, peer.held, host.held) == (30, 40, 40)
    assert stream.room == 60
    stream.release(20)
    assert (stream.held, peer.held, host.held, host.peak) == (10, 20, 20, 40)


def test_what_does_not_fit_anywhere_above_is_refused() -> None:
    host = Scope("host", 100)
    first, second = host.open("first", 70), host.open("second")
    assert first.try_hold(70)
    assert not first.try_hold(1)
    assert not second.try_hold(31)
    assert second.try_hold(30)
    assert host.held == 100
    assert host.room == first.room == second.room == 0


def test_without_a_limit_there_is_always_room() -> None:
    scope = Scope("host")
    assert scope.room is None
    assert scope.try_hold(1 << 60)


def test_the_one_that_holds_the_most_is_cut() -> None:
    host = Scope("host", 100)
    small, large = cut_half(host, "small"), cut_half(host, "large")
    large.hold(70)
    small.hold(40)
    assert (small.held, large.held) == (40, 35)
    assert host.cuts == 1


def test_a_scope_may_be_cut_for_what_it_has_just_taken() -> None:
    host = Scope("host", 100)
    scope = cut_half(host, "only")
    scope.hold(150)
    assert scope.held == 75


def test_who_has_less_than_its_share_gets_it_from_the_others() -> None:
    host = Scope("host", 100)
    greedy, modest = cut_half(host, "greedy"), cut_half(host, "modest")
    assert greedy.claim(90)
    assert not greedy.claim(11)
    assert modest.claim(10)
    assert modest.claim(40)
    assert (greedy.held, modest.held) == (45, 50)
    assert modest.claim(5)
    assert not modest.claim(1)
    assert not greedy.claim(6)


def test_a_limit_of_its_own_is_no_bodys_share() -> None:
    host = Scope("host", 100)
    assert not host.claim(101)
    assert not Scope("host").open("peer", 10).claim(11)
    assert not host.open("peer", 10).claim(11)


def test_the_weight_decides_where_it_is_given() -> None:
    host = Scope("host", 100)
    useful = host.open("useful", cut=lambda: useful.release(useful.held), weigh=lambda: 0)
    other = cut_half(host, "other")
    other.hold(20)
    useful.hold(90)
    assert (useful.held, other.held) == (90, 10)


def test_a_limit_that_nobody_can_keep_is_left_exceeded() -> None:
    host = Scope("host", 10)
    stubborn = host.open("stubborn", cut=lambda: None)
    host.open("cannot be cut").hold(5)
    stubborn.hold(20)
    assert host.held == 25
    assert host.cuts == 1


def test_who_can_be_cut_is_found_at_any_depth() -> None:
    host = Scope("host", 100)
    peer = host.open("peer")
    stream = cut_half(peer, "stream")
    cut_half(peer, "idle")
    stream.hold(160)
    assert host.held == 80


def test_a_limit_below_is_kept_without_those_beside_it() -> None:
    host = Scope("host", 100)
    beside = cut_half(host, "beside")
    peer = host.open("peer", 10)
    stream = cut_half(peer, "stream")
    beside.hold(90)
    stream.hold(12)
    assert (beside.held, stream.held) == (90, 6)


def test_a_closed_scope_holds_nothing() -> None:
    host = Scope("host", 100)
    peer = host.open("peer")
    with peer.open("stream") as stream:
        stream.hold(50)
    assert peer.held == host.held == 0
    stream.close()
    host.close()  # the root of a tree has nothing to leave
    assert [child.name for child in host.statistics().children] == ["peer"]


def test_the_end_of_a_burst_is_told_once() -> None:
    falls: list[int] = []
    host = Scope("host")
    host.on_fall(100, lambda: falls.append(host.held))
    peer = host.open("peer")
    for change in (99, -99, 400, -299):  # too little, then not three quarters of it
        peer.hold(change)
    assert falls == []
    peer.hold(-1)
    assert falls == [100]
    peer.hold(-100)
    assert falls == [100, 0]
    peer.hold(50)
    peer.close()
    assert falls == [100, 0]


def test_the_end_of_a_burst_is_told_wherever_it_was() -> None:
    resources, falls = Resources(), [0]
    early = resources.scope("early")
    resources.on_fall(10, lambda: falls.append(1))
    for scope in (early, resources.scope("late"), resources.scope("of five bytes", each=5)):
        scope.hold(20)
        scope.hold(-20)
    assert sum(falls) == 3
    few = resources.scope("of five bytes")
    few.hold(1)
    few.hold(-1)
    assert sum(falls) == 3
    few.hold(2)
    few.hold(-2)
    assert sum(falls) == 4


def test_one_place_tells_all() -> None:
    resources = Resources()
    unread = resources.scope("unread", 100)
    assert resources.scope("unread") is unread
    unread.open("peer", 50).hold(7)
    told = resources.statistics()["unread"]
    assert (told.name, told.held, told.peak, told.limit, told.cuts) == ("unread", 7, 7, 100, 0)
    assert told.children[0].name == "peer"


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-50, 80))))
def test_limits_are_kept_and_sums_are_right(changes: list[tuple[int, int]]) -> None:
    host = Scope("host", 100)
    leaves = [cut_half(host.open(f"peer {n}", 60), "stream") for n in range(5)]
    for index, change in changes:
        leaf = leaves[index]
        leaf.hold(max(change, -leaf.held))
        assert host.held == sum(leaf.held for leaf in leaves) <= 100
        assert all(0 <= leaf.held <= 60 for leaf in leaves)


def test_limits_may_be_told_from_the_start() -> None:
    resources = Resources({"unread": 5})
    unread, queued = resources.scope("unread", 100), resources.scope("queued", 100)
    assert (unread.limit, queued.limit) == (5, 100)
