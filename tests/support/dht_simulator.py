"""
A network of the DHT on a virtual clock, up to 100,000 peers, out of the product's own cores.

No task, no socket and no real time: each peer has a `RoutingTable` and a `RequestHandler`, a lookup
is a `Lookup`, and what a driver would do is done by events on a heap. The same seed gives the same
results everywhere.

::

    network = SimulatedNetwork(Shape(peers=10_000, dead=0.2, lying=0.05), seed=1)
    result = network.lookup(b"any bytes")     # by a random honest peer; `asker=` names one
    result.found                              # peer ids, the closest one first
    result.recall                             # share of the true 20 closest that are among them
    result.statistics.requests                # what it cost
    result.seconds                            # of virtual time
    network.closest(b"any bytes")             # the truth: the closest living peers
    network.send(peer, 500)                   # so many records to a peer, on one stream
    network.requests, network.records         # counted so far

Peers exist from the start, with routing tables as they are after some hours: in each bucket random
ones of those that belong there. Tables are made when they are first used, which is what makes
100,000 peers possible. The dead ones have died since then, and nobody has noticed. With
``joined=True`` tables are empty instead, and `join` fills them by lookups as a real peer does.

Half of the dead refuse connections, the others are mute. Liars answer with what `LIES` has: each
liar always tells the same kind of lie.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from heapq import heappop, heappush
from itertools import count
from math import log
from random import Random
from statistics import mean
from typing import Final

from libp2p.kad_dht.diversity import without_crowds
from libp2p.kad_dht.keyspace import (
    KEY_BITS,
    key_of,
    key_of_peer,
    prefix_of_length,
    preimage,
)
from libp2p.kad_dht.lookup import ALPHA, MAX_HEARD_OF_ONE, SEEDS, Lookup, LookupStatistics
from libp2p.kad_dht.messages import Message, MessageType, PeerEntry, decode, encode
from libp2p.kad_dht.request_handler import RequestHandler
from libp2p.kad_dht.routing_table import (
    BUCKET_SIZE,
    MAX_PEERS_PER_GROUP,
    CheckPeer,
    RoutingTable,
)
from libp2p.peer.id import ID
from libp2p.records.validator import NamespacedValidator

REQUEST_TIMEOUT: Final = 10.0
SLOW_SECONDS: Final = 1.0
KEPT_TABLES: Final = 4096
"""Tables that are kept; others are made again, the same, when they are used again."""
FIRST_BYTES: Final = [
    n for n in range(1, 126) if n not in (10, 12, 17, 19, 38, 48, 53, 56, 73, 100)
]
"""Of the peers' public IP addresses."""


