"""
What goes over to trio's thread: calls, contexts and iterations.

They are coroutines over a `Side`, so that they are the same for asyncio and for plain Python.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import trio
from outcome import Error, Value

from libp2p.bridge.side import BlockingSide
from libp2p.exceptions import BridgeClosedError, LocalProtocolError
from libp2p.utils.closing import ending

if TYPE_CHECKING:
    from outcome import Outcome

    from libp2p.bridge.side import Side, Signal
    from libp2p.bridge.trio_thread import TrioThread

T = TypeVar("T")

#: Items of an iteration that are made before they are asked for, at most: a file's are a MiB each.
#: The first one is not, so whoever ends after it has caused nothing more.
MAX_ITEMS_AHEAD: Final = 16


async def call(
    thread: TrioThread,
    side: Side,
    task: Callable[[], Awaitable[T]],
    late: Callable[[T], object] | None = None,
) -> T:
    """
    Await ``task()`` in trio's thread.

    If the caller is cancelled, the task is, and its end is waited for.

    :param late: called with what it has returned nonetheless; by default that is closed.
    """
    if thread.is_current:
        raise LocalProtocolError("this is trio's own thread: call what is behind the bridge")
    done = side.signal()
    results: list[Outcome[T]] = []

    def deliver(result: Outcome[T]) -> None:
        results.append(result)
        done.set()

    cancel = thread.start(task, deliver)
    try:
        await _wait_for(done, results, cancel)
    except BaseException as interruption:
        if isinstance(results[0], Value):
            value = results[0].value
            if late is not None:
                late(value)
            else:
                thread.start(partial(_discard, value, interruption), _ignore)
        raise
    return results[0].unwrap()


def hop(thread: TrioThread, function: Callable[[], T]) -> T:
    """Call a plain function in trio's thread and block until it returns: for a turn of trio's."""
    if thread.is_current:
        return function()

    async def task() -> T:
        return function()

    side = BlockingSide()
    result: T = side.finish(call(thread, side, task))
    return result


async def _wait_for(done: Signal, results: list[Any], cancel: Callable[[], None]) -> None:
    """Wait until there is a result; who is cancelled meanwhile cancels it and goes on waiting."""
    interruption: BaseException | None = None
    while not results:
        try:
            await done.wait()
        except BaseException as error:  # noqa: BLE001 - task's edge: it is raised at the end
            interruption = error
            cancel()
    if interruption is not None:
        raise interruption


async def _discard(value: Any, why: BaseException) -> None:
    """Close what nobody gets: a stream is reset, a file is closed."""
    if hasattr(value, "__aexit__"):
        await value.__aexit__(type(why), why, None)
    elif hasattr(value, "aclose"):
        await value.aclose()


def _ignore(result: object) -> None:
    pass


# -- contexts -------------------------------------------------------------------------------------


class Held:
    """
    A context that is entered and left in one task of trio's, while the block is on this side.

    A block that is cancelled cancels that task. A task that ends by itself, as when a host fails,
    interrupts the block, whose end then raises what the task has raised.
    """

    def __init__(
        self,
        thread: TrioThread,
        side: Side,
        make: Callable[[], AbstractAsyncContextManager[Any]],
    ) -> None:
        self._thread = thread
        self._side = side
        self._make = make
        self._leaving = trio.Event()
        self._block_error: BaseException | None = None
        self._entered_with: list[Any] = []
        self._results: list[Outcome[bool]] = []
        self._is_left = False
        self._interrupted = False

    async def enter(self) -> Any:
        """Enter the context; return what it gives."""
        self._entered, self._ended = self._side.signal(), self._side.signal()
        self._interrupt = self._side.interrupter(self._is_to_be_interrupted)
        self._cancel = self._thread.start(self._hold, self._end)
        try:
            await self._entered.wait()
        except BaseException as error:  # task's edge: it is raised, or what caused it
            self._is_left = True
            self._cancel()
            await self._wait_for_end()
            if not self._interrupted or not await self._side.undo_interruption(error):
                raise
            self._results[0].unwrap()
        if not self._entered_with:
            self._results[0].unwrap()
        return self._entered_with[0]

    async def leave(self, error: BaseException | None) -> bool:
        """Leave the context; return whether the block's error ends here."""
        self._is_left = True
        by_others = error is not None and self._side.is_cancellation(error)
        if self._interrupted:
            by_others = not await self._side.undo_interruption(error)
        self._block_error = error
        trace = None if error is None else error.__traceback__
        if by_others:
            self._cancel()
        elif not self._results:
            self._thread.soon(self._leaving.set)
        await self._wait_for_end()
        [result] = self._results
        if error is not None:
            error.with_traceback(trace)  # without the way across and back
        if by_others or (isinstance(result, Error) and result.error is error):
            return False
        return result.unwrap()

    async def _wait_for_end(self) -> None:
        await _wait_for(self._ended, self._results, self._cancel)

    def _is_to_be_interrupted(self) -> bool:
        """Tell whether the block goes on; called on its side, which alone leaves it."""
        self._interrupted = not self._is_left
        return self._interrupted

    async def _hold(self) -> bool:
        async with self._make() as value:
            self._entered_with.append(value)
            self._entered.set()
            await self._leaving.wait()
            if self._block_error is not None:
                raise self._block_error
        return self._interrupted or self._block_error is not None

    def _end(self, result: Outcome[bool]) -> None:
        self._results.append(result)
        self._ended.set()
        if not self._entered_with:
            self._entered.set()
        elif not self._leaving.is_set():
            self._interrupt()


