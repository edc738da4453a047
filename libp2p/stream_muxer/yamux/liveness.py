"""
Whether the peer of a connection is still there (sans-I/O): when to ping it, and when to give up.

`Liveness` says so while the connection is used, `Farewell` when it is closed.

A sign of life is anything that was read, and anything that its kernel has acknowledged: a program
that computes for a while, or reads slowly behind a long queue, is no dead peer. There are two ways
to be taken for one. A ping went unanswered and there was no sign of life for `PING_TIMEOUT`. Or the
socket was full for `WRITE_PROGRESS_TIMEOUT` and nothing was acknowledged.

Acknowledgements are looked at when a deadline has come. The first look that finds one begins the
time anew, so a peer whose kernel answers and whose program does not has twice the time.

This side's own program may be the one that computes. Its timers then come late, and what the peer
has sent meanwhile has not been read. So who comes late looks again, as much later as it was late:
everything that waited has been read by then.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import Final

#: The round-trip time is measured when the connection starts and then this often, in seconds.
PING_INTERVAL: Final = 30.0
#: A peer that neither answers a ping nor gives another sign of life for this long is gone.
PING_TIMEOUT: Final = 20.0
#: A peer that takes no bytes for this long, in seconds, while there are some for it is gone. On a
#: link with a long queue, and behind a slow reader, seconds without an acknowledgement are usual.
WRITE_PROGRESS_TIMEOUT: Final = 30.0
#: How long a closing connection waits for a peer that takes nothing of what was written before.
CLOSE_PATIENCE: Final = 2.0
#: And for one that goes on taking some, in all: longer, and a slow peer could hold up the program.
CLOSE_TIMEOUT: Final = 10.0
#: When the peer's kernel has everything: how long until its program must have closed too. A socket
#: that is closed with unread input resets the connection, and other kernels then drop what theirs
#: has not read.
CLOSE_GRACE: Final = 0.1
#: A timer that comes later than this, in seconds, was held up by something that computes.
LATE_AFTER: Final = 0.1
#: Who was late looks again no sooner than this, in seconds, so that there is a round trip.
SECOND_LOOK_AFTER: Final = 1.0


class Finding(Enum):
    """What is to be done after a look."""

    NOTHING = auto()
    PING = auto()  # measure the round-trip time
    SILENT = auto()  # the peer is gone
    STUCK = auto()  # the peer reads nothing


class Liveness:
    """The signs of life of one peer, and the next time to look for them."""

    __slots__ = ("_delivered", "_delivered_at", "_looks_again", "_ping_due", "look_at", "read_at")

    def __init__(self, now: float) -> None:
        #: When the last bytes came.
        self.read_at = now
        #: When `look` is to be called next.
        self.look_at = now
        self._delivered = 0
        self._delivered_at = now
        self._ping_due = now
        self._looks_again = False  # the last look was late, and has judged nobody

    def on_read(self, now: float) -> None:
        """Bytes have come."""
        self.read_at = now

    def on_full(self, now: float, delivered: int) -> bool:
        """
        The socket takes no more; return True if that makes the next look come sooner.

        :param delivered: see `look`.
        """
        self._note(now, delivered)
        look_at = now + WRITE_PROGRESS_TIMEOUT
        sooner = look_at < self.look_at
        if sooner:
            self.look_at = look_at
        return sooner

    def look(
        self, now: float, delivered: int, ping_sent_at: float | None, full_since: float | None
    ) -> Finding:
        """
        Judge the peer, `look_at` having come; afterwards that is the time of the next look.

        :param delivered: how many bytes its kernel has acknowledged, or as far as that is not
            known, how many this side's kernel has taken.
        :param ping_sent_at: since when a ping is unanswered; None if there is none.
        :param full_since: since when the socket is full; None if it is not.
        """
        late = now - self.look_at
        self._note(now, delivered)
        silent_at = stuck_at = inf
        if ping_sent_at is not None and full_since is None:
            silent_at = max(self.read_at, self._delivered_at, ping_sent_at) + PING_TIMEOUT
        if full_since is not None:  # where a ping does not get through either
            stuck_at = max(self._delivered_at, full_since) + WRITE_PROGRESS_TIMEOUT
        ping_at = self._ping_due if ping_sent_at is None else inf
        self.look_at = min(silent_at, stuck_at, ping_at)
        if self.look_at > now:
            self._looks_again = False
            return Finding.NOTHING
        if ping_at <= now < min(silent_at, stuck_at):
            self._looks_again = False
            self._ping_due = now + PING_INTERVAL
            self.look_at = min(stuck_at, now + PING_TIMEOUT)
            return Finding.PING
        if late > LATE_AFTER and not self._looks_again:
            self._looks_again = True
            self.look_at = now + max(late, SECOND_LOOK_AFTER)
            return Finding.NOTHING
        return Finding.SILENT if silent_at <= now else Finding.STUCK

    def _note(self, now: float, delivered: int) -> None:
        if delivered > self._delivered:
            self._delivered, self._delivered_at = delivered, now


class Farewell:
    """How long a connection that is closed here waits for its peer to get what was written."""

    __slots__ = ("_began", "_complete_at", "_delivered", "_delivered_at")

    def __init__(self, now: float, delivered: int) -> None:
        """See `Liveness.look` for ``delivered``."""
        self._began = self._delivered_at = now
        self._delivered = delivered
        self._complete_at = inf

    def goes_on(self, now: float, delivered: int, missing: int) -> bool:
        """
        Tell whether to wait on; to be asked every `CLOSE_GRACE`, for a kernel tells nobody.

        :param missing: how many bytes the peer's kernel has not acknowledged.
        """
        if not missing:
            self._complete_at = min(self._complete_at, now)
            return now < self._complete_at + CLOSE_GRACE
        if delivered > self._delivered:
            self._delivered, self._delivered_at = delivered, now
        return now - self._began < CLOSE_TIMEOUT and now - self._delivered_at < CLOSE_PATIENCE
