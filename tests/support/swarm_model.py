"""
A client's want tracker among model peers, on a clock that only the model moves.

A peer has a round-trip time, a rate, some blocks and manners. It sends what it was asked for by
priority, in pieces, and drops what is cancelled before it has begun to send it. The client asks
ahead as `get_blocks` does and takes every block at once, or in order.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from libp2p.bitswap.config import FIRST_READ_AHEAD, READ_AHEAD_BYTES
from libp2p.bitswap.want.tracker import Search, Unavailable, WantTracker
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from libp2p.bitswap.errors import PeerAnswer
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

MAX_STEPS = 100_000


@dataclass
class ModelPeer:
    """What a peer is like."""

    peer_id: ID
    rate: float = 100e6
    """Bytes per second."""
    round_trip: float = 0.001
    blocks: Collection[CID] | None = None
    """What it has; None for everything."""
    silent: bool = False
    """It reads, and says nothing."""
    lies: bool = False
    """It says HAVE and sends nothing."""
    stops_after: int | None = None
    """It sends so many blocks, then nothing any more."""
    hiccup: tuple[float, float] | None = None
    """It pauses at this time, for so many seconds."""
    hesitation: float = 0.0
    """Seconds by which its first presences come later."""
    piece: int = 16 * 1024
    """Bytes that it sends at once."""

    def has(self, cid: CID) -> bool:
        return self.blocks is None or cid in self.blocks


class _Server:
    """A peer at work."""

    def __init__(self, model: Swarm, peer: ModelPeer) -> None:
        self.model = model
        self.peer = peer
        self.queue: list[tuple[int, int, CID]] = []
        self.wanted: dict[CID, int] = {}
        self.sending = False
        self.sent = 0
        self.numbers = count()

    def receive(self, entries: Sequence[Entry]) -> None:
        if self.peer.silent:
            return
        presences: dict[CID, BlockPresenceType] = {}
        for entry in entries:
            if entry.cancel:
                self.wanted.pop(entry.cid, None)
            elif not self.peer.has(entry.cid):
                presences[entry.cid] = BlockPresenceType.DontHave
            elif entry.want_type is WantType.Have or self.peer.lies:
                presences[entry.cid] = BlockPresenceType.Have
            else:
                number = self.wanted[entry.cid] = next(self.numbers)
                heapq.heappush(self.queue, (-entry.priority, number, entry.cid))
        if presences:
            seconds = self.delay + 45 * len(presences) / self.peer.rate + self.peer.hesitation
            self.peer.hesitation = 0.0
            self.model.later(seconds, self._tell, presences)
        if not self.sending:
            self._send_next()

    @property
    def delay(self) -> float:
        return self.peer.round_trip / 2

    def _tell(self, presences: dict[CID, BlockPresenceType]) -> None:
        tracker, now = self.model.tracker, self.model.now
        tracker.bytes_arrived(self.peer.peer_id, 45 * len(presences), now)
        tracker.heard(self.peer.peer_id, 0)
        tracker.receive_presences(self.peer.peer_id, presences, now)

    def _send_next(self) -> None:
        self.sending = False
        while self.queue:
            _, number, cid = heapq.heappop(self.queue)
            if self.wanted.get(cid) == number:
                break
        else:
            return
        if self.peer.stops_after is not None and self.sent >= self.peer.stops_after:
            return
        del self.wanted[cid]
        self.sending = True
        self.sent += 1
        at = 0.0
        if self.peer.hiccup is not None and self.model.now >= self.peer.hiccup[0]:
            at = self.peer.hiccup[1]
            self.peer.hiccup = None
        left = self.model.block_size
        while left:
            size = min(left, self.peer.piece)
            left -= size
            at += size / self.peer.rate
            self.model.later(at + self.delay, self._arrive, size, None if left else cid)
        self.model.later(at, self._send_next)

    def _arrive(self, size: int, cid: CID | None) -> None:
        self.model.arrive(self.peer.peer_id, size, cid, len(self.wanted))


class Swarm:
    """The client, its peers and the time."""

    def __init__(self, peers: Iterable[ModelPeer], *, block_size: int = 256 * 1024) -> None:
        self.now = 1000.0
        self.block_size = block_size
        self.tracker = WantTracker()
        self.session = self.tracker.open_session()
        self.servers = {peer.peer_id: _Server(self, peer) for peer in peers}
        for peer_id in self.servers:
            self.tracker.add_peer(peer_id, local=True)
        self.duplicates = 0
        self.came: list[CID] = []
        self.failed: dict[CID, dict[ID, PeerAnswer]] = {}
        self.delivered: dict[ID, int] = dict.fromkeys(self.servers, 0)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._steps = 0
        self._waiting: dict[bytes, CID] = {}

    def later(self, seconds: float, action: Callable[..., None], *args: object) -> None:
        """Do something after a while."""
        call: Callable[[], None] = partial(action, *args)
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), call))

    def arrive(self, peer_id: ID, size: int, cid: CID | None, queued: int) -> None:
        """Bytes come from a peer, the last ones of a block if ``cid`` is given."""
        tracker = self.tracker
        tracker.bytes_arrived(peer_id, size, self.now)
        if cid is None:
            return
        tracker.heard(peer_id, queued * self.block_size)
        want = tracker.claim(peer_id, cid, self.block_size, self.now)
        if want is None:
            assert tracker.duplicate(peer_id, cid) is not None
            self.duplicates += 1
            return
        tracker.settle(want)
        self.delivered[peer_id] += 1
        del self._waiting[want.key]
        self.came.append(want.cid)

    def fetch(self, cids: Sequence[CID], *, ordered: bool = False) -> float:
        """Fetch blocks as `get_blocks` does; return how many seconds it took."""
        start = self.now
        todo = list(reversed(cids))
        done: set[CID] = set()
        taken = 0
        while len(self.came) + len(self.failed) < len(cids):
            done.update(self.came[len(done) :])
            if ordered:
                while taken < len(cids) and cids[taken] in done:
                    taken += 1
            else:
                taken = len(done)
            window = READ_AHEAD_BYTES // self.block_size if done else FIRST_READ_AHEAD
            held = len(cids) - len(todo) - taken
            if held <= window // 2:
                for _ in range(min(window - held, len(todo))):
                    cid = todo.pop()
                    self._waiting[cid.multihash] = cid
                    self.tracker.want(self.session, cid, self.now)
            self._apply()
            self._step()
        self._apply()
        return self.now - start

    def _step(self) -> None:
        self._steps += 1
        assert self._steps < MAX_STEPS, "it does not come to an end"
        deadline = self.tracker.timers.next
        if self._events and (deadline is None or self._events[0][0] <= deadline):
            self.now, _, action = heapq.heappop(self._events)
            action()
        else:
            assert deadline is not None, "nothing will ever happen"
            self.now = max(self.now, deadline)
            self.tracker.tick(self.now)

    def _apply(self) -> None:
        for peer_id in self.tracker.take_ready():
            server = self.servers[peer_id]
            while entries := self.tracker.take_message(peer_id):
                self.tracker.message_written(peer_id, self.now)
                self.later(server.delay, server.receive, entries)
        for outcome in self.tracker.take_outcomes():
            assert not isinstance(outcome, Search)
            if isinstance(outcome, Unavailable):
                self.failed[outcome.cid] = outcome.peers
