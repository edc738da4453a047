"""
The scheduler of the block store (sans-I/O): it shares a fixed number of turns among the peers.

A peer that asks for a turn gets it at once, or waits and is woken for it. A waiting peer that has
no work left gets no turn. Of two other waiting peers, the first of these rules that tells them
apart says which one is next:

1. a peer that starves: it never had a turn, or has waited longer than `STARVED_SECONDS`;
2. the peer with fewer turns that are going on;
3. the peer that has taken less, in bytes and turns. So a peer with a long wantlist gets its next
   turn after all that waited had theirs. A peer that comes back from a pause is counted as having
   taken as much as the peer that was served last;
4. the peer with more work, up to `MAX_WEIGHED_WORK`;
5. the peer with the higher score, then the one with the lower hash of its peer id. The hash is
   salted, so that nobody can choose a peer id that comes first.

A turn that is of no use unless blocks can be sent also waits for the limit of all peers together
(`RateLimiter`). One such turn goes on at a time, as its blocks may use up the limit.

The scheduler forgets a peer when it disconnects, not when its queue is empty: a peer whose queue is
empty now and then would else starve each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cmp_to_key
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from libp2p.bitswap.config import MAX_WEIGHED_WORK, STARVED_SECONDS

if TYPE_CHECKING:
    from libp2p.bitswap.serve.rate_limit import RateLimiter
    from libp2p.peer.id import ID

#: The least that a turn counts: asking a store costs something even if little is read.
_MIN_TURN_BYTES: Final = 32 * 1024

PeerOrder: TypeAlias = "Callable[[ID, ID], bool]"
"""Returns whether the first peer gets its turn before the second peer."""


@dataclass(frozen=True)
class Priorities:
    """
    The measures by which waiting peers are compared.

    :param pending: counts the look-ups and answers that a peer waits for.
    :param score: returns how useful a peer has been, at a time.
    :param order: if given, it decides alone between peers that have work.
    :param salt: makes the order of equal peers unforeseeable.
    """

    pending: Callable[[ID], int]
    score: Callable[[ID, float], int]
    order: PeerOrder | None
    salt: bytes


@dataclass(slots=True, eq=False)
class _Share:
    """
    The turns that one peer has had, and the turn that it waits for.

    Owner: libp2p.bitswap.serve.scheduler
    """

    salted: bytes
    """The salted hash of the peer id."""
    taken: float = 0.0
    """Bytes of its turns; raised to the scheduler's level when the peer begins to wait."""
    going_on: int = 0
    """Turns that the peer has begun and not ended."""
    served: bool = False
    """The peer has had a turn."""
    given: bool = False
    """The peer was woken for a turn and has not begun it."""
    asked_at: float = 0.0
    """When the peer began to wait, in seconds."""
    for_blocks: bool = False
    """The turn that the peer waits for is of no use unless blocks can be sent."""

    def starves(self, now: float) -> bool:
        return not self.served or now - self.asked_at > STARVED_SECONDS

    def accept(self) -> bool:
        """Begin the turn that the peer was woken for; return False if there is none."""
        given, self.given = self.given, False
        return given


