"""
Whose turn it is at the block store (sans-I/O): so many at once, and no peer keeps another waiting.

A peer asks and gets its turn at once, or waits until `next_peer` chooses it. Of those who wait,
the first difference decides:

1. one that has no work left gets no turn;
2. who starves comes first: was never served, or has waited for longer than `STARVED_SECONDS`;
3. fewer turns that are going on;
4. less taken before, in bytes and turns: a peer with a long wantlist gets its next turn when all
   who waited had theirs. Who comes back from a pause counts as if it had taken part like the one
   that was served last, no more and no less;
5. more work, up to `MAX_WEIGHED_WORK`;
6. a higher score; then a hash of the peer id that others cannot foresee.

What is known of a peer stays until it disconnects, so that one whose queue runs empty now and then
does not pass for one that was never served.
"""

from __future__ import annotations

from functools import cmp_to_key
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from libp2p.bitswap.config import MAX_WEIGHED_WORK, STARVED_SECONDS, STORE_READERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.peer.id import ID

#: What a turn counts in which little is read: asking a store costs something, too.
_MIN_TURN_BYTES: Final = 32 * 1024

PeerOrder: TypeAlias = "Callable[[ID, ID], bool]"
"""Tells whether it is the first one's turn before the second one's."""


class Work(Protocol):
    """What is asked about the peers."""

    def pending(self, peer_id: ID) -> int:
        """Count what a peer waits for."""

    def score(self, peer_id: ID, now: float) -> int:
        """Tell how useful a peer has been."""


class _Share:
    """What one peer has had, and what it waits for."""

    __slots__ = ("asked_at", "for_blocks", "given", "going_on", "salted", "served", "taken")

    def __init__(self, salted: bytes) -> None:
        self.salted = salted
        self.taken = 0.0  # counts up for all at once, see `_begin`
        self.going_on = 0
        self.served = False
        self.given = False  # a turn that it does not know of yet
        self.asked_at = 0.0
        self.for_blocks = False

    def starves(self, now: float) -> bool:
        return not self.served or now - self.asked_at > STARVED_SECONDS


class StoreScheduler:
    """
    A bounded number of turns, given out fairly.

    :param salt: makes the order of equal peers unforeseeable.
    :param order: decides alone between peers that have work.
    :param one_sender: of the turns that are for blocks, give one after the other: what the first
        one sends may use up what can be sent.
    """

    def __init__(
        self,
        work: Work,
        limit: int = STORE_READERS,
        *,
        salt: bytes = b"",
        order: PeerOrder | None = None,
        one_sender: bool = False,
    ) -> None:
        self._work = work
        self._free = limit
        self._salt = salt
        self._order = order
        self._one_sender = one_sender
        self.sender: ID | None = None
        """Whose turn is for blocks, if there is but one."""
        self._shares: dict[ID, _Share] = {}
        self._waiting: dict[ID, _Share] = {}
        self._level = 0.0  # what the one had taken who was served last

    def ask(
        self, peer_id: ID, now: float, *, for_blocks: bool = True, can_send: bool = True
    ) -> bool:
        """
        Ask for a turn: True if it begins now, else `give` tells when.

        :param for_blocks: the turn is of no use unless blocks can be sent.
        :param can_send: whether they can now.
        """
        share = self._share(peer_id)
        if share.given:
            share.given = False
            return True
        if peer_id not in self._waiting:
            if self._take(peer_id, share, for_blocks, can_send):
                return True
            share.asked_at = now
            share.taken = max(share.taken, self._level)
            self._waiting[peer_id] = share
        share.for_blocks = for_blocks
        return False

    def ask_at_once(self, peer_id: ID) -> bool:
        """Begin a turn that nobody waits for, or none."""
        return self._take(peer_id, self._share(peer_id), True, True)

    def give(self, now: float, *, can_send: bool = True) -> list[ID]:
        """Give turns to those who wait; the peers returned can `ask` and have theirs."""
        given = []
        while self._free and (peer_id := self._next(now, can_send)) is not None:
            share = self._waiting.pop(peer_id)
            self._begin(peer_id, share, share.for_blocks)
            share.given = True
            given.append(peer_id)
        return given

    def end(self, peer_id: ID, size: int = 0) -> None:
        """End a turn in which blocks of ``size`` bytes were read; another may get it by `give`."""
        share = self._shares.get(peer_id)
        if share is not None and share.going_on:  # else it was forgotten meanwhile
            share.taken += max(size, _MIN_TURN_BYTES)
            share.going_on -= 1
            self._free += 1
            if self.sender is not None and self.sender == peer_id:
                self.sender = None

    def withdraw(self, peer_id: ID) -> bool:
        """Stop waiting; True if a turn that was given and has not begun is given back."""
        if self._waiting.pop(peer_id, None) is None:
            share = self._shares.get(peer_id)
            if share is not None and share.given:
                share.given = False
                self.end(peer_id)
                return True
        return False

    def forget(self, peer_id: ID) -> None:
        """Drop a peer that is gone, with the turns that it has."""
        self._waiting.pop(peer_id, None)
        share = self._shares.pop(peer_id, None)
        if share is not None:
            self._free += share.going_on
        if self.sender == peer_id:
            self.sender = None

    @property
    def is_contested(self) -> bool:
        """True if anybody waits."""
        return bool(self._waiting)

    @property
    def blocks_wait(self) -> bool:
        """True if somebody waits for nothing but to send blocks."""
        return any(share.for_blocks for share in self._waiting.values())

    def _share(self, peer_id: ID) -> _Share:
        share = self._shares.get(peer_id)
        if share is None:
            digest = blake2b(peer_id.to_bytes(), key=self._salt, digest_size=8).digest()
            share = self._shares[peer_id] = _Share(digest)
        return share

    def _take(self, peer_id: ID, share: _Share, for_blocks: bool, can_send: bool) -> bool:
        if not self._free or self._waiting or (for_blocks and not self._may_send(can_send)):
            return False
        share.taken = max(share.taken, self._level)
        self._begin(peer_id, share, for_blocks)
        return True

    def _may_send(self, can_send: bool) -> bool:
        return can_send and self.sender is None

    def _begin(self, peer_id: ID, share: _Share, for_blocks: bool) -> None:
        if for_blocks and self._one_sender:
            self.sender = peer_id
        self._free -= 1
        share.going_on += 1
        share.served = True
        self._level = max(self._level, share.taken)

    def _next(self, now: float, can_send: bool) -> ID | None:
        pending = self._work.pending
        for peer_id in [peer_id for peer_id in self._waiting if not pending(peer_id)]:
            del self._waiting[peer_id]
        can_send = self._may_send(can_send)
        peers = [p for p, share in self._waiting.items() if can_send or not share.for_blocks]
        if self._order is not None:
            return min(peers, key=cmp_to_key(self._difference), default=None)
        return min(peers, key=lambda peer_id: self._rank(peer_id, now), default=None)

    def _rank(self, peer_id: ID, now: float) -> tuple[Any, ...]:
        share = self._waiting[peer_id]
        return (
            not share.starves(now),
            share.going_on,
            share.taken,
            -min(self._work.pending(peer_id), MAX_WEIGHED_WORK),
            -self._work.score(peer_id, now),
            share.salted,
        )

    def _difference(self, one: ID, other: ID) -> int:
        assert self._order is not None
        return -1 if self._order(one, other) else int(self._order(other, one))
