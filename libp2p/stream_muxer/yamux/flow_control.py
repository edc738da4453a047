"""
Receive windows that grow with the bandwidth-delay product (sans-I/O).

Specification: libp2p/specs yamux, "Flow control". A stream starts with 256 KiB of credit in each
direction. The receiver returns credit as the application reads. How much, and when::

      |<--------------------- window --------------------->|
      |  buffered, unread  |  credit the peer holds  | owed |

*owed* is what the application has read and no window update has returned. It is sent once it
reaches an eighth of the window, or 64 KiB: waiting for half, as go-yamux does, costs a fifth of
the rate on a long link, because rate = window / (RTT + fraction x window / bandwidth).

Growth, as in go-yamux: if half a window was read in less than four round trips, the window is the
bottleneck, and doubles, up to 16 MiB. Growth is decided *first*; then one delta is computed from
the state before the update, and all of it is advertised. (go-yamux computes it twice and loses
the first, half a window of credit at each doubling.) A window never shrinks, for credit once
given cannot be taken back. A slow reader never grows, nor does anyone before the first RTT sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.exceptions import RemoteProtocolError

if TYPE_CHECKING:
    from libp2p.resources import Scope

#: Fixed by the specification for both directions; nothing negotiates it.
DEFAULT_WINDOW_SIZE: Final = 256 * 1024
#: The largest window, as in go-libp2p: it fills a link of 1 Gbit/s with a round trip of 128 ms.
MAX_WINDOW_SIZE: Final = 16 * 1024 * 1024
#: Credit is returned once this fraction of the window has been read.
UPDATE_FRACTION: Final = 8
#: Credit is returned sooner once it has this many bytes: where the window is the limit, the peer
#: cannot use credit that is held back. A busy connection reads more than that at once, so it sends
#: one update for each read.
UPDATE_BYTES: Final = 64 * 1024
#: A window that is half used up within this many round trips doubles.
GROWTH_ROUND_TRIPS: Final = 4
#: Credit is a u32 on the wire and must not wrap (CVE-2026-31814 is what happens otherwise).
MAX_CREDIT: Final = 2**32 - 1


def _update_at(size: int) -> int:
    """Return how many bytes a window of ``size`` may owe before a window update is sent."""
    return min(size // UPDATE_FRACTION, UPDATE_BYTES)


class ReceiveWindow:
    """The receiving side's account of one stream."""

    __slots__ = (
        "_budget",
        "_epoch_bytes",
        "_epoch_start",
        "_granted",
        "_most",
        "_reserved",
        "_update_at",
        "credit",
        "size",
    )

    def __init__(self, now: float, budget: Scope, most: int = MAX_WINDOW_SIZE) -> None:
        """
        Begin with 256 KiB.

        :param budget: holds the bytes by which this window and others have grown.
        :param most: the size up to which the window grows.
        """
        self._most = most
        self.size = DEFAULT_WINDOW_SIZE
        #: Bytes that the peer may still send.
        self.credit = DEFAULT_WINDOW_SIZE
        self._budget = budget
        self._granted = DEFAULT_WINDOW_SIZE
        self._reserved = 0
        self._update_at = _update_at(DEFAULT_WINDOW_SIZE)
        self._epoch_start = now
        self._epoch_bytes = 0

    def charge(self, size: int, announced: int) -> None:
        """
        Subtract ``size`` received bytes of a body from the peer's credit.

        :param announced: the body's size in the Data frame's header; 0 for a further piece.
            Announced bytes that have not been received yet are checked, and not charged.
        :raises RemoteProtocolError: if the peer has no credit for it.
        """
        if announced > self.credit:
            raise RemoteProtocolError(f"{announced} bytes sent with {self.credit} bytes of credit")
        self.credit -= size

    def consumed(self, size: int, buffered: int, now: float, rtt: float) -> int:
        """
        Account for ``size`` bytes read by the application, ``buffered`` remaining unread.

        :param rtt: round-trip time in seconds, 0 if not measured yet.
        :return: the credit to advertise now; 0 for none.
        """
        self._epoch_bytes += size
        if self._epoch_bytes >= self.size // 2:
            if now - self._epoch_start < GROWTH_ROUND_TRIPS * rtt:
                self._grow()
            self._epoch_start = now
            self._epoch_bytes = 0
        owed = self.size - self.credit - buffered
        if owed < self._update_at:
            return 0
        self.credit += owed
        self._granted += owed
        return owed

    @property
    def received(self) -> int:
        """Bytes received, in all."""
        return self._granted - self.credit

    @property
    def growths(self) -> int:
        """How often the window has doubled."""
        return (self.size // DEFAULT_WINDOW_SIZE).bit_length() - 1

    def _grow(self) -> None:
        grown = min(2 * self.size, self._most)
        if grown > self.size and self._budget.try_hold(grown - self.size):
            self._reserved += grown - self.size
            self.size = grown
            self._update_at = _update_at(grown)

    def release(self) -> None:
        """Give back what this window has reserved; its stream is gone."""
        self._budget.release(self._reserved)
        self._reserved = 0


def add_credit(credit: int, delta: int) -> int:
    """
    Return the send credit after the peer granted ``delta`` more.

    :raises RemoteProtocolError: if the sum does not fit the protocol's 32 bits.
    """
    total = credit + delta
    if total > MAX_CREDIT:
        raise RemoteProtocolError("the granted window overflows 32 bits")
    return total