class StoreScheduler:
    """
    Shares the turns at the block store among the peers.

    :param priorities: compare the peers that wait.
    :param wake: called with a waiting peer that has got a turn: its next `ask` succeeds.
    :param call_at: called with the time at which `share_out` is to be called.
    :param limits: say when blocks may be sent.
    :param turns: how many turns may go on at once.
    """

    def __init__(
        self,
        priorities: Priorities,
        *,
        wake: Callable[[ID], object],
        call_at: Callable[[float], object],
        limits: RateLimiter,
        turns: int,
    ) -> None:
        self._by = priorities
        self._wake = wake
        self._call_at = call_at
        self._limits = limits
        self._one_sender = self._limits.limits_total
        self._free = turns
        self._sender: ID | None = None  # the peer in a turn for blocks, if there is a limit for all
        self._shares: dict[ID, _Share] = {}
        self._waiting: dict[ID, _Share] = {}
        self._level = 0.0  # bytes that the peer which was served last had taken

    def ask(self, peer_id: ID, now: float, *, for_blocks: bool = True) -> bool:
        """
        Ask for a turn; return True if it begins now. Else the peer is woken when it has one.

        :param for_blocks: the turn is of no use unless blocks can be sent.
        """
        share = self._share(peer_id)
        if share.accept():
            return True
        if peer_id not in self._waiting:
            if self._begin_free(peer_id, share, for_blocks, now):
                return True
            share.asked_at = now
            share.taken = max(share.taken, self._level)
            self._waiting[peer_id] = share
        share.for_blocks = for_blocks
        self.share_out(now, but=peer_id)
        return share.accept()

    def ask_at_once(self, peer_id: ID, now: float) -> bool:
        """Begin a turn for blocks that can be sent at once, if no other peer waits for one."""
        if self._limits.peer_ready_at(peer_id, now) > now or not self._may_send(now):
            return False
        return self._begin_free(peer_id, self._share(peer_id), True, now)

    def end(self, peer_id: ID, now: float, size: int = 0) -> None:
        """End a turn in which blocks of ``size`` bytes were read."""
        share = self._shares.get(peer_id)
        if share is not None and share.going_on:  # else it was forgotten meanwhile
            share.taken += max(size, _MIN_TURN_BYTES)
            share.going_on -= 1
            self._free += 1
            if self._sender is not None and self._sender == peer_id:
                self._sender = None
        if self._waiting:
            self.share_out(now)

    def withdraw(self, peer_id: ID, now: float) -> None:
        """End the wait of a peer; a turn that it was woken for and has not begun goes to others."""
        if self._waiting.pop(peer_id, None) is None:
            share = self._shares.get(peer_id)
            if share is not None and share.accept():
                self.end(peer_id, now)

    def forget(self, peer_id: ID, now: float) -> None:
        """Drop a peer that has disconnected, and free its turns."""
        self._waiting.pop(peer_id, None)
        share = self._shares.pop(peer_id, None)
        if share is not None:
            self._free += share.going_on
        if self._sender == peer_id:
            self._sender = None
        self.share_out(now)

    def share_out(self, now: float, but: ID | None = None) -> None:
        """Give the free turns to waiting peers and wake them, except ``but``, which is awake."""
        while self._free and (peer_id := self._next(now)) is not None:
            share = self._waiting.pop(peer_id)
            self._begin(peer_id, share, share.for_blocks)
            share.given = True
            if peer_id != but:
                self._wake(peer_id)
        if self._one_sender and self._blocks_wait and not self._can_send(now):
            self._call_at(self._limits.total_ready_at(now))

    @property
    def is_contested(self) -> bool:
        """True if a peer waits for a turn, or a limit may make one wait."""
        return bool(self._waiting) or self._limits.limits_any

    def may_send(self, peer_id: ID, now: float) -> bool:
        """
        Return whether the limit of all peers lets blocks be sent in the turn that a peer has.

        A peer whose turn is for look-ups sends no blocks while others wait for a turn to send.
        """
        if not self._one_sender or self._sender == peer_id:
            return True
        return not self._blocks_wait and self._may_send(now)

    @property
    def _blocks_wait(self) -> bool:
        return any(share.for_blocks for share in self._waiting.values())

    def _share(self, peer_id: ID) -> _Share:
        share = self._shares.get(peer_id)
        if share is None:
            digest = blake2b(peer_id.to_bytes(), key=self._by.salt, digest_size=8).digest()
            share = self._shares[peer_id] = _Share(digest)
        return share

    def _begin_free(self, peer_id: ID, share: _Share, for_blocks: bool, now: float) -> bool:
        """Begin a turn that no other peer waits for, if there is one."""
        if not self._free or self._waiting or (for_blocks and not self._may_send(now)):
            return False
        share.taken = max(share.taken, self._level)
        self._begin(peer_id, share, for_blocks)
        return True

    def _begin(self, peer_id: ID, share: _Share, for_blocks: bool) -> None:
        if for_blocks and self._one_sender:
            self._sender = peer_id
        self._free -= 1
        share.going_on += 1
        share.served = True
        self._level = max(share.taken, self._level)

    def _may_send(self, now: float) -> bool:
        return not self._one_sender or (self._sender is None and self._can_send(now))

    def _can_send(self, now: float) -> bool:
        return self._limits.total_ready_at(now) <= now

    def _next(self, now: float) -> ID | None:
        """Choose the waiting peer that gets the next turn; drop those that have no work left."""
        pending = self._by.pending
        for peer_id in [peer_id for peer_id in self._waiting if not pending(peer_id)]:
            del self._waiting[peer_id]
        may_send = self._may_send(now)
        peers = [p for p, share in self._waiting.items() if may_send or not share.for_blocks]
        if self._by.order is not None:
            return min(peers, key=cmp_to_key(self._difference), default=None)
        return min(peers, key=lambda peer_id: self._rank(peer_id, now), default=None)

    def _rank(self, peer_id: ID, now: float) -> tuple[Any, ...]:
        share = self._waiting[peer_id]
        return (
            not share.starves(now),
            share.going_on,
            share.taken,
            -min(self._by.pending(peer_id), MAX_WEIGHED_WORK),
            -self._by.score(peer_id, now),
            share.salted,
        )

    def _difference(self, one: ID, other: ID) -> int:
        assert self._by.order is not None
        return -1 if self._by.order(one, other) else int(self._by.order(other, one))
