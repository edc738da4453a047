"""The thread in which trio runs for programs that do not: one for the process."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Final, TypeVar

import trio
from outcome import Error, Value

from libp2p.exceptions import BridgeClosedError

if TYPE_CHECKING:
    from outcome import Outcome

T = TypeVar("T")

#: Seconds that what runs for the whole process (`TrioThread.lasting`) may take to end at exit. A
#: peer that is not read by its peers takes up to ten.
ENDING_SECONDS: Final = 10.0
#: Seconds more that the process waits for what does not even end when it is cancelled.
JOIN_SECONDS: Final = 2.0

_lasting: Final[trio.lowlevel.RunVar[tuple[trio.Nursery, trio.Event]]] = trio.lowlevel.RunVar(
    "lasting"
)


class TrioThread:
    """
    A thread that runs trio until the process ends.

    It is a daemon: a thread that is none would keep the process from ending. `stop`, called at
    exit, ends what it runs.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._started = threading.Event()
        self._thread = threading.Thread(
            target=trio.run, args=(self._main,), name="libp2p", daemon=True
        )
        self._thread.start()
        self._started.wait()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stopping = trio.Event()
        async with trio.open_nursery() as self._calls:
            async with trio.open_nursery() as lasting:
                _lasting.set((lasting, self._stopping))
                self._started.set()
                await self._stopping.wait()
                self._calls.start_soon(_end_late, lasting.cancel_scope)
            self._calls.cancel_scope.cancel()

    @property
    def is_usable(self) -> bool:
        """False in a process that was forked from the one with the thread, and after `stop`."""
        return self._pid == os.getpid() and self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """True within the thread."""
        return threading.current_thread() is self._thread

    def soon(self, function: Callable[[], object]) -> None:
        """
        Call a function in the thread; it must not raise.

        :raises BridgeClosedError: if the thread has ended, or is that of a parent process.
        """
        if self._pid != os.getpid():
            raise BridgeClosedError("this was made before the process was forked: make it anew")
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            raise BridgeClosedError from None

    def start(
        self, task: Callable[[], Awaitable[T]], deliver: Callable[[Outcome[T]], object]
    ) -> Callable[[], None]:
        """
        Run a task in the thread, with the context variables of the caller.

        :param deliver: called in the thread, once, with what the task has returned or raised.
        :return: what cancels it; then it has raised `trio.Cancelled`, or was done already.
        """
        context = copy_context()
        scope = trio.CancelScope()

        async def run() -> None:
            result: Outcome[T] | None = None
            try:
                with scope:
                    result = Value(await task())
            except BaseException as error:  # noqa: BLE001 - task's edge: the caller gets it
                ended = self._stopping.is_set() and not isinstance(error, Exception)
                result = Error(BridgeClosedError() if ended else error)
            deliver(_CANCELLED if result is None else result)

        def begin() -> None:
            try:
                context.run(self._calls.start_soon, run)
            except RuntimeError:  # the nursery has ended
                deliver(Error(BridgeClosedError()))

        self.soon(begin)

        def cancel() -> None:
            self.soon(scope.cancel)

        return cancel

    def stop(self) -> None:
        """End all that runs in the thread, and wait for it."""
        if self.is_usable:
            self.soon(self._stopping.set)
            self._thread.join(ENDING_SECONDS + JOIN_SECONDS)


async def _end_late(scope: trio.CancelScope) -> None:
    await trio.sleep(ENDING_SECONDS)  # time: it is what is given to tasks that end
    scope.cancel()


class _CancelledOverThere(BaseException):
    """What a task that was cancelled from this side is said to have raised."""


_CANCELLED: Final = Error(_CancelledOverThere())


def lasting_nursery() -> tuple[trio.Nursery, trio.Event]:
    """
    Return the nursery of tasks that last as long as the process, and the event that ends them.

    Call it in the thread.
    """
    return _lasting.get()


class _Current:
    """The thread of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: TrioThread | None = None
        self._hooks = False

    def get(self) -> TrioThread:
        with self.lock:
            if self.thread is None or not self.thread.is_usable:
                if not self._hooks:
                    self._hooks = True
                    atexit.register(self.stop)
                    if hasattr(os, "register_at_fork"):
                        os.register_at_fork(after_in_child=self.forget)
                self.thread = TrioThread()
            return self.thread

    def forget(self) -> None:
        """Begin anew in a forked process; there the lock may be held by a thread that is not."""
        self.lock = threading.Lock()
        self.thread = None

    def stop(self) -> None:
        if self.thread is not None:
            self.thread.stop()


_current: Final = _Current()


def current() -> TrioThread:
    """Return the process's thread; it is started if need be."""
    return _current.get()


def stop() -> None:
    """End the process's thread, with all that runs in it; the next use starts another one."""
    _current.stop()
