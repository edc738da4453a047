"""
How the two kinds of programs wait for trio's thread: asyncio's tasks, and threads of plain Python.

What goes over is written once, as coroutines that wait for nothing but a `Signal`. In plain Python
that wait blocks the thread, so such a coroutine never yields, and `BlockingSide.finish` runs it to
its end at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import copy_context
from inspect import iscoroutinefunction
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol

import trio
from outcome import Error, Value

from libp2p.exceptions import BridgeClosedError, LocalProtocolError

if TYPE_CHECKING:
    from outcome import Outcome


class Signal(Protocol):
    """Something that trio's thread says once."""

    def set(self) -> None:
        """Wake who waits; called in any thread."""

    async def wait(self) -> None:
        """Wait for `set`; being cancelled or interrupted raises here, and one may wait again."""


class Side(Protocol):
    """One of the two kinds of programs."""

    is_async: bool

    def signal(self) -> Signal: ...

    def finish(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what a method returns that is written as a coroutine."""

    def taken_over(self, value: Any, wrap: Callable[[Any], Any]) -> Any:
        """
        Return what stands for an argument in trio's thread.

        :param wrap: makes of trio's values those that functions of this side are called with.
        """

    def interrupter(self, is_wanted: Callable[[], bool]) -> Callable[[], object]:
        """
        Return what interrupts the caller; trio's thread calls it.

        :param is_wanted: asked on this side, in the moment of the interruption.
        """

    async def undo_interruption(self, error: BaseException | None) -> bool:
        """Undo an interruption, which may have raised ``error``; False if others cancel too."""

    def is_cancellation(self, error: BaseException) -> bool:
        """Tell whether this is how a caller is told that it was cancelled."""


# -- plain Python ---------------------------------------------------------------------------------


class BlockingSignal:
    """A lock that is held until it is set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        with contextlib.suppress(RuntimeError):  # it was set already
            self._lock.release()

    async def wait(self) -> None:
        # In the main thread a signal such as Ctrl-C interrupts this.
        with self._lock:
            pass


class BlockingSide:
    """Threads that are blocked while they wait."""

    is_async = False

    def signal(self) -> Signal:
        return BlockingSignal()

    def finish(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            work.send(None)
        except StopIteration as end:
            return end.value
        work.close()
        raise LocalProtocolError("a call of plain Python waits for something else than trio")

    def taken_over(self, value: Any, wrap: Callable[[Any], Any]) -> Any:
        return value

    def interrupter(self, is_wanted: Callable[[], bool]) -> Callable[[], object]:
        return is_wanted  # nothing interrupts a thread: it learns of it at the end of the block

    async def undo_interruption(self, error: BaseException | None) -> bool:
        return True

    def is_cancellation(self, error: BaseException) -> bool:
        return isinstance(error, KeyboardInterrupt)


# -- asyncio --------------------------------------------------------------------------------------


class AsyncioSignal:
    """A future of the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        self._is_set = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        if not self._is_set:
            self._waiter = self._loop.create_future()
            await self._waiter


class AsyncioSide:
    """Tasks of any loop of asyncio; each call goes back to the loop that it came from."""

    is_async = True

    def signal(self) -> Signal:
        return AsyncioSignal()

    def finish(self, work: Coroutine[Any, Any, Any]) -> Any:
        return work

    def taken_over(self, value: Any, wrap: Callable[[Any], Any]) -> Any:
        if _is_of_the_library(value):
            return value
        if iscoroutinefunction(value):
            return InLoop(wrap).function(value)
        if isinstance(value, AsyncIterable):
            return InLoop(wrap).iterable(value)
        if iscoroutinefunction(getattr(value, "read", None)):
            return InLoop(wrap).reader(value)
        return value

    def interrupter(self, is_wanted: Callable[[], bool]) -> Callable[[], object]:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        def cancel() -> None:
            if is_wanted() and task is not None:
                task.cancel()

        def interrupt() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(cancel)

        return interrupt

    async def undo_interruption(self, error: BaseException | None) -> bool:
        if not isinstance(error, asyncio.CancelledError):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)  # time: the interruption is raised at the next wait
        task = asyncio.current_task()
        return task is not None and task.uncancel() == 0

    def is_cancellation(self, error: BaseException) -> bool:
        return isinstance(error, asyncio.CancelledError)


def _is_of_the_library(value: Any) -> bool:
    kind = value if isinstance(value, FunctionType) else type(value)
    return str(kind.__module__).partition(".")[0] == "libp2p"


class InLoop:
    """Runs a program's own coroutines in its loop of asyncio, for trio's tasks that call them."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._wrap = wrap

    def function(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a coroutine function of trio that stands for one of asyncio."""

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            wrapped = {name: self._wrap(value) for name, value in kwargs.items()}
            return await self._run(functools.partial(function, *map(self._wrap, args), **wrapped))

        return call

    async def iterable(self, values: AsyncIterable[Any]) -> AsyncIterator[Any]:
        """Yield what an iterable of asyncio yields, one at a time: it is not run ahead."""
        iterator = aiter(values)
        end = object()

        async def step() -> Any:
            return await anext(iterator, end)

        try:
            while (value := await self._run(step)) is not end:
                yield value
        finally:
            if hasattr(iterator, "aclose"):
                with trio.CancelScope(shield=True):
                    await self._run(iterator.aclose)

    def reader(self, reader: Any) -> Any:
        """Return a reader of trio that stands for one of asyncio, such as a `StreamReader`."""
        return _Reader(self.function(reader.read))

    async def _run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """
        Await ``work()`` in the loop; cancelling this cancels it there, and waits for its end.

        :raises BridgeClosedError: if the loop has ended, or cancels the work on its own.
        """
        token, here = trio.lowlevel.current_trio_token(), trio.lowlevel.current_task()
        cancelled: list[Callable[[], object]] = []
        task: asyncio.Task[Any] | None = None

        def begin() -> None:
            nonlocal task
            task = self._loop.create_task(_awaited(work), context=self._context.copy())
            if cancelled:
                task.cancel()
            task.add_done_callback(end)

        def end(task: asyncio.Task[Any]) -> None:
            result = _result_of(task)
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(wake, result)

        def wake(result: Outcome[Any]) -> None:
            if cancelled and isinstance(result, Error) and type(result.error) is BridgeClosedError:
                result = Error(_caught(cancelled[0]))
            trio.lowlevel.reschedule(here, result)

        def abort(raise_cancel: Callable[[], object]) -> trio.lowlevel.Abort:
            cancelled.append(raise_cancel)
            try:
                self._loop.call_soon_threadsafe(lambda: task is not None and task.cancel())
            except RuntimeError:  # the loop is closed: nothing of it will come back
                return trio.lowlevel.Abort.SUCCEEDED
            return trio.lowlevel.Abort.FAILED

        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError:
            raise BridgeClosedError("asyncio's loop that this belongs to has ended") from None
        return await trio.lowlevel.wait_task_rescheduled(abort)


class _Reader:
    """A reader whose `read` is all that is needed."""

    def __init__(self, read: Callable[..., Awaitable[bytes]]) -> None:
        self._read = read

    async def read(self, size: int, /) -> bytes:
        return await self._read(size)


async def _awaited(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()


def _result_of(task: asyncio.Task[Any]) -> Outcome[Any]:
    if task.cancelled():
        return Error(BridgeClosedError("asyncio has cancelled what was called there"))
    error = task.exception()
    return Value(task.result()) if error is None else Error(error)


def _caught(raise_cancel: Callable[[], object]) -> BaseException:
    try:
        raise_cancel()
    except BaseException as error:  # noqa: BLE001 - task's edge: it is trio's Cancelled
        return error
    raise AssertionError("trio raised nothing")