class Clock:
    """Virtual time, and what happens at which."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heappush(self._events, (self.now + seconds, next(self._numbers), action))

    def run_until(self, is_over: Callable[[], bool]) -> None:
        """Let time pass until it is over, or nothing can happen any more."""
        while self._events and not is_over():
            self.now, _, action = heappop(self._events)
            action()


@dataclass(frozen=True)
class Shape:
    """How many peers there are, and the shares of them that have died or lie."""

    peers: int
    dead: float = 0.0
    lying: float = 0.0
    k: int = BUCKET_SIZE
    joined: bool = False
    """Tables are filled by `SimulatedNetwork.join`, not from the start."""
    wire: bool = False
    """Messages are encoded and decoded."""


@dataclass(frozen=True)
class LookupResult:
    """What a lookup has found, and at what cost."""

    found: list[ID]
    truth: list[ID]
    statistics: LookupStatistics
    seconds: float

    @property
    def recall(self) -> float:
        """The share of the true closest peers that were found."""
        return len(set(self.found) & set(self.truth)) / len(self.truth)


@dataclass
class SimulatedPeer:
    """One peer of the network."""

    number: int
    peer_id: ID
    key: int
    address: bytes
    is_dead: bool = False
    lie: str = ""
    received: int = 0
    records: int = 0

    @property
    def entry(self) -> PeerEntry:
        return PeerEntry(self.peer_id, (self.address,))

    @property
    def answers(self) -> bool:
        """Whether it can be the result of a lookup: one that sends garbage is as good as dead."""
        return not self.is_dead and self.lie != "garbage"


def peer_number(number: int) -> ID:
    """A peer id that is as good as any."""
    return ID(b"\x12\x20" + sha256(b"peer %d" % number).digest())


def address_number(number: int) -> bytes:
    """A public address of its own: /ip4/…/tcp/4001."""
    digest = sha256(b"address %d" % number).digest()
    first = FIRST_BYTES[digest[0] % len(FIRST_BYTES)]
    return bytes((4, first, digest[1], digest[2], digest[3], 6, 0x0F, 0xA1))


class SimulatedNetwork:
    """See the module."""

    def __init__(self, shape: Shape, seed: int = 1) -> None:
        self.shape = shape
        self.clock = Clock()
        self.requests = 0
        """Questions that peers were sent by lookups."""
        self.records = 0
        self._seed = seed
        self._random = Random(seed)
        ids = map(peer_number, range(shape.peers))
        self.peers = sorted(
            (SimulatedPeer(n, i, key_of_peer(i), address_number(n)) for n, i in enumerate(ids)),
            key=lambda peer: peer.key,
        )
        self._keys = [peer.key for peer in self.peers]
        self._by_id = {peer.peer_id: peer for peer in self.peers}
        shuffled = self._random.sample(self.peers, len(self.peers))
        dying = round(shape.dead * shape.peers)
        for peer in shuffled[:dying]:
            peer.is_dead = True
        self.liars = shuffled[dying : dying + round(shape.lying * shape.peers)]
        for number, peer in enumerate(self.liars):
            peer.lie = list(LIES)[number % len(LIES)]
        self._liars_by_key = sorted(self.liars, key=lambda peer: peer.key)
        self.honest = [peer for peer in self.peers if not peer.is_dead and not peer.lie]
        self.attackers: list[SimulatedPeer] = []
        self._joined: dict[ID, RoutingTable] = {}
        self._tables = lru_cache(KEPT_TABLES)(self._filled_table)

    def add_attackers(self, target: bytes, number: int) -> list[SimulatedPeer]:
        """
        Put living liars around a target, closer than anybody else, all in one /24 network.

        They name each other. Honest peers have met all of them: each table was offered each.
        """
        key = key_of(target)
        added = []
        for n in range(number):
            made_up = _made_up(key ^ (n + 1), n).peer_id
            address = bytes((4, 99, 1, 1, n % 256, 6, n // 256, 1))
            peer = SimulatedPeer(-1 - n, made_up, key ^ (n + 1), address, lie="its_friends")
            added.append(peer)
            self._by_id[made_up] = peer
        self.attackers += added
        self._liars_by_key = added
        self._tables.cache_clear()
        return added

    # -- the truth --------------------------------------------------------------------------------

    def peer(self, peer_id: ID) -> SimulatedPeer:
        """Return a peer by its id."""
        return self._by_id[peer_id]

    def closest(self, target: bytes, wanted: int = 0) -> list[ID]:
        """Return the closest living peers of what ``target`` is hashed to, the closest first."""
        wanted = wanted or self.shape.k
        key = key_of(target)
        low, high = 0, len(self.peers)
        for bits in range(1, KEY_BITS + 1):
            start = (key >> (KEY_BITS - bits)) << (KEY_BITS - bits)
            first = bisect_left(self._keys, start, low, high)
            last = bisect_left(self._keys, start + (1 << (KEY_BITS - bits)), first, high)
            if sum(peer.answers for peer in self.peers[first:last]) < wanted:
                break
            low, high = first, last
        living = [peer for peer in self.peers[low:high] if peer.answers]
        living.sort(key=lambda peer: peer.key ^ key)
        return [peer.peer_id for peer in living[:wanted]]

    # -- tables -----------------------------------------------------------------------------------

    def table(self, peer_id: ID) -> RoutingTable:
        """Return a peer's routing table."""
        if self.shape.joined:
            return self._joined.setdefault(peer_id, RoutingTable(peer_id))
        return self._tables(peer_id)

    def _filled_table(self, peer_id: ID) -> RoutingTable:
        peer = self._by_id[peer_id]
        random = Random(f"{self._seed} {peer.number}")
        offered: list[SimulatedPeer] = []
        low, high = 0, len(self.peers)
        for bits in range(1, KEY_BITS + 1):
            start = (peer.key >> (KEY_BITS - bits)) << (KEY_BITS - bits)
            first = bisect_left(self._keys, start, low, high)
            last = bisect_left(self._keys, start + (1 << (KEY_BITS - bits)), first, high)
            # The peer is in one half of what it was in; the other half is before or behind it.
            bucket = range(low, first) or range(last, high)
            chosen = random.sample(bucket, min(len(bucket), self.shape.k))
            offered += [self.peers[index] for index in chosen]
            low, high = first, last
            if high - low == 1:
                break
        table = RoutingTable(peer_id)
        for other in [*self.attackers, *offered]:
            table.consider(other.peer_id, (other.address,), 0.0, verified=True)
        return table

    def join(self, peer_id: ID, via: ID) -> None:
        """Join by a peer that is known, as a driver does: itself is looked up, then each bucket."""
        table = self.table(peer_id)
        other = self._by_id[via]
        table.consider(via, (other.address,), self.clock.now, verified=True)
        self.lookup(peer_id.to_bytes(), asker=peer_id)
        self.refresh(peer_id)

    def refresh(self, peer_id: ID) -> None:
        """Do the refreshes that are due, and the checks of candidates."""
        table = self.table(peer_id)
        own = key_of_peer(peer_id)
        for length in table.due_refreshes(self.clock.now):
            seed = b"%d %d %f" % (self._seed, length, self.clock.now)
            self.lookup(preimage(prefix_of_length(own, length), length + 1, seed), asker=peer_id)
        for event in table.take_events():
            if isinstance(event, CheckPeer):
                candidate = self._by_id.get(event.peer)
                is_there = candidate is not None and not candidate.is_dead
                table.checked(event.peer, is_there, self.clock.now)

    # -- messages ---------------------------------------------------------------------------------

    def answer(self, peer: SimulatedPeer, request: Message, remote: ID) -> Message | None:
        """Return what a living peer answers; None, if it is garbage."""
        peer.received += 1
        if peer.lie:
            lied = LIES[peer.lie](self, peer, key_of(request.key), remote)
            return None if lied is None else Message(request.kind, closer=tuple(lied))
        handler = RequestHandler(self.table(peer.peer_id), None, None, NamespacedValidator)
        answer = handler.handle(remote, request, self.clock.now)
        if answer is not None and self.shape.joined:
            # Who asks is a server too, and so a candidate.
            asking = self._by_id[remote]
            self.table(peer.peer_id).consider(remote, (asking.address,), self.clock.now)
        return answer

    def send(self, peer_id: ID, records: int) -> bool:
        """Send records to a peer; return whether it is there."""
        peer = self._by_id[peer_id]
        if peer.is_dead:
            return False
        peer.records += records
        self.records += records
        return True

    def lookup(
        self,
        target: bytes,
        *,
        asker: ID | None = None,
        disjoint_paths: int = 1,
        slow_seconds: float = SLOW_SECONDS,
    ) -> LookupResult:
        """Look up the closest peers of a key, and wait for the end."""
        who = self._random.choice(self.honest).peer_id if asker is None else asker
        seeds = self.table(who).closest_entries(key_of(target), SEEDS * self.shape.k)
        lookup = Lookup(
            key_of(target), seeds, k=self.shape.k, disjoint_paths=disjoint_paths, own=who
        )
        running = _Running(self, who, target, lookup, slow_seconds)
        began = self.clock.now
        running.go_on()
        self.clock.run_until(lambda: lookup.is_done)
        self.table(who).refreshed(key_of(target), self.clock.now)
        found = [entry.peer_id for entry in lookup.closest()]
        truth = [peer for peer in self.closest(target, self.shape.k + 1) if peer != who]
        return LookupResult(found, truth[: self.shape.k], lookup.statistics, self.clock.now - began)

    def lookups(self, number: int, **options: int) -> list[LookupResult]:
        """Look up as many keys."""
        return [
            self.lookup(b"target %d %d" % (self._seed, n), **options)  # type: ignore[arg-type]
            for n in range(number)
        ]

    def latency(self) -> float:
        """Seconds until an answer comes: usually 30 to 300 ms, sometimes a second."""
        return min(self._random.lognormvariate(-2.3, 0.7), 2.0)

    def count_request(self) -> None:
        """A question has been sent, maybe to one who is not there."""
        self.requests += 1


