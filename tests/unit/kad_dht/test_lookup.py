"""The lookup: whom it asks, when it is over, what it finds, and what liars can make it do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.kad_dht.keyspace import key_of
from libp2p.kad_dht.lookup import (
    ALPHA,
    BETA,
    MAX_ADDRESSES,
    MAX_ATTEMPTS,
    MAX_DOUBTFUL,
    MAX_HEARD_OF_ONE,
    MAX_KEPT_IN_MIND,
    MAX_PROBES,
    MAX_REFERRERS,
    MAX_REQUESTS,
    MIN_FALSE_REFERRALS,
    Lookup,
)
from libp2p.kad_dht.messages import PeerEntry
from libp2p.kad_dht.routing_table import BUCKET_SIZE
from libp2p.peer.id import ID

TARGET = key_of(b"target")
ADDRESS = b"\x04\x01\x02\x03\x04\x06\x0f\xa1"
OTHER = b"\x04\x01\x02\x03\x05\x06\x0f\xa1"


def a_peer(number: int) -> ID:
    return ID(b"\x12\x20" + sha256(b"%d" % number).digest())


def sorted_peers(numbers: Iterable[int]) -> list[ID]:
    return sorted(map(a_peer, numbers), key=lambda peer: peer.xor_id ^ TARGET)


PEERS = sorted_peers(range(400))
"""The closest one first."""


def entries(peers: Iterable[ID], address: bytes = ADDRESS) -> list[PeerEntry]:
    return [PeerEntry(peer, (address,)) for peer in peers]


Answer = list[PeerEntry] | None


class Net:
    """Peers that each know some others, and answer with the closest of them."""

    def __init__(self, peers: list[ID], known: int = 60, k: int = 20) -> None:
        self.peers = peers
        self.k = k
        self.asked: list[ID] = []
        self.dead: set[ID] = set()
        self.answers: dict[ID, Callable[[], list[PeerEntry]]] = {}
        self.probed: list[ID] = []
        self._knows = {
            peer: sorted(
                peers, key=lambda other: sha256(peer.to_bytes() + other.to_bytes()).digest()
            )[:known]
            + sorted(peers, key=lambda other: other.xor_id ^ peer.xor_id)[: k + 1]
            for peer in peers
        }

    def ask(self, peer: ID, is_probe: bool = False) -> Answer:
        """What a peer answers; None, if it is dead."""
        (self.probed if is_probe else self.asked).append(peer)
        target = peer.xor_id if is_probe else TARGET
        if peer in self.answers:
            return self.answers[peer]()
        if peer in self.dead or peer not in self._knows:
            return None
        near = sorted(set(self._knows[peer]) - {peer}, key=lambda other: other.xor_id ^ target)
        return entries(near[: self.k])


def run(lookup: Lookup, net: Net, late: int = 0) -> None:
    """Answer all requests, each ``late`` requests after it was made."""
    waiting: list[ID] = []
    while True:
        waiting += lookup.next_requests()
        if lookup.is_done:
            return
        assert waiting, "nothing is under way"
        peer = waiting.pop(min(late, len(waiting) - 1))
        answer = net.ask(peer, lookup.is_probe(peer))
        if answer is None:
            lookup.on_failure(peer)
        else:
            lookup.on_answer(peer, answer)
        assert_counts(lookup)


def is_over(lookup: Lookup) -> bool:
    """Whether it is done, once its probes have been answered with nothing new."""
    for peer in lookup.next_requests():
        assert lookup.is_probe(peer)
        lookup.on_answer(peer, [])
    return lookup.is_done


def assert_counts(lookup: Lookup) -> None:
    """What is under way is counted, and no path has a peer that has failed."""
    for path in lookup._paths:
        asked = [p for p in lookup._peers.values() if p.state.name == "ASKED" and p.path is path]
        assert path.under_way == len(asked)
        assert all(peer.state.name != "FAILED" for _, peer in path.nearest)
        assert path.nearest == sorted(path.nearest, key=lambda pair: pair[0])


NET_PEERS = PEERS[::2]


def found(lookup: Lookup) -> list[ID]:
    return [entry.peer_id for entry in lookup.closest()]


class TestFinding:
    @pytest.mark.parametrize("late", [0, 3, 100])
    def test_it_finds_the_closest(self, late: int) -> None:
        net = Net(NET_PEERS)
        lookup = Lookup(TARGET, entries(NET_PEERS[-20:]))
        run(lookup, net, late)
        assert found(lookup) == NET_PEERS[:20]
        statistics = lookup.statistics
        assert statistics.answered == len(net.asked) == len(set(net.asked))
        assert 0 <= statistics.requests - statistics.answered <= late  # of no use any more
        assert statistics.failed == statistics.slow == 0
        assert 1 < statistics.hops < 6
        assert statistics.heard >= statistics.requests

    def test_those_that_are_dead_are_replaced_by_the_next(self) -> None:
        net = Net(NET_PEERS)
        net.dead = set(NET_PEERS[1:60:3])
        lookup = Lookup(TARGET, entries(NET_PEERS[-20:]))
        run(lookup, net)
        assert found(lookup) == [peer for peer in NET_PEERS if peer not in net.dead][:20]
        assert lookup.statistics.failed == len([peer for peer in net.asked if peer in net.dead])

    def test_a_small_network_is_asked_all_through(self) -> None:
        net = Net(NET_PEERS[:7])
        lookup = Lookup(TARGET, entries(NET_PEERS[6:7]))
        run(lookup, net)
        assert found(lookup) == NET_PEERS[:7]

    def test_without_seeds_it_is_over(self) -> None:
        lookup = Lookup(TARGET, [])
        assert lookup.next_requests() == []
        assert lookup.is_done
        assert lookup.closest() == []
        assert lookup.statistics.hops == 0

    def test_if_nobody_can_be_reached_nothing_is_found(self) -> None:
        net = Net([])
        lookup = Lookup(TARGET, entries(PEERS[:30]))
        run(lookup, net)
        assert lookup.closest() == []
        assert lookup.statistics.failed == 30

    @given(st.sets(st.integers(0, 60), min_size=1), st.sets(st.integers(0, 60)), st.integers(0, 30))
    def test_any_few_peers_that_know_each_other(
        self, there: set[int], dead: set[int], late: int
    ) -> None:
        peers = sorted_peers(there)
        net = Net(peers)
        net.dead = set(map(a_peer, dead))
        lookup = Lookup(TARGET, entries(peers), k=5, alpha=3)
        run(lookup, net, late)
        assert found(lookup) == [peer for peer in peers if peer not in net.dead][:5]


class TestWindow:
    def test_the_closest_are_asked_first_and_few_at_once(self) -> None:
        lookup = Lookup(TARGET, entries(reversed(PEERS[:30])))
        assert lookup.next_requests() == PEERS[:ALPHA]
        assert lookup.next_requests() == []
        lookup.on_failure(PEERS[4])
        assert lookup.next_requests() == [PEERS[ALPHA]]
        lookup.on_answer(PEERS[5], entries(PEERS[40:50]))
        assert lookup.next_requests() == [PEERS[ALPHA + 1]]
        lookup.on_answer(PEERS[7], entries(PEERS[30:31]))
        assert not lookup.is_done

    def test_the_last_ones_are_asked_at_once(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:30]))
        lookup.next_requests()
        for peer in PEERS[: BETA - 1]:
            lookup.on_answer(peer, [])
        assert len(lookup.next_requests()) == BETA - 1
        lookup.on_answer(PEERS[BETA - 1], [])
        assert lookup.next_requests() == PEERS[ALPHA + BETA - 1 : BUCKET_SIZE]
        for peer in PEERS[BETA:BUCKET_SIZE]:
            assert not lookup.is_done
            lookup.on_answer(peer, [])
        assert lookup.is_done
        assert found(lookup) == PEERS[:BUCKET_SIZE]

    def test_only_one_that_may_be_in_the_result_is_asked(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:30]), k=2, alpha=10)
        assert lookup.next_requests() == PEERS[:2]


class TestSlowOnes:
    def test_another_one_is_asked_in_place_of_one_that_is_slow(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:30]))
        lookup.next_requests()
        lookup.on_slow(PEERS[0])
        lookup.on_slow(PEERS[0])
        assert lookup.next_requests() == [PEERS[ALPHA]]
        assert lookup.statistics.slow == 1
        assert_counts(lookup)

    def test_a_mute_peer_holds_up_nothing(self) -> None:
        net = Net(NET_PEERS)
        lookup = Lookup(TARGET, entries([NET_PEERS[0], *NET_PEERS[-20:]]))
        for peer in (waiting := lookup.next_requests()):
            if peer == NET_PEERS[0]:
                lookup.on_slow(peer)
            else:
                lookup.on_answer(peer, net.ask(peer) or [])
        assert NET_PEERS[0] in waiting
        run(lookup, net)
        assert found(lookup) == NET_PEERS[1:21]

    def test_its_answer_counts_if_it_comes(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:5]))
        assert lookup.next_requests() == PEERS[:5]
        lookup.on_slow(PEERS[0])
        for peer in PEERS[1:5]:
            lookup.on_answer(peer, [])
        assert is_over(lookup)
        assert found(lookup) == PEERS[1:5]
        lookup.on_answer(PEERS[0], entries(PEERS[7:8]))
        assert lookup.next_requests() == [PEERS[7]]
        assert found(lookup) == PEERS[:5]

    def test_it_may_fail_after_all(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:5]))
        lookup.next_requests()
        lookup.on_slow(PEERS[0])
        lookup.on_failure(PEERS[0])
        lookup.on_slow(PEERS[0])
        assert lookup.statistics.failed == lookup.statistics.slow == 1

    def test_if_hardly_anybody_has_answered_they_are_waited_for(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:4]))
        for peer in lookup.next_requests():
            lookup.on_slow(peer)
        for peer in PEERS[: BETA - 1]:
            assert not lookup.is_done
            lookup.on_answer(peer, [])
        assert not lookup.is_done
        lookup.on_answer(PEERS[BETA - 1], [])
        assert is_over(lookup)

    def test_results_of_others_are_ignored(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:5]))
        lookup.on_answer(PEERS[0], entries(PEERS[7:8]))  # not asked yet
        lookup.on_answer(PEERS[9], entries(PEERS[7:8]))
        lookup.on_failure(PEERS[9])
        lookup.on_failure(PEERS[0])
        lookup.on_slow(PEERS[9])
        assert lookup.next_requests() == PEERS[:5]
        lookup.on_answer(PEERS[0], [])
        lookup.on_answer(PEERS[0], entries(PEERS[7:8]))
        assert lookup.next_requests() == []


class TestProbes:
    def found_one_missing(self) -> Lookup:
        """A lookup for four peers, of which the second closest could not be reached."""
        lookup = Lookup(TARGET, entries(PEERS[:5]), k=4)
        lookup.next_requests()
        lookup.on_failure(PEERS[1])
        lookup.next_requests()
        for peer in (PEERS[0], *PEERS[2:5]):
            lookup.on_answer(peer, [])
        return lookup

    def test_the_last_found_are_asked_for_themselves(self) -> None:
        lookup = self.found_one_missing()
        probed = lookup.next_requests()
        assert probed == PEERS[3:5]
        assert all(map(lookup.is_probe, probed))
        assert not lookup.is_probe(PEERS[0])
        assert lookup.next_requests() == []
        lookup.on_answer(PEERS[4], entries([PEERS[1], PEERS[6]]))
        lookup.on_answer(PEERS[3], entries([PEERS[5]], OTHER))
        assert lookup.next_requests() == []
        assert lookup.is_done
        assert lookup.statistics.probes == 2
        assert lookup.statistics.requests == 7

    def test_closer_peers_that_they_name_are_asked(self) -> None:
        lookup = Lookup(TARGET, entries([*PEERS[:3], PEERS[9], PEERS[20]]), k=4)
        lookup.next_requests()
        lookup.on_failure(PEERS[1])
        lookup.next_requests()
        for peer in (PEERS[0], PEERS[2], PEERS[9], PEERS[20]):
            lookup.on_answer(peer, [])
        assert lookup.next_requests() == [PEERS[9], PEERS[20]]
        lookup.on_answer(PEERS[9], entries(PEERS[5:7]))
        lookup.on_failure(PEERS[20])  # it has answered before, and stays
        assert lookup.next_requests() == PEERS[5:7]
        for peer in PEERS[5:7]:
            lookup.on_answer(peer, [])
        # The last ones found are others now.
        assert lookup.next_requests() == PEERS[5:7]
        for peer in PEERS[5:7]:
            lookup.on_slow(peer)
        assert lookup.is_done
        assert found(lookup) == [PEERS[0], PEERS[2], PEERS[5], PEERS[6]]

    def test_if_nobody_closer_has_failed_nobody_is_probed(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:5]), k=2)
        lookup.next_requests()
        for peer in PEERS[:2]:
            lookup.on_answer(peer, [])
        assert lookup.is_done
        lookup = Lookup(TARGET, entries([PEERS[0], PEERS[1], PEERS[9]]), k=2, alpha=1)
        for peer in PEERS[:2]:
            lookup.next_requests()
            lookup.on_answer(peer, [])
        assert lookup.is_done

    def test_probes_are_limited(self) -> None:
        closest = a_peer(20_000)
        closest._xor_id = 1
        lookup = Lookup(0, entries([closest, PEERS[0], PEERS[1]]), k=2)
        assert closest in lookup.next_requests()
        lookup.on_failure(closest)
        made = iter(range(1, 10**6))

        def closer() -> list[PeerEntry]:
            peer = a_peer(20_000 + next(made))
            peer._xor_id = 2**240 - next(made)
            return entries([peer])

        lookup.on_answer(PEERS[0], [])
        lookup.on_answer(PEERS[1], [])
        waiting: list[ID] = []
        while not lookup.is_done:
            waiting += lookup.next_requests()
            for peer in waiting:
                lookup.on_answer(peer, closer() if lookup.is_probe(peer) else [])
            waiting.clear()
        assert lookup.statistics.probes == MAX_PROBES


class TestOtherAddresses:
    def test_of_a_peer_that_is_slow_are_tried_at_once(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:3]))
        lookup.next_requests()
        lookup.on_slow(PEERS[0])
        lookup.on_answer(PEERS[1], entries(PEERS[:1], OTHER))
        assert lookup.next_requests() == PEERS[:1]
        lookup.on_failure(PEERS[0])  # at the first address; it is asked at the second one
        assert_counts(lookup)
        assert lookup.next_requests() == []
        lookup.on_answer(PEERS[0], [])
        lookup.on_failure(PEERS[0])
        assert_counts(lookup)
        assert found(lookup) == PEERS[:2]

    def test_that_came_while_it_was_asked_are_tried_when_it_fails(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:3]))
        lookup.next_requests()
        lookup.on_answer(PEERS[1], entries(PEERS[:1], OTHER))
        assert lookup.next_requests() == []
        lookup.on_failure(PEERS[0])
        assert lookup.next_requests() == PEERS[:1]
        assert lookup.statistics.failed == 0
        lookup.on_failure(PEERS[0])
        assert lookup.statistics.failed == 1
        assert_counts(lookup)

    def test_or_when_it_is_slow(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:3]))
        lookup.next_requests()
        lookup.on_answer(PEERS[1], entries(PEERS[:1], OTHER))
        lookup.on_slow(PEERS[0])
        lookup.on_failure(PEERS[0])  # before it is asked again
        assert lookup.next_requests() == PEERS[:1]
        lookup.on_slow(PEERS[0])
        assert lookup.next_requests() == []
        assert_counts(lookup)

    def test_its_first_answer_counts(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:3]))
        lookup.next_requests()
        lookup.on_answer(PEERS[1], entries(PEERS[:1], OTHER))
        lookup.on_slow(PEERS[0])
        lookup.on_answer(PEERS[0], [])  # at the first address after all
        assert_counts(lookup)
        lookup.on_answer(PEERS[2], [])
        assert found(lookup) == PEERS[:3]


class TestLiars:
    def test_ten_thousand_peers_are_forty(self) -> None:
        made_up = entries(map(a_peer, range(1000, 11_000)))
        lookup = Lookup(TARGET, entries(PEERS[:1]))
        lookup.next_requests()
        lookup.on_answer(PEERS[0], iter(made_up))
        assert lookup.statistics.heard == 1 + MAX_HEARD_OF_ONE * BUCKET_SIZE

    def test_it_names_itself_and_us(self) -> None:
        own = PEERS[3]
        lookup = Lookup(TARGET, entries(PEERS[1:4]), own=own)
        assert lookup.next_requests() == PEERS[1:3]
        lookup.on_answer(PEERS[1], entries([own, PEERS[1], PEERS[1], PEERS[2]]))
        lookup.on_answer(PEERS[2], entries([own]))
        assert lookup.next_requests() == []
        assert lookup.is_done

    def test_one_that_names_peers_that_are_not_there_is_not_believed_for_long(self) -> None:
        net = Net(NET_PEERS)
        fakes = [peer for peer in PEERS if peer not in NET_PEERS][:40]
        net.answers = {NET_PEERS[-1]: lambda: entries(fakes)}
        lookup = Lookup(TARGET, entries(NET_PEERS[-20:]))
        run(lookup, net)
        assert found(lookup) == NET_PEERS[:20]
        assert lookup.statistics.failed < ALPHA + MIN_FALSE_REFERRALS

    def test_a_peer_whom_somebody_else_names_too_is_asked(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[20:22]))
        lookup.next_requests()
        lookup.on_answer(PEERS[20], entries(PEERS[:16]))
        for peer in lookup.next_requests():
            lookup.on_failure(peer)
        assert lookup.next_requests() == []  # the rest is believed no more
        lookup.on_answer(PEERS[21], entries([PEERS[0], PEERS[12]]))
        assert lookup.next_requests() == [PEERS[12]]
        lookup.on_answer(PEERS[12], [])
        assert lookup.next_requests() == [*PEERS[9:12], *PEERS[13:16]]  # nobody else is left

    def test_wrong_addresses_do_not_hide_a_peer(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[1:4]))
        lookup.next_requests()
        lookup.on_answer(PEERS[1], entries(PEERS[:1]))
        assert lookup.next_requests() == [PEERS[0]]
        lookup.on_failure(PEERS[0])
        lookup.on_answer(PEERS[2], entries(PEERS[:1]))
        assert lookup.next_requests() == []  # the same address again
        lookup.on_answer(PEERS[3], entries(PEERS[:1], OTHER))
        assert lookup.next_requests() == [PEERS[0]]
        assert lookup.entry(PEERS[0]) == PeerEntry(PEERS[0], (ADDRESS, OTHER))
        lookup.on_answer(PEERS[0], entries(PEERS[:1], b"to itself"))
        assert found(lookup) == PEERS[:4]
        assert lookup.entry(PEERS[100]) is None

    def test_a_peer_is_not_asked_for_ever(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[1:20]), alpha=20)
        asked = 0
        for number, peer in enumerate(lookup.next_requests()):
            lookup.on_answer(peer, entries(PEERS[:1], OTHER + bytes((number,))))
            for again in lookup.next_requests():
                lookup.on_failure(again)
                asked += again == PEERS[0]
        assert asked == MAX_ATTEMPTS
        assert is_over(lookup)

    def test_addresses_of_a_peer_are_limited(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[1:60]), alpha=60, k=60)
        for number, peer in enumerate(lookup.next_requests()):
            many = PeerEntry(PEERS[0], tuple(OTHER + bytes((number, n)) for n in range(9)))
            lookup.on_answer(peer, [many])
        entry = lookup.entry(PEERS[0])
        assert entry is not None
        assert len(entry.addrs) == MAX_ADDRESSES
        assert len(lookup._peers[PEERS[0]].referrers) == MAX_REFERRERS

    def test_peers_kept_in_mind_are_limited_to_the_closest(self) -> None:
        k, most = 2, 2 * MAX_KEPT_IN_MIND
        lookup = Lookup(TARGET, entries(PEERS[300:350]), k=k)
        assert len(lookup._peers) == most
        lookup.next_requests()
        lookup.on_answer(PEERS[300], entries([PEERS[399], PEERS[0], PEERS[1], PEERS[2]]))
        assert len(lookup._peers) == most
        assert lookup.next_requests() == PEERS[:2]
        assert lookup.entry(PEERS[399]) is None
        assert lookup.entry(PEERS[2]) is not None

    def test_requests_are_limited(self) -> None:
        # Each peer names two closer ones, which do the same: without a limit it would not end.
        lookup = Lookup(0, entries(PEERS[:1]), k=2)
        made = iter(range(10**6))

        def closer() -> list[PeerEntry]:
            peers = []
            for _ in range(4):
                peer = a_peer(10_000 + next(made))
                peer._xor_id = 2**250 - next(made)
                peers.append(peer)
            return entries(peers)

        waiting: list[ID] = []
        while not lookup.is_done:
            waiting += lookup.next_requests()
            lookup.on_answer(waiting.pop(), closer())
        assert lookup.statistics.requests == MAX_REQUESTS * 2
        assert lookup.next_requests() == []


class TestDisjointPaths:
    @pytest.mark.parametrize("late", [0, 5])
    def test_it_finds_the_closest_too(self, late: int) -> None:
        net = Net(NET_PEERS)
        net.dead = set(NET_PEERS[1:60:7])
        lookup = Lookup(TARGET, entries(NET_PEERS[-20:]), disjoint_paths=4)
        run(lookup, net, late)
        assert found(lookup) == [peer for peer in NET_PEERS if peer not in net.dead][:20]
        assert len(net.asked) == len(set(net.asked))

    def test_paths_share_no_answers(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[10:12]), disjoint_paths=2, k=4, alpha=4)
        assert lookup.next_requests() == PEERS[10:12]
        lookup.on_answer(PEERS[10], entries(PEERS[:4]))
        # The second path hears nothing of it: its only peer is still under way.
        assert lookup.next_requests() == PEERS[:2]
        lookup.on_answer(PEERS[11], entries([PEERS[0], *PEERS[5:8]]))
        # What the first path has asked is not asked again.
        assert lookup.next_requests() == PEERS[5:7]
        lookup.on_failure(PEERS[0])
        assert lookup.next_requests() == PEERS[2:3]

    def test_a_window_is_one_request_at_least(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[:20]), disjoint_paths=5, alpha=3)
        assert len(lookup.next_requests()) == 5

    def test_one_that_is_heard_of_twice_and_dropped_by_one_path_stays(self) -> None:
        lookup = Lookup(TARGET, entries(PEERS[350:352]), disjoint_paths=2, k=1)
        lookup.next_requests()
        for peer in PEERS[350:352]:
            lookup.on_answer(peer, entries([PEERS[300], PEERS[200]]))
        assert lookup._peers[PEERS[300]].lists == 2
        assert lookup.next_requests() == PEERS[200:201]
        lookup.on_answer(PEERS[200], entries(PEERS[:2]))
        for peer in PEERS[20:0:-1]:
            asked = lookup.next_requests()
            for other in asked:
                lookup.on_answer(other, entries([peer]))
        assert lookup.entry(PEERS[300]) is not None


class TestDoubtfulOnes:
    """Peers that only such have named of whose peers many do not answer."""

    def doubting(self, good: bool) -> Lookup:
        """A lookup for six, which have answered; the first has named closer ones that failed."""
        lookup = Lookup(TARGET, entries(PEERS[30:36]), k=6)
        assert lookup.next_requests() == PEERS[30:36]
        for peer in PEERS[31:36]:
            lookup.on_answer(peer, entries([PEERS[20]] if good else []))
        if good:
            assert lookup.next_requests() == PEERS[20:21]
            lookup.on_answer(PEERS[20], [])
        lookup.on_answer(PEERS[30], entries([*PEERS[:11], PEERS[20]]))
        asked = lookup.next_requests()
        assert asked == PEERS[:6]
        for peer in asked:
            lookup.on_failure(peer)
        assert lookup.statistics.failed > MIN_FALSE_REFERRALS
        return lookup

    def test_are_asked_in_the_end_if_some_have_answered(self) -> None:
        assert self.doubting(good=True).next_requests() == PEERS[6:11]

    def test_are_not_if_none_has(self) -> None:
        lookup = self.doubting(good=False)
        probed = lookup.next_requests()
        assert probed == PEERS[34:36]
        assert all(map(lookup.is_probe, probed))

    def test_only_so_many_are_asked(self) -> None:
        fakes = [a_peer(number) for number in range(5000, 5200)]
        lookup = Lookup(TARGET, entries(PEERS[380:384]), k=4)
        for peer in lookup.next_requests():
            lookup.on_answer(peer, entries(fakes[:8]))
            del fakes[:8]
        while asked := lookup.next_requests():
            for peer in asked:
                if lookup.is_probe(peer) or peer in PEERS:
                    lookup.on_answer(peer, entries(fakes[:8]))
                    del fakes[:8]
                else:
                    lookup.on_failure(peer)
        assert lookup.is_done
        assert lookup._doubtful <= MAX_DOUBTFUL * 4
