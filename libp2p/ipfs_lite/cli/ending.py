"""
Ends a command before it is done: by a signal, or at its time limit.

First its tasks are cancelled, so that they clean up. If that takes longer than `GRACE`, a system
call blocks one of them; then the process removes half-written files and exits.
"""

from __future__ import annotations

import _thread
import gc
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType
from typing import Final, NoReturn

import trio

from libp2p.exceptions import BaseLibp2pError
from libp2p.ipfs_lite.cli.terminal import tell
from libp2p.ipfs_lite.errors import plain_errors
from libp2p.ipfs_lite.output import give_up_all

#: Seconds for cleaning up: an interrupted command ends within a second.
GRACE: Final = 0.4
_LAST_GRACE: Final = 0.2
LATE: Final = "not done in the time that --timeout gave"
INTERRUPTED: Final = "interrupted"
#: Shells report a process that signal N ended by the exit code 128 + N.
BY_SIGNAL: Final = 128


class Interrupted(BaseLibp2pError):
    """A signal has ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__(INTERRUPTED)
        self.number = number


def run_to_an_end(
    work: Callable[[], Awaitable[None]], timeout: float | None, *, stopping_is_success: bool = False
) -> None:
    """
    Run ``work`` until it is done.

    :param timeout: seconds from now.
    :param stopping_is_success: stopping is the normal end, as for a server.
    :raises Interrupted: if a signal came before.
    :raises trio.TooSlowError: if the time is over before.
    """
    if not gc.isenabled():  # by `entry.main`
        gc.freeze()
        gc.enable()
    ending = _Ending(stopping_is_success)
    previous = {number: signal.getsignal(number) for number in _signals()}
    for number in previous:
        signal.signal(number, ending.on_signal)
    try:
        with plain_errors():
            trio.run(ending.run, work, timeout)
    except (Interrupted, trio.TooSlowError):
        if not stopping_is_success:
            raise
    finally:
        ending.is_over.set()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _signals() -> list[signal.Signals]:
    if threading.current_thread() is not threading.main_thread():
        return []
    numbers = [signal.SIGINT, signal.SIGTERM]
    # nohup has it ignored: the command is to outlive its terminal.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


class _Ending:
    def __init__(self, stopping_is_success: bool) -> None:
        self.is_over = threading.Event()
        self._stopping_is_success = stopping_is_success
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._signal = 0

    async def run(self, work: Callable[[], Awaitable[None]], timeout: float | None) -> None:
        self._token = trio.lowlevel.current_trio_token()
        if timeout is not None:
            self._scope.deadline = trio.current_time() + timeout
            self._leave_after(timeout + GRACE, LATE, 1)
        try:
            with self._scope:
                await work()
        except Exception as error:
            if self._signal:  # errors of an interrupted command are not reported
                raise Interrupted(self._signal) from error
            raise
        if self._scope.cancelled_caught:
            raise Interrupted(self._signal) if self._signal else trio.TooSlowError

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Begin to stop; called between any two instructions of the main thread."""
        if self._signal:
            return
        self._signal = number
        if self._token is None:  # before the first task
            self._scope.cancel()
        else:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._scope.cancel)
        self._leave_after(GRACE, INTERRUPTED, BY_SIGNAL + number)

    def _leave_after(self, seconds: float, text: str, code: int) -> None:
        def leave() -> None:
            if self.is_over.wait(min(seconds, threading.TIMEOUT_MAX)):
                return
            _start(clean_up)  # it may hang on the same disk
            is_clean.wait(_LAST_GRACE)
            if self._stopping_is_success:
                os._exit(0)
            tell(text)
            os._exit(code)

        def clean_up() -> None:
            give_up_all()
            is_clean.set()

        is_clean = threading.Event()
        _start(leave)


def _start(call: Callable[[], None]) -> None:
    """
    Call in a thread.

    Not a `threading.Thread`: starting one takes a lock, which the main thread may hold when a
    signal interrupts it.
    """
    _thread.start_new_thread(call, ())


def end_by_signal(number: int) -> NoReturn:
    """
    End the process by the signal, as if there were no handler.

    A shell stops a script at an interrupt only if the signal ended the command; it goes on if the
    command exits with a code.
    """
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(BY_SIGNAL + number)  # the signal is blocked