class _Running:
    """A lookup with its requests under way: what a driver is in the product."""

    def __init__(
        self, network: SimulatedNetwork, asker: ID, target: bytes, lookup: Lookup, slow: float
    ) -> None:
        self._network = network
        self._asker = asker
        self._request = Message(MessageType.FIND_NODE, target)
        self._lookup = lookup
        self._slow = slow

    def go_on(self) -> None:
        for peer_id in self._lookup.next_requests():
            self._ask(peer_id)

    def _ask(self, peer_id: ID) -> None:
        network = self._network
        network.count_request()
        entry = self._lookup.entry(peer_id)
        peer = network._by_id.get(peer_id)
        request = self._request
        if self._lookup.is_probe(peer_id):
            request = Message(MessageType.FIND_NODE, peer_id.to_bytes())
        later = network.clock.after
        is_there = (
            peer is not None
            and entry is not None
            and peer.address in entry.addrs
            and not peer.is_dead
        )
        if peer is not None and is_there:
            wait = network.latency()
            later(wait, partial(self._receive, peer, request))
        else:
            # What is not there refuses the connection, or does not answer at all.
            wait = network.latency() if peer_id.to_bytes()[-1] & 1 else REQUEST_TIMEOUT
            later(wait, partial(self._fail, peer_id))
        if wait > self._slow:
            later(self._slow, partial(self._be_slow, peer_id))

    def _receive(self, peer: SimulatedPeer, request: Message) -> None:
        network = self._network
        answer = network.answer(peer, request, self._asker)
        if answer is None:
            self._fail(peer.peer_id)
            return
        if network.shape.wire:
            answer = decode(encode(answer))
        table = network.table(self._asker)
        table.consider(peer.peer_id, (peer.address,), network.clock.now, verified=True)
        table.touch(peer.peer_id, network.clock.now)
        first = answer.closer[: MAX_HEARD_OF_ONE * network.shape.k]
        usable = without_crowds(first, MAX_PEERS_PER_GROUP)
        self._lookup.on_answer(peer.peer_id, usable)
        self.go_on()

    def _fail(self, peer_id: ID) -> None:
        self._network.table(self._asker).remove(peer_id)
        self._lookup.on_failure(peer_id)
        self.go_on()

    def _be_slow(self, peer_id: ID) -> None:
        self._lookup.on_slow(peer_id)
        self.go_on()


