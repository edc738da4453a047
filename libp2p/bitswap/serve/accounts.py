"""
The account of each peer: the bytes and blocks exchanged, and a score of use (sans-I/O).

The score is boxo's. It is the sum of two averages of whether any block was exchanged in a period:
one over periods of 10 s, one over periods of 100 s. The sum is raised or lowered by up to a quarter
by the share of the bytes that the peer has sent. No timer runs: an average catches up with the
periods that have passed when it is read.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.config import MAX_ACCOUNTS

if TYPE_CHECKING:
    from libp2p.peer.id import ID

_PERIOD_SECONDS: Final = 10.0
_PERIODS_OF_LONG: Final = 10
_SCORE: Final = 10.0
_SHORT_ALPHA: Final = 0.5
_LONG_ALPHA: Final = 0.05


@dataclass(frozen=True, slots=True)
class Receipt:
    """The account of a peer: boxo's ``Receipt``, as ``ipfs bitswap ledger`` shows it."""

    peer: ID
    value: float
    """Bytes sent per byte received: above 1, the peer owes us."""
    sent: int
    """Bytes of blocks sent."""
    recv: int
    """Bytes of blocks received that were wanted."""
    exchanged: int
    """Blocks, both ways."""


@dataclass(slots=True, eq=False)
class _Average:
    """The average of `_SCORE` for periods with a block and 0 for the others."""

    _alpha: float
    _seconds: float
    _tick: float | None = None
    """The number of the current period."""
    _busy: bool = False
    """A block was exchanged in the current period."""
    _value: float = 0.0

    def note(self, now: float) -> None:
        """Note that a block was exchanged."""
        self.at(now)
        self._busy = True

    def at(self, now: float) -> float:
        """Return the average over the periods that have ended."""
        tick = now // self._seconds
        if self._tick is None:
            self._tick = tick
        passed = tick - self._tick
        if passed > 0:
            kept = 1 - self._alpha
            self._value = kept * self._value + (self._alpha * _SCORE if self._busy else 0)
            self._value *= kept ** (passed - 1)
            self._busy = False
            self._tick = tick
        return self._value


class _Account:
    __slots__ = ("exchanged", "long", "period", "recv", "sent", "short")

    def __init__(self) -> None:
        self.sent = self.recv = self.exchanged = 0
        self.period: float | None = None
        """The number of the latest short period in which a block was exchanged."""
        self.short = _Average(_SHORT_ALPHA, _PERIOD_SECONDS)
        self.long = _Average(_LONG_ALPHA, _PERIOD_SECONDS * _PERIODS_OF_LONG)

    def add(self, blocks: int, sent: int, recv: int, now: float) -> None:
        self.sent += sent
        self.recv += recv
        self.exchanged += blocks
        period = now // _PERIOD_SECONDS
        if self.period != period:  # else both averages know of this period already
            self.period = period
            self.short.note(now)
            self.long.note(now)


class Accounts:
    """The accounts of the latest `MAX_ACCOUNTS` peers that blocks were exchanged with."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[ID, _Account] = OrderedDict()

    def sent(self, peer_id: ID, blocks: int, size: int, now: float) -> None:
        """Enter blocks that have been sent."""
        self._of(peer_id).add(blocks, size, 0, now)

    def received(self, peer_id: ID, blocks: int, size: int, now: float) -> None:
        """Enter wanted blocks that have been received."""
        self._of(peer_id).add(blocks, 0, size, now)

    def receipt(self, peer_id: ID) -> Receipt:
        """Return the account of a peer; all 0 if nothing was exchanged."""
        account = self._accounts.get(peer_id)
        if account is None:
            return Receipt(peer_id, 0.0, 0, 0, 0)
        value = account.sent / (account.recv + 1)
        return Receipt(peer_id, value, account.sent, account.recv, account.exchanged)

    def score(self, peer_id: ID, now: float) -> int:
        """Return how useful a peer has been, 0 to 25."""
        account = self._accounts.get(peer_id)
        if account is None:
            return 0
        both = account.sent + account.recv
        owed = account.recv / both if both else 0.0
        return int((account.short.at(now) + account.long.at(now)) * (0.75 + 0.5 * owed))

    def _of(self, peer_id: ID) -> _Account:
        account = self._accounts.get(peer_id)
        if account is None:
            account = self._accounts[peer_id] = _Account()
            if len(self._accounts) > MAX_ACCOUNTS:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(peer_id)
        return account
