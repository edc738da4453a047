"""
Whose data is queued next where several writers wait for room (sans-I/O).

Long data takes turns of `TURN_BYTES`, in the order of a line. A short message would stand there
behind a turn of every other stream, so short ones have a line of their own, and it goes first: not
more of them, though, than make up for one long turn, so that neither line can starve the other.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

_Writer = TypeVar("_Writer")

#: What a writer may queue before the next one in line: two frames, since a write of 64 KiB makes
#: two, and each turn costs a task switch. A quarter of what may be queued in all.
TURN_BYTES: Final = 128 * 1024
#: Turns at the same time, which is per round of the scheduler. With one a connection that is busy
#: in both directions reads five times what it writes; with four, peers fill each other's sockets.
TURNS_AT_ONCE: Final = 2
#: Messages up to this size are short: requests, and answers that someone waits for.
SHORT_BYTES: Final = 16 * 1024
#: Short messages that may go before a long turn: as many bytes at most.
SHORT_BEFORE_LONG: Final = TURN_BYTES // SHORT_BYTES


class WriteLine(Generic[_Writer]):
    """The writers of a connection that wait for their turns, and those who have them."""

    __slots__ = ("_short_since_long", "_turns", "long", "short")

    def __init__(self) -> None:
        #: Those who wait, with something long and with something short.
        self.long: dict[_Writer, None] = {}
        self.short: dict[_Writer, None] = {}
        self._short_since_long = 0
        self._turns: set[_Writer] = set()

    def may_pass(self, short: bool) -> bool:
        """Tell whether somebody who has not stood in line may queue something all the same."""
        if not (self.long or self.short or self._turns):
            return True
        if self.short or not short or self._short_since_long >= SHORT_BEFORE_LONG:
            return False
        self._short_since_long += 1
        return True

    def join(self, writer: _Writer, short: bool) -> None:
        """Stand in line, with something ``short`` or not."""
        (self.short if short else self.long)[writer] = None

    def leave(self, writer: _Writer) -> None:
        """End a turn, or wait no longer."""
        self.long.pop(writer, None)
        self.short.pop(writer, None)
        self._turns.discard(writer)

    def has_turn(self, writer: _Writer) -> bool:
        """Tell whether it is this writer's turn."""
        return writer in self._turns

    def give_turn(self) -> _Writer | None:
        """Give the next one its turn and return it; None if nobody waits, or enough have theirs."""
        if len(self._turns) >= TURNS_AT_ONCE:
            return None
        if self.short and (not self.long or self._short_since_long < SHORT_BEFORE_LONG):
            line = self.short
            self._short_since_long += 1
        elif self.long:
            line = self.long
            self._short_since_long = 0
        else:
            return None
        writer = next(iter(line))
        del line[writer]
        self._turns.add(writer)
        return writer
