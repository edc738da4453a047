"""The start and stop of a client, and the tasks that run in between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from libp2p.bitswap.errors import ClientClosedError
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

logger = get_logger(__name__)


class _Life:
    """One time between `start` and `stop`."""

    def __init__(self) -> None:
        self.started, self.stopped, self.finished = trio.Event(), trio.Event(), trio.Event()
        self.starters = 0
        """How many calls of `start` wait for ``started``."""
        self.is_up = False
        """A call of `start` has seen ``started``."""


class Service(ABC):
    """Runs the tasks of `BitswapEngine` in a nursery between `start` and `stop`."""

    def __init__(self) -> None:
        self.faults = FaultLog()
        self._user_nursery: trio.Nursery | None = None
        self._nursery: trio.Nursery | None = None
        self._life: _Life | None = None  # None unless between `start` and `stop`
        self._finished = trio.Event()  # of the life before
        self._finished.set()

    # -- given by `BitswapEngine` ---------------------------------------------------------------

    @abstractmethod
    def _spawn(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """
        Run a task for as long as the host runs.

        :raises HostException: if the host does not run.
        """

    @abstractmethod
    def _attach(self) -> None:
        """Begin to serve: set the stream handlers and subscribe to events of the host."""

    @abstractmethod
    def _parts(self) -> list[Callable[[], Awaitable[None]]]:
        """List the tasks without which the service cannot go on."""

    @abstractmethod
    def _leave(self, fault: Exception | None) -> None:
        """Leave the host and fail all waiters; the nursery is being cancelled."""

    @abstractmethod
    def _drop_outcomes(self) -> None:
        """Drop the work that the cancelled tasks have left."""

    # -- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """
        Begin to serve and to fetch; return when the service runs, also if another call began it.

        :raises HostException: if neither the host runs nor a nursery was set.
        :raises ClientClosedError: if the service is stopped meanwhile.
        """
        while self._life is None and not self._finished.is_set():
            await self._finished.wait()
        life = self._life
        if life is None:
            life = _Life()
            if self._user_nursery is not None:
                self._user_nursery.start_soon(self._serve, life)
            else:
                self._spawn(self._serve, life)
            self._life, self._finished = life, life.finished
        life.starters += 1
        try:
            await life.started.wait()
            life.is_up = True
        finally:
            life.starters -= 1
            if not life.is_up and not life.starters:
                self._end(life)  # all callers were cancelled, so nobody would call `stop`
        if self._life is not life:
            raise ClientClosedError("bitswap was stopped while it started")

    def set_nursery(self, nursery: trio.Nursery) -> None:
        """Run the tasks in this nursery instead of the host's."""
        self._user_nursery = nursery

    async def stop(self) -> None:
        """End all fetches and streams; `start` may follow."""
        if self._life is not None:
            self._end(self._life)
        # py-libp2p's programs call this in a nursery that is cancelled already.
        with trio.CancelScope(shield=True):
            await self._finished.wait()

    async def _serve(self, life: _Life) -> None:
        try:
            if not life.stopped.is_set():
                await self._live(life)
        except Exception:  # task's edge: a host or a nursery of the user's must go on
            logger.exception("bitswap cannot start")
        finally:
            self._drop_outcomes()
            self._end(life)
            life.started.set()
            life.finished.set()

    async def _live(self, life: _Life) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                self._attach()
                for part in self._parts():
                    nursery.start_soon(self._run_part, life, part)
                life.started.set()
                await life.stopped.wait()
            finally:
                # Before the nursery is cancelled, so that no task is started in it any more.
                self._end(life)
                nursery.cancel_scope.cancel()

    async def _run_part(self, life: _Life, part: Callable[[], Awaitable[None]]) -> None:
        """Run a task of `_parts`; if it fails, the service ends."""
        with fault_barrier(partial(self._part_failed, life)):
            await part()

    def _part_failed(self, life: _Life, error: Exception) -> None:
        logger.error("bitswap ends by a fault", exc_info=error)
        self._end(life, error)

    def _end(self, life: _Life, fault: Exception | None = None) -> None:
        if self._life is not life:
            return
        self._life = None
        life.stopped.set()
        if self._nursery is not None:  # else `_live` has not begun
            self._nursery = None
            self._leave(fault)

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`, unless a task of `_parts` has failed."""
        return self._nursery is not None

    def start_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task for as long as the client works; its errors end only this task."""
        if self._nursery is not None:
            self._nursery.start_soon(self._run_task, task, *args, name=task)

    async def _run_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        what = f"bitswap's {getattr(task, '__qualname__', task)}"
        with fault_barrier(partial(self.faults.note, what)):
            await task(*args)
