"""
The iterative lookup (sans-I/O): which peers are asked next for those closest to a key.

https://github.com/libp2p/specs/blob/master/kad-dht/README.md#peer-routing. Up to ``alpha`` requests
are under way, always to the closest peers that have not been asked: a new one starts when an answer
comes. Once the ``beta`` closest have answered, the rest of the ``k`` closest are asked at once. The
lookup is over when the ``k`` closest peers that can be reached have all answered. Peers that
answers name on the way count, and the next peer replaces one that fails.

An answer names ``k`` peers, and dead peers are among them. So even if every peer that answers knows
the neighbourhood well, the farthest of the closest living peers may be in no answer. If a peer has
failed that was closer than the last peer found, the last peers found are asked once more, for the
peers closest to themselves. Without these probes, one peer of 25 is missed where every fifth is
dead.

Answers may be lies. At most 2k peers of each answer count, and `diversity.without_crowds` leaves
out peers that one owner may have made up. If the other peers that a referrer has named do not
answer, a peer that only such referrers have named is asked last, if at all. If one referrer names
wrong addresses of a peer, the peer is asked at those that another one names. The number of requests
is limited.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from libp2p.kad_dht.keyspace import key_of_peer
from libp2p.kad_dht.messages import PeerEntry, bounded_addresses
from libp2p.kad_dht.routing_table import BUCKET_SIZE

if TYPE_CHECKING:
    from libp2p.peer.id import ID

#: Requests under way at once, and closest peers that have to answer before the last ones are asked
#: (the public network's numbers).
ALPHA: Final = 10
BETA: Final = 3

#: Peers of the routing table with which a lookup begins, as a multiple of ``k``. The lookup asks
#: the closest, and has the others at hand where many of the closest are dead.
SEEDS: Final = 3
#: Peers of one answer that count, as a multiple of ``k``: go-libp2p's number. A peer that sends
#: more wants to make work.
MAX_HEARD_OF_ONE: Final = 2
#: Peers that a path remembers, as a multiple of ``k``; it forgets the farthest first.
MAX_KEPT_IN_MIND: Final = 10
#: Requests of a lookup, as a multiple of ``k``. A lookup in a network of a million peers takes 4 k.
MAX_REQUESTS: Final = 20
#: Times that a peer is asked. It is asked again if an answer names other addresses after it failed.
MAX_ATTEMPTS: Final = 3
#: Peers that may be made up and are asked nevertheless, after all others, as a multiple of ``k``.
#: Where most peers are dead, honest peers that name them seem to lie.
MAX_DOUBTFUL: Final = 2
#: Of the last peers found, how many are asked for those closest to themselves, at once and in all.
PROBES_AT_ONCE: Final = 2
MAX_PROBES: Final = 6
#: Referrers that are remembered for each peer: the peers that have named it.
MAX_REFERRERS: Final = 8
#: A referrer is doubtful once so many of the peers that it named have failed or not answered yet,
#: and these are more than two thirds of those that were asked. Peers that only doubtful referrers
#: have named have to wait: they may be made up.
MIN_FALSE_REFERRALS: Final = 5
#: Addresses of one peer that are put together from several answers.
MAX_ADDRESSES: Final = 32

_distance = itemgetter(0)


class _State(Enum):
    HEARD = auto()
    ASKED = auto()
    SLOW = auto()
    ANSWERED = auto()
    FAILED = auto()


#: A request is under way.
_WAITING: Final = (_State.ASKED, _State.SLOW)


class _Peer:
    """What a lookup knows of a peer."""

    __slots__ = (
        "addresses_tried", "attempts", "bad_referrals", "depth", "distance", "entry",
        "good_referrals", "is_probed", "lists", "open_referrals", "path", "referrers", "state",
        "under_way",
    )  # fmt: skip

    def __init__(self, entry: PeerEntry, distance: int, depth: int) -> None:
        self.entry = entry
        self.distance = distance
        self.depth = depth
        self.state = _State.HEARD
        self.attempts = 0
        self.addresses_tried = 0
        self.under_way = 0
        self.is_probed = False
        self.path: _Path  # the path by which it was asked
        self.lists = 0
        self.referrers: list[_Peer] = []
        self.good_referrals = 0
        self.bad_referrals = 0
        self.open_referrals = 0

    def become(self, state: _State) -> None:
        """Take a state, and tell the referrers of this peer."""
        opened = (state in _WAITING) - (self.state in _WAITING)
        self.state = state
        for referrer in self.referrers:
            referrer.judge(state, opened)

    def judge(self, state: _State, opened: int) -> None:
        """Note the new state of a peer that this peer has named."""
        self.open_referrals += opened
        if state is _State.ANSWERED:
            self.good_referrals += 1
        elif state is _State.FAILED:
            self.bad_referrals += 1

    def ask(self, path: _Path) -> None:
        self.become(_State.ASKED)
        self.path = path
        self.attempts += 1
        self.under_way += 1
        self.addresses_tried = len(self.entry.addrs)

    def probe(self) -> None:
        self.is_probed = True

    def be_slow(self) -> None:
        self.become(_State.HEARD if self.can_be_asked_again else _State.SLOW)

    def finish_one(self) -> None:
        self.under_way -= 1

    @property
    def can_be_asked_again(self) -> bool:
        """Whether an address is known at which the peer was not asked yet."""
        return self.attempts < MAX_ATTEMPTS and len(self.entry.addrs) > self.addresses_tried

    def join(self) -> None:
        self.lists += 1

    def leave(self) -> None:
        self.lists -= 1

    @property
    def is_doubtful(self) -> bool:
        """Whether too many of the peers that this peer has named have not answered."""
        doubts = self.bad_referrals + self.open_referrals
        return doubts >= MIN_FALSE_REFERRALS and doubts > 2 * self.good_referrals

    @property
    def is_credible(self) -> bool:
        """Whether the peer was known before, or a referrer that is not doubtful has named it."""
        return not self.referrers or not all(referrer.is_doubtful for referrer in self.referrers)

    @property
    def may_be_there(self) -> bool:
        """Whether a referrer of this peer has named another peer that answered."""
        return any(referrer.good_referrals for referrer in self.referrers)

    def named_by(self, referrer: _Peer, entry: PeerEntry) -> None:
        """Note that ``referrer`` has named this peer; with new addresses it may be asked again."""
        if referrer not in self.referrers and len(self.referrers) < MAX_REFERRERS:
            self.referrers.append(referrer)
            referrer.judge(self.state, self.state in _WAITING)
        known = self.entry.addrs
        new = [address for address in entry.addrs if address not in known]
        if not new or self.state is _State.ANSWERED or len(known) >= MAX_ADDRESSES:
            return
        addrs = bounded_addresses(entry.peer_id, [*known, *new][:MAX_ADDRESSES])
        self.entry = PeerEntry(entry.peer_id, addrs, self.entry.connection)
        if self.state in (_State.FAILED, _State.SLOW) and self.can_be_asked_again:
            self.become(_State.HEARD)


class _Path:
    """The peers that one path knows; ``nearest`` has them by distance, without failed ones."""

    def __init__(self, most: int) -> None:
        self.nearest: list[tuple[int, _Peer]] = []
        self.under_way = 0
        self._most = most

    def add(self, peer: _Peer) -> _Peer | None:
        """Add a peer; return the peer that had to leave for it, which may be the same one."""
        at = bisect_left(self.nearest, peer.distance, key=_distance)
        if at < len(self.nearest) and self.nearest[at][1] is peer:
            return None
        peer.join()
        self.nearest.insert(at, (peer.distance, peer))
        if len(self.nearest) <= self._most:
            return None
        dropped = self.nearest.pop()[1]
        dropped.leave()
        return dropped

    def drop(self, peer: _Peer) -> None:
        at = bisect_left(self.nearest, peer.distance, key=_distance)
        if at < len(self.nearest) and self.nearest[at][1] is peer:
            del self.nearest[at]
            peer.leave()

    def asks_more(self, by: int) -> None:
        self.under_way += by


@dataclass(frozen=True, slots=True)
class LookupStatistics:
    """
    What a lookup has cost.

    ``hops`` is the number of answers that led one by one to the closest peer. ``slow`` counts
    requests whose answer was not waited for. ``probes`` counts requests for the peers closest to
    the asked one.
    """

    requests: int
    probes: int
    answered: int
    failed: int
    slow: int
    heard: int
    hops: int


class Lookup:
    """
    One lookup: call `next_requests` at first and after each result, until `is_done`.

    :param target: the key.
    :param seeds: the closest peers that are known; none of them counts as made up.
    :param own: this peer, which is never asked.
    :param disjoint_paths: so many searches that share no answer: a liar misleads only one of them.
        Each costs about as much as a lookup.
    """

    def __init__(
        self,
        target: int,
        seeds: Iterable[PeerEntry],
        *,
        k: int = BUCKET_SIZE,
        alpha: int = ALPHA,
        beta: int = BETA,
        disjoint_paths: int = 1,
        own: ID | None = None,
    ) -> None:
        self.target = target
        paths = max(disjoint_paths, 1)
        self._k = k
        self._first_window = max(alpha // paths, 1)
        self._last_window = max(k // paths, 1)
        self._beta = beta
        self._own = own
        self._peers: dict[ID, _Peer] = {}
        self._answered: list[tuple[int, _Peer]] = []
        self._paths = [_Path(MAX_KEPT_IN_MIND * k) for _ in range(paths)]
        self._probing: set[ID] = set()
        self._closest_missed: int | None = None
        self._doubtful = 0
        self._requests = self._probes = self._failed = self._slow = self._heard = 0
        self._start(seeds)

    def _start(self, seeds: Iterable[PeerEntry]) -> None:
        entries = {entry.peer_id: entry for entry in seeds if entry.peer_id != self._own}
        nearest = sorted(
            entries.values(), key=lambda entry: key_of_peer(entry.peer_id) ^ self.target
        )
        for number, entry in enumerate(nearest):
            peer = _Peer(entry, key_of_peer(entry.peer_id) ^ self.target, depth=1)
            self._peers[entry.peer_id] = peer
            self._hear(self._paths[number % len(self._paths)], peer)

    # -- what to do -------------------------------------------------------------------------------

    def next_requests(self) -> list[ID]:
        """
        Return the peers to ask now; `entry` has the addresses of each.

        A peer for which `is_probe` is true is asked for the peers closest to itself.
        """
        chosen: list[ID] = []
        for path in self._paths:
            near = self._nearest(path)
            closest = near[: self._beta]
            is_found = all(peer.state is _State.ANSWERED for peer in closest)
            window = self._last_window if is_found else self._first_window
            for peer in near:
                if path.under_way >= window or self._is_exhausted:
                    break
                if peer.state is _State.HEARD:
                    self._doubtful += not peer.is_credible
                    peer.ask(path)
                    path.asks_more(1)
                    self._requests += 1
                    chosen.append(peer.entry.peer_id)
        if not chosen and all(map(self._is_path_done, self._paths)):
            for peer in self._to_probe():
                peer.probe()
                self._probing.add(peer.entry.peer_id)
                self._requests += 1
                self._probes += 1
                chosen.append(peer.entry.peer_id)
        return chosen

    def is_probe(self, peer: ID) -> bool:
        """
        Return whether a peer that `next_requests` has named is asked for the peers closest to
        itself.

        Such a peer is sent FIND_NODE with its own id. The others are sent the lookup's request.
        """
        return peer in self._probing

    @property
    def is_done(self) -> bool:
        """
        Whether nothing is left to be asked or waited for.

        Slow requests and useless ones may still be under way: the caller cancels them.
        """
        return (
            not self._probing and all(map(self._is_path_done, self._paths)) and not self._to_probe()
        )

    @property
    def _is_exhausted(self) -> bool:
        return self._requests >= MAX_REQUESTS * self._k

    def _to_probe(self) -> list[_Peer]:
        """Return the last peers found, if one of the closest peers may be in no answer."""
        found = self._answered[: self._k]
        missed = self._closest_missed
        if missed is None or not found or self._probing or self._is_exhausted:
            return []
        if self._probes >= MAX_PROBES or (len(found) == self._k and missed > found[-1][0]):
            return []
        return [peer for _, peer in found[-PROBES_AT_ONCE:] if not peer.is_probed]

    def _is_path_done(self, path: _Path) -> bool:
        for peer in self._nearest(path):
            if peer.state is _State.ASKED:
                return False
            if peer.state is _State.HEARD and not self._is_exhausted:
                return False
        # With fewer than ``beta`` answers, the lookup waits for slow peers.
        enough = len(self._answered) >= self._beta
        return enough or all(peer.state is not _State.SLOW for _, peer in path.nearest)

    def _nearest(self, path: _Path) -> list[_Peer]:
        """Return the k closest peers that may become the result, asked or not."""
        near: list[_Peer] = []
        doubtful: list[_Peer] = []
        for _, peer in path.nearest:
            if peer.state is _State.SLOW:
                continue
            if peer.state is _State.HEARD and not peer.is_credible:
                doubtful.append(peer)
                continue
            near.append(peer)
            if len(near) == self._k:
                break
        left = MAX_DOUBTFUL * self._k - self._doubtful
        if doubtful and left > 0 and all(peer.state is _State.ANSWERED for peer in near):
            if len(near) == self._k:  # only peers with a referrer that was right once
                doubtful = [peer for peer in doubtful if peer.may_be_there]
            near = sorted([*near, *doubtful[:left]], key=lambda peer: peer.distance)[: self._k]
        return near

    # -- what has happened ------------------------------------------------------------------------

    def on_answer(self, peer: ID, closer: Iterable[PeerEntry]) -> None:
        """Take an answer of a peer that `next_requests` has returned; others are ignored."""
        known = self._peers.get(peer)
        if known is None:
            return
        if peer in self._probing:
            self._probing.remove(peer)
        elif known.under_way and known.state is not _State.ANSWERED:
            if known.state is _State.ASKED:
                known.path.asks_more(-1)
            known.finish_one()
            known.become(_State.ANSWERED)
            insort(self._answered, (known.distance, known), key=_distance)
        else:
            return
        for entry in islice(closer, MAX_HEARD_OF_ONE * self._k):
            if entry.peer_id != peer and entry.peer_id != self._own:
                self._named(entry, known, known.path)

    def on_failure(self, peer: ID) -> None:
        """Take that a peer cannot be reached, did not answer in time, or sent garbage."""
        known = self._peers.get(peer)
        if known is None or not known.under_way or known.state is _State.ANSWERED:
            self._probing.discard(peer)
            return
        known.finish_one()
        if known.state is _State.HEARD or known.under_way:
            return  # it is to be asked, or is asked, at other addresses
        if known.state is _State.ASKED:
            known.path.asks_more(-1)
        if known.can_be_asked_again:
            known.become(_State.HEARD)
            return
        known.become(_State.FAILED)
        self._failed += 1
        self._miss(known)
        for path in self._paths:
            path.drop(known)

    def on_slow(self, peer: ID) -> None:
        """
        Wait for a peer no more, but take its answer if one comes.

        Another peer is asked in its place. The caller calls this after a time in which most peers
        answer, long before the request's time-out.
        """
        self._probing.discard(peer)
        known = self._peers.get(peer)
        if known is not None and known.state is _State.ASKED:
            known.be_slow()
            known.path.asks_more(-1)
            self._slow += 1
            self._miss(known)

    def _miss(self, peer: _Peer) -> None:
        if self._closest_missed is None or peer.distance < self._closest_missed:
            self._closest_missed = peer.distance

    def _named(self, entry: PeerEntry, referrer: _Peer, path: _Path) -> None:
        peer = self._peers.get(entry.peer_id)
        if peer is None:
            distance = key_of_peer(entry.peer_id) ^ self.target
            peer = self._peers[entry.peer_id] = _Peer(entry, distance, referrer.depth + 1)
        peer.named_by(referrer, entry)
        if peer.state is not _State.FAILED:
            self._hear(path, peer)

    def _hear(self, path: _Path, peer: _Peer) -> None:
        self._heard += 1
        dropped = path.add(peer)
        if dropped is not None and dropped.state is _State.HEARD and not dropped.lists:
            del self._peers[dropped.entry.peer_id]

    # -- what has come of it ----------------------------------------------------------------------

    def closest(self) -> list[PeerEntry]:
        """Return the k closest peers that have answered, the closest one first."""
        return [peer.entry for _, peer in self._answered[: self._k]]

    def entry(self, peer: ID) -> PeerEntry | None:
        """Return a peer of this lookup with all addresses that were named for it."""
        known = self._peers.get(peer)
        return None if known is None else known.entry

    @property
    def statistics(self) -> LookupStatistics:
        return LookupStatistics(
            requests=self._requests,
            probes=self._probes,
            answered=len(self._answered),
            failed=self._failed,
            slow=self._slow,
            heard=self._heard,
            hops=self._answered[0][1].depth if self._answered else 0,
        )
