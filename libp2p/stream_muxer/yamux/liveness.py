"""
Whether the peer of a connection is still there (sans-I/O): when to ping it, and when to give up.

`Liveness` decides while the connection is used, and has the pings. `Farewell` decides while the
connection is being closed. Both name the time at which they have to decide next, and know no clock.

A sign of life is anything that was read, and anything that the peer's kernel has acknowledged: a
program that computes for a while, or reads slowly behind a long queue, is no dead peer. A peer is
given up in two cases. A ping went unanswered and there was no sign of life for `ping_timeout`. Or
the socket was full for `write_progress_timeout` and nothing was acknowledged.

Acknowledgements are only looked at when a deadline has passed. The first look that finds one starts
the timeout again, so a peer whose kernel answers and whose program does not has twice the time.

This side's own program may be the one that computes. Then its timers fire late, and it has not read
what the peer has sent meanwhile. A late look therefore judges no peer. It is repeated after as many
seconds as it was late, when everything received has been read.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.config import YamuxConfig

#: The value of a ping is a u32.
MAX_PING_VALUE: Final = 2**32 - 1
#: A timer that fires this many seconds late was held up by something that computes.
LATE_AFTER: Final = 0.1
#: A late look is repeated no sooner than this, in seconds, so that there is a round trip.
SECOND_LOOK_AFTER: Final = 1.0


class Finding(Enum):
    """What is to be done after a look."""

    NOTHING = auto()
    PING = auto()  # measure the round-trip time
    SILENT = auto()  # the peer is gone
    STUCK = auto()  # the peer reads nothing


class Liveness:
    """The pings to one peer, its signs of life, and the next time to look for them."""

    __slots__ = (
        *("_config", "_delivered", "_delivered_at", "_full_since", "_looks_again", "_ping_due"),
        *("_ping_value", "least_rtt", "next_deadline", "ping_sent_at", "pongs_unsolicited", "rtt"),
    )

    def __init__(self, config: YamuxConfig) -> None:
        self._config = config
        #: When `look` is to be called next; never before `start`.
        self.next_deadline = inf
        self._delivered = 0
        self._delivered_at = 0.0
        self._full_since: float | None = None
        self._ping_due = 0.0
        self._looks_again = False  # the last look was late, and judged no peer
        self._ping_value = 0
        #: When the unanswered ping was queued; None if there is none.
        self.ping_sent_at: float | None = None
        #: Smoothed round-trip time in seconds; 0 until the first pong.
        self.rtt = 0.0
        #: The shortest one; 0 until the first pong. Receive windows grow by it: a window too large
        #: fills queues on the way, which delay the pong that would justify a larger one still.
        self.least_rtt = 0.0
        self.pongs_unsolicited = 0

    def start(self, now: float) -> None:
        """Begin: a ping is due at once."""
        self._delivered_at = self._ping_due = self.next_deadline = now

    def ping(self, now: float) -> int | None:
        """Begin a ping and return its value; None if one is in flight."""
        if self.ping_sent_at is not None:
            return None
        self.ping_sent_at = now
        self._ping_value = (self._ping_value + 1) & MAX_PING_VALUE
        return self._ping_value

    def on_pong(self, value: int, now: float) -> None:
        """Measure the round-trip time; a pong that answers no ping is only counted."""
        if self.ping_sent_at is None or value != self._ping_value:
            self.pongs_unsolicited += 1
            return
        sample = max(now - self.ping_sent_at, 0.0)
        self.ping_sent_at = None
        self.least_rtt = min(self.least_rtt, sample) if self.rtt else sample
        self.rtt = (self.rtt + sample) / 2 if self.rtt else sample

    def on_full(self, now: float, delivered: int) -> None:
        """
        Note that the socket takes no more. The next look may be due earlier now.

        :param delivered: see `look`.
        """
        self._note(now, delivered)
        self._full_since = now
        self.next_deadline = min(self.next_deadline, now + self._config.write_progress_timeout)

    def on_drained(self) -> None:
        """Note that the socket has taken everything."""
        self._full_since = None

    def look(self, now: float, delivered: int, received_at: float) -> Finding:
        """
        Judge the peer at `next_deadline`, and set the next one.

        :param delivered: how many bytes the peer's kernel has acknowledged; where that is not
            known, how many this side's kernel has taken.
        :param received_at: when the peer's last bytes were read.
        """
        late = now - self.next_deadline
        self._note(now, delivered)
        silent_at = stuck_at = inf
        if self._full_since is not None:  # a ping would not get through either
            progress_at = max(self._delivered_at, self._full_since)
            stuck_at = progress_at + self._config.write_progress_timeout
        elif self.ping_sent_at is not None:
            silent_at = max(received_at, self._delivered_at, self.ping_sent_at)
            silent_at += self._config.ping_timeout
        ping_at = self._ping_due if self.ping_sent_at is None else inf
        self.next_deadline = min(silent_at, stuck_at, ping_at)
        if self.next_deadline > now:
            self._looks_again = False
            return Finding.NOTHING
        if ping_at <= now < min(silent_at, stuck_at):
            self._looks_again = False
            self._ping_due = now + self._config.ping_interval
            self.next_deadline = min(stuck_at, now + self._config.ping_timeout)
            return Finding.PING
        if late > LATE_AFTER and not self._looks_again:
            self._looks_again = True
            self.next_deadline = now + max(late, SECOND_LOOK_AFTER)
            return Finding.NOTHING
        return Finding.SILENT if silent_at <= now else Finding.STUCK

    def _note(self, now: float, delivered: int) -> None:
        if delivered > self._delivered:
            self._delivered, self._delivered_at = delivered, now


class Farewell:
    """How long a connection that is closed here waits for its peer to get what was written."""

    __slots__ = (
        *("_complete_at", "_config", "_delivered", "_delivered_at", "_ends_at"),
        "next_deadline",
    )

    def __init__(self, now: float, delivered: int, config: YamuxConfig, timeout: float) -> None:
        """
        Begin.

        :param delivered: see `Liveness.look`.
        :param timeout: how many seconds it lasts at most.
        """
        self._config = config
        self._ends_at = now + timeout
        self._delivered = delivered
        self._delivered_at = now
        self._complete_at = inf
        #: When to ask next: every `close_grace`, for a kernel raises no event for acknowledgements.
        self.next_deadline = now

    def goes_on(self, now: float, delivered: int, missing: int) -> bool:
        """
        Return whether to wait on, and set `next_deadline`.

        :param missing: how many bytes the peer's kernel has not acknowledged.
        """
        self.next_deadline = now + self._config.close_grace
        if not missing:
            self._complete_at = min(self._complete_at, now)
            return now < min(self._complete_at + self._config.close_grace, self._ends_at)
        if delivered > self._delivered:
            self._delivered, self._delivered_at = delivered, now
        return now < min(self._ends_at, self._delivered_at + self._config.close_patience)