# -- lies -----------------------------------------------------------------------------------------

Lie = Callable[[SimulatedNetwork, SimulatedPeer, int, ID], "Sequence[PeerEntry] | None"]


def _made_up(key: int, number: int) -> PeerEntry:
    """A peer that is not there, at a place of the liar's choice."""
    peer = ID(b"\x12\x20" + sha256(b"made up %d %d" % (key, number)).digest())
    peer._xor_id = key  # whoever has the time finds ids that are hashed to such a place
    return PeerEntry(peer, (address_number(10**9 + number),))


def closer_than_all(
    network: SimulatedNetwork, peer: SimulatedPeer, key: int, asker: ID
) -> list[PeerEntry]:
    """Peers that are not there, all of them closer to the target than any that is."""
    first = 50 * peer.number
    return [_made_up(key ^ (n + 1), n) for n in range(first, first + 40)]


@lru_cache(1)
def _ten_thousand() -> list[PeerEntry]:
    return [PeerEntry(peer_number(10**9 + n), (address_number(10**9 + n),)) for n in range(10_000)]


def far_too_many(
    network: SimulatedNetwork, peer: SimulatedPeer, key: int, asker: ID
) -> list[PeerEntry]:
    """10,000 peers that are not there."""
    return _ten_thousand()


def its_friends(
    network: SimulatedNetwork, peer: SimulatedPeer, key: int, asker: ID
) -> list[PeerEntry]:
    """The closest of the other liars, and nobody else."""
    liars = sorted(network._liars_by_key, key=lambda liar: liar.key ^ key)
    return [liar.entry for liar in liars[:20]]


def wrong_addresses(
    network: SimulatedNetwork, peer: SimulatedPeer, key: int, asker: ID
) -> list[PeerEntry]:
    """The right peers, at addresses that are not theirs."""
    entries = network.table(peer.peer_id).closest_entries(key)
    return [PeerEntry(e.peer_id, (address_number(10**9 + n),)) for n, e in enumerate(entries)]


def itself_and_who_asks(
    network: SimulatedNetwork, peer: SimulatedPeer, key: int, asker: ID
) -> list[PeerEntry]:
    """Nobody who could help."""
    return [peer.entry, network.peer(asker).entry] * 10


def garbage(network: SimulatedNetwork, peer: SimulatedPeer, key: int, asker: ID) -> None:
    """What is no message."""


LIES: Final[dict[str, Lie]] = {
    lie.__name__: lie
    for lie in (
        closer_than_all, far_too_many, its_friends, wrong_addresses, itself_and_who_asks, garbage,
    )
}  # fmt: skip
"""Kinds of lies."""


# -- figures --------------------------------------------------------------------------------------


def requests_in_theory(peers: int, k: int = BUCKET_SIZE, alpha: int = ALPHA) -> float:
    """
    Requests of a lookup in a network in which all are alive and honest.

    Each answer names the k closest of a part of the network that is k times as small: so log_k
    (peers / k) hops lead to the neighbourhood, alpha requests each; then the k closest are asked.
    """
    return k + alpha * max(0.0, log(peers / k) / log(k))


@dataclass(frozen=True)
class Figures:
    """Means over lookups."""

    recall: float
    perfect: float
    requests: float
    failed: float
    hops: float
    seconds: float
    most_requests: int

    @classmethod
    def of(cls, results: Sequence[LookupResult]) -> Figures:
        return cls(
            recall=mean(result.recall for result in results),
            perfect=mean(result.recall == 1 for result in results),
            requests=mean(result.statistics.requests for result in results),
            failed=mean(result.statistics.failed for result in results),
            hops=mean(result.statistics.hops for result in results),
            seconds=mean(result.seconds for result in results),
            most_requests=max(result.statistics.requests for result in results),
        )
