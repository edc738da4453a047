"""The waiters for blocks, in each session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from libp2p.bitswap.common.chores import each
from libp2p.bitswap.stats import SessionStat
from libp2p.io.waiter import Waiter as OneTask

if TYPE_CHECKING:
    from libp2p.bitswap.errors import BitswapError
    from libp2p.peer.id import ID


class BlockWaiter(Protocol):
    """Waits for blocks; both methods are plain calls that do little more than wake a task."""

    def deliver(self, key: bytes, data: bytes) -> None:
        """Take a block."""

    def fail(self, key: bytes, error: BitswapError) -> None:
        """Learn that a block will not come."""


@dataclass(slots=True, eq=False)
class OneBlock:
    """Waits for one block, for a limited time; ``task`` is what the waiting task waits on."""

    task: OneTask = field(default_factory=OneTask)
    over: bool = False
    data: bytes | None = None
    error: BitswapError | None = None

    def deliver(self, key: bytes, data: bytes) -> None:
        self.data = data
        self.end()

    def fail(self, key: bytes, error: BitswapError) -> None:
        self.error = error
        self.end()

    def end(self) -> None:
        """Stop waiting and wake the task."""
        self.over = True
        self.task.wake()

    expire = end

    def release(self) -> None:
        """Drop the block: a timer may keep this object for a while, and must not keep the block."""
        self.data = None


class SessionState:
    """
    One session, as the engine keeps it; users have a `BitswapSession`.

    :param gone: called with the number when nothing refers to the session any more.
    """

    def __init__(self, session_id: int, peers: Iterable[ID], gone: Callable[[int], object]) -> None:
        self.id = session_id
        self._gone = gone
        self.peers = tuple(peers)
        """The only peers that are asked; empty if all are."""
        self.stats = SessionStat()
        self.closed = False
        self._waiters: dict[bytes, list[BlockWaiter]] = {}

    def __del__(self) -> None:
        self._gone(self.id)

    @property
    def waiting(self) -> int:
        """How many blocks have waiters."""
        return len(self._waiters)

    def waits_for(self, key: bytes) -> bool:
        """Return whether a block has waiters."""
        return key in self._waiters

    def register(self, waiter: BlockWaiter, key: bytes) -> None:
        """Add a waiter for a block."""
        self._waiters.setdefault(key, []).append(waiter)

    def remove(self, waiter: BlockWaiter, key: bytes) -> bool:
        """Remove a waiter; return True if it was the last waiter for the block."""
        waiters = self._waiters.get(key)
        if waiters is None or waiter not in waiters:
            return False
        waiters.remove(waiter)
        if waiters:
            return False
        del self._waiters[key]
        return True

    def count_duplicate(self, size: int) -> None:
        """Count a block of ``size`` bytes that came for the second time."""
        self.stats.dup_blks_received += 1
        self.stats.dup_data_received += size

    def deliver(self, key: bytes, data: bytes) -> None:
        """Give a block to its waiters."""
        stats = self.stats
        stats.blocks_received += 1
        stats.data_received += len(data)
        for waiter in self._waiters.pop(key, ()):
            waiter.deliver(key, data)

    def resolve(self, key: bytes) -> None:
        """Tell the waiters of a session for presences that a peer has the block."""
        for waiter in self._waiters.pop(key, ()):
            waiter.deliver(key, b"")

    def fail(self, key: bytes, error: BitswapError) -> None:
        """Tell the waiters for a block that it will not come."""
        for waiter in self._waiters.pop(key, ()):
            waiter.fail(key, error)

    def close(self, error: BitswapError) -> Iterator[None]:
        """Close the session: all waiters get the error, some blocks in each step."""
        self.closed = True
        return self.fail_all(error)

    def fail_all(self, error: BitswapError) -> Iterator[None]:
        """Tell all waiters that no block will come, some blocks in each step."""
        return each(list(self._waiters), partial(self.fail, error=error))


class Sessions(WeakValueDictionary[int, SessionState]):
    """The sessions of a client by their numbers, as long as something refers to them."""

    def deliver(self, numbers: Iterable[int], key: bytes, data: bytes) -> None:
        """Give a block to its waiters in these sessions."""
        for number in numbers:
            if (session := self.get(number)) is not None:
                session.deliver(key, data)

    def fail(self, numbers: Iterable[int], key: bytes, error: BitswapError) -> None:
        """Tell the waiters for a block in these sessions that it will not come."""
        for number in numbers:
            if (session := self.get(number)) is not None:
                session.fail(key, error)
