"""
Results of a search that come one by one, from a task to whoever iterates over them.

An async generator must not open a nursery: its caller may leave it at any time, in any task. So the
search is a task in the DHT's nursery. The generator reads the task's channel, and cancels the task.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

import trio

from libp2p.kad_dht.config import MAX_FOUND
from libp2p.kad_dht.errors import NoPeersError

T = TypeVar("T")

Found = Callable[[T], bool]
"""What a search calls with each result; False means that no more are wanted."""


async def all_of(found: AsyncGenerator[T, None]) -> list[T]:
    """Return all results of a search; an empty list if no peer is known yet."""
    async with aclosing(found):
        try:
            return [each async for each in found]
        except NoPeersError:
            return []


async def last_of(found: AsyncGenerator[T, None]) -> T | None:
    """Return the last result of a search; None if there is none, or no peer is known yet."""
    last: T | None = None
    async with aclosing(found):
        try:
            async for each in found:
                last = each
        except NoPeersError:
            return None
    return last


class Search(Generic[T]):
    """
    One search that runs as a task, with its results in a channel.

    :param find: makes the search; its failure is raised where the results are read.
    :param count: results that are wanted.
    """

    def __init__(self, find: Callable[[Found[T]], Awaitable[None]], count: int = MAX_FOUND) -> None:
        self._find = find
        self._left = min(count, MAX_FOUND)
        self._send, self._receive = trio.open_memory_channel[T](self._left)
        self._scope = trio.CancelScope()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Search, until it is over or the reader is gone."""
        with self._scope, self._send:
            try:
                await self._find(self._found)
            except Exception as error:  # noqa: BLE001 - task's edge: raised where results are read
                self._failure = error

    def _found(self, result: T) -> bool:
        if self._left:
            self._left -= 1
            self._send.send_nowait(result)
        return self._left > 0

    async def results(
        self, start: Callable[[Callable[[], Awaitable[None]]], object]
    ) -> AsyncGenerator[T, None]:
        """
        Start the search and yield its results.

        :param start: runs a task.
        """
        start(self.run)
        try:
            async for result in self._receive:
                yield result
            if self._failure is not None:
                raise self._failure
        finally:
            self._scope.cancel()
            self._receive.close()