# -- iterations -----------------------------------------------------------------------------------


class Pumped(Generic[T]):
    """
    An iteration in a task of trio's, which works a few items ahead of who asks.

    One trip across takes all that is there.
    """

    def __init__(
        self, thread: TrioThread, side: Side, make: Callable[[], AsyncIterable[T]]
    ) -> None:
        self._thread = thread
        self._side = side
        self._make = make
        self._scope = trio.CancelScope()
        # How many items may be made, all in all, and how many were, and how many were taken. A
        # question that crosses with an answer, and so comes late, allows nothing more.
        self._allowed = self._made = self._taken = 0
        self._asked = trio.Event()
        self._ahead = 1
        self._items: deque[T] = deque()
        self._results: list[Outcome[None]] = []
        self._waiting: Signal | None = None
        self._is_started = False

    async def next(self) -> T:
        """
        Return the next item.

        :raises StopAsyncIteration: at the end.
        """
        while not self._items:
            signal = self._waiting = self._side.signal()
            if self._results:
                result, self._results = self._results[0], [Value(None)]
                result.unwrap()
                raise StopAsyncIteration
            if self._items:
                break
            if not self._is_started:
                self._is_started = True
                self._thread.start(self._pump, self._end)
            self._thread.soon(partial(self._ask, self._taken + self._ahead))
            self._ahead = min(2 * self._ahead, MAX_ITEMS_AHEAD)
            try:
                await signal.wait()
            except BaseException:
                await self.close()
                raise
        self._taken += 1
        return self._items.popleft()

    async def close(self) -> None:
        """End the iteration, and wait for its end; there is no next item."""
        signal = self._waiting = self._side.signal()
        if not self._is_started:
            self._results.append(Value(None))
        if not self._results:
            self._thread.soon(self._scope.cancel)
            await _wait_for(signal, self._results, _nothing)
        self._items.clear()
        self._results = [Value(None)]

    def abandon(self) -> None:
        """End the iteration, for nobody will ask any more."""
        if self._is_started and not self._results:
            with contextlib.suppress(BridgeClosedError):
                self._thread.soon(self._scope.cancel)

    def _ask(self, allowed: int) -> None:
        self._allowed = allowed
        self._asked.set()

    async def _pump(self) -> None:
        iterator = aiter(self._make())
        async with ending(iterator):
            with self._scope:
                while True:
                    if self._made >= self._allowed:
                        self._asked = trio.Event()
                        await self._asked.wait()
                    try:
                        item = await anext(iterator)
                    except StopAsyncIteration:
                        return
                    self._made += 1
                    self._items.append(item)
                    self._wake()

    def _end(self, result: Outcome[None]) -> None:
        self._results.append(result)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.set()


def _nothing() -> None:
    pass
