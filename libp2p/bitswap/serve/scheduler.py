"""
Whose turn it is at the block store (sans-I/O): so many at once, and no peer keeps another waiting.

A peer asks and gets its turn at once, or is woken when it has one. Of the peers that wait, the
first difference decides:

1. one that has no work left gets no turn;
2. one that starves comes first: it was never served, or has waited longer than `STARVED_SECONDS`;
3. fewer turns that are going on;
4. less taken before, in bytes and turns: a peer with a long wantlist gets its next turn when all
   that waited had theirs. A peer that comes back from a pause starts with as much as the one that
   was served last;
5. more work, up to `MAX_WEIGHED_WORK`;
6. a higher score; then a hash of the peer id that others cannot foresee.

A turn that can only be used for blocks waits for the limit of all peers together (`RateLimiter`)
too, and there is one such turn at a time: its blocks may use up the limit.

What is known of a peer stays until it disconnects, so that one whose queue runs empty now and then
does not pass for one that was never served.
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

#: What a turn counts in which little is read: asking a store costs something, too.
_MIN_TURN_BYTES: Final = 32 * 1024

PeerOrder: TypeAlias = "Callable[[ID, ID], bool]"
"""Returns whether it is the first one's turn before the second one's."""


@dataclass(frozen=True)
class Priorities:
    """
    What decides between peers that wait.

    :param pending: counts what a peer waits for.
    :param score: how useful a peer has been, at a time.
    :param order: decides alone between peers that have work.
    :param salt: makes the order of equal peers unforeseeable.
    """

    pending: Callable[[ID], int]
    score: Callable[[ID, float], int]
    order: PeerOrder | None
    salt: bytes


class _Share:
    """
    The turns that one peer has had, and the turn that it waits for.

    Owner: libp2p.bitswap.serve.scheduler
    """

    __slots__ = ("asked_at", "for_blocks", "given", "going_on", "salted", "served", "taken")

    def __init__(self, salted: bytes) -> None:
        self.salted = salted
        self.taken = (
            0.0  # bytes; never less than the scheduler's level when the peer begins to wait
        )
        self.going_on = 0
        self.served = False
        self.given = False  # a turn that the peer has not begun yet
        self.asked_at = 0.0
        self.for_blocks = False  # the turn that it waits for

    def starves(self, now: float) -> bool:
        return not self.served or now - self.asked_at > STARVED_SECONDS

    def accept(self) -> bool:
        """Return whether the peer has been given a turn, which is its own from now on."""
        given, self.given = self.given, False
        return given


class StoreScheduler:
    """
    A bounded number of turns, shared fairly.

    :param priorities: what decides between peers that wait.
    :param wake: called with a peer that had to wait and whose turn it is now: its next `ask`
        succeeds.
    :param call_at: called with the time at which `share_out` is to be called.
    :param limits: when blocks may be sent.
    :param turns: how many there are.
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
        self._sender: ID | None = None  # whose turn is for blocks, if there is but one
        self._shares: dict[ID, _Share] = {}
        self._waiting: dict[ID, _Share] = {}
        self._level = 0.0  # what the peer had taken that was served last

    def ask(self, peer_id: ID, now: float, *, for_blocks: bool = True) -> bool:
        """
        Ask for a turn: True if it begins now, else the peer is woken when it has one.

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
        """Wait no more; a turn that the peer was woken for and has not begun is another peer's."""
        if self._waiting.pop(peer_id, None) is None:
            share = self._shares.get(peer_id)
            if share is not None and share.accept():
                self.end(peer_id, now)

    def forget(self, peer_id: ID, now: float) -> None:
        """Drop a peer that is gone, with the turns that it has."""
        self._waiting.pop(peer_id, None)
        share = self._shares.pop(peer_id, None)
        if share is not None:
            self._free += share.going_on
        if self._sender == peer_id:
            self._sender = None
        self.share_out(now)

    def share_out(self, now: float, but: ID | None = None) -> None:
        """Wake peers that have their turn now, except ``but``, which is awake."""
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
        """True if a peer waits, or may have to because of the limits."""
        return bool(self._waiting) or self._limits.limits_any

    def may_send(self, peer_id: ID, now: float) -> bool:
        """
        Return whether blocks may be sent in the turn that a peer has, by the limit of all peers.

        A turn that was for looking blocks up does not overtake those that wait to send.
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
        """Choose the peer whose turn is next."""
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
