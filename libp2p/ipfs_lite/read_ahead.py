"""How far ahead of a reader blocks are fetched, within what all readers of a host may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from libp2p.resources import Scope

#: What all readers of a host may hold together, besides the one block that each waits for. So a
#: hundred slow downloads stay below 200 MiB of memory.
MAX_READERS_BYTES: Final = 96 * 1024 * 1024
#: The longest way ahead: 160 MB/s at 100 ms round trip.
WINDOW_BYTES: Final = 16 * 1024 * 1024
#: The first: at 100 ms round trip the longest is reached after three.
FIRST_WINDOW_BYTES: Final = 2 * 1024 * 1024
#: The shortest: at 100 KB/s the next block is asked for two and a half seconds before its time.
MIN_WINDOW_BYTES: Final = 256 * 1024

#: After a seek, what a reader has fetched in vain stays below an eighth of what was read, besides
#: one `FIRST_WINDOW_BYTES`: with more, reading a part of a file would cost much more than the part.
VAIN_SHARE: Final = 8

#: A reader holds up to this part of what the others leave. So one that is alone has its longest
#: window, and there is always some room for the next: a hundred have 0.9 MiB each.
_SHARE: Final = MAX_READERS_BYTES // WINDOW_BYTES

#: Seconds for which a reader's window lasts at its speed. Every round trip is shorter than this.
AHEAD_SECONDS: Final = 2.0
#: The speed is that of the last one or two such periods. A first burst counts as one of them, for
#: whoever reads a megabyte at once may read the next one in a minute.
_PERIOD: Final = 1.0


class ReadAhead:
    """
    The window of one reader (sans-I/O).

    A call that reads is given what it asks for. More is fetched ahead of reads that follow one
    another, not of the first one after a seek. That window follows the speed at which the file is
    consumed. So a slow reader holds little, and one that waits for its blocks is given more of them
    in each round trip.

    :param scope: what this reader holds.
    :param most: the longest window.
    """

    def __init__(self, scope: Scope, now: float, most: int = WINDOW_BYTES) -> None:
        self._scope = scope
        self._most = most
        self._least = min(MIN_WINDOW_BYTES, most)
        self.window = self._first = min(FIRST_WINDOW_BYTES, most)
        """Bytes ahead of one who reads on that are of use; for others to read."""
        self.block = 1
        """The size of the largest block so far; for others to read."""
        self._began = now
        self._bytes = 0
        self._past_seconds = 0.0
        self._past_bytes = 0
        self._reads = 1  # since the last seek; who opens a file most likely reads it from its start
        self._asked = 0  # by the read under way, bytes that are still to come
        self._consumed = 0
        self._sought = False
        self._in_vain = 0

    def reads(self, size: int) -> None:
        """Note that a call reads where the last one ended, ``size`` bytes of it still to come."""
        self._reads += 1
        self._asked = size

    def took(self, size: int) -> None:
        """Note that so many of these bytes have come."""
        self._asked = max(self._asked - size, 0)

    def sought(self, unread: int) -> None:
        """
        Note that the next call reads somewhere else.

        :param unread: bytes that were fetched, or asked for, and that nobody has read.
        """
        self._in_vain += min(unread, self.ahead)
        self._reads = self._asked = 0
        self._sought = True

    @property
    def ahead(self) -> int:
        """What is to be fetched beyond that which a call asks for."""
        if self._reads < 2:
            return 0
        if not self._sought:
            return self.window
        earned = FIRST_WINDOW_BYTES + self._consumed // VAIN_SHARE - self._in_vain
        return max(min(self.window, earned), 0)

    def arrived(self, size: int) -> None:
        """Note the size of a block: the next ones may be as large."""
        self.block = max(self.block, size)

    def consumed(self, size: int, now: float) -> None:
        """Adapt the window to what was read now."""
        self._bytes += size
        self._consumed += size
        elapsed = now - self._began
        seconds = max(self._past_seconds + elapsed, _PERIOD)
        wanted = int(AHEAD_SECONDS * (self._past_bytes + self._bytes) / seconds)
        self.window = min(max(wanted, self._first, self._least), self._most)
        if elapsed >= _PERIOD:
            self._first = 0
            self._past_seconds, self._past_bytes = elapsed, self._bytes
            self._began, self._bytes = now, 0

    def room(self, left: int) -> int:
        """
        Return the length of the window that may be filled now.

        :param left: bytes of the block that is being read; they are a part of the window.
        """
        window = max(min(self._asked, WINDOW_BYTES), self.ahead - left)
        fitting = self._fitting(window, left)
        if not left and window:
            # The next block must be had even if the host is full; one at a time then.
            return max(fitting, 1)
        return fitting

    def _fitting(self, window: int, left: int) -> int:
        room = self._scope.room
        if room is None:
            return window
        room = (room + self._scope.held) // _SHARE - self._pinned(left)
        # A block is asked for if it begins within the window, so it may reach beyond by its length.
        return min(window, room - self.block + 1)

    def hold(self, left: int, ahead: int) -> None:
        """
        Note what is held.

        :param left: bytes of the block that is being read.
        :param ahead: bytes behind it that are here or were asked for.
        """
        self._scope.hold(self._pinned(left) + ahead - self._scope.held)

    def _pinned(self, left: int) -> int:
        """Return what the rest of a block keeps in memory: all of it."""
        return max(left, self.block) if left else 0
