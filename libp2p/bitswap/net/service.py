"""The lives of a client: begun, ended, and ended by a fault."""

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
        """Who waits for it to begin."""
        self.is_up = False
        """One of them has seen it begin."""


class Service(ABC):
    """What `BitswapEngine` does in a nursery between `start` and `stop`."""

    def __init__(self) -> None:
        self.faults = FaultLog()
        self._user_nursery: trio.Nursery | None = None
        self._nursery: trio.Nursery | None = None
        self._life: _Life | None = None  # there between `start` and `stop`
        self._finished = trio.Event()  # of the life before
        self._finished.set()

    # -- what it is made of ---------------------------------------------------------------------

    @abstractmethod
    def _spawn(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """
        Run a task for as long as the host runs.

        :raises HostException: if it does not run.
        """

    @abstractmethod
    def _attach(self) -> None:
        """Begin: be told of what happens in the host."""

    @abstractmethod
    def _parts(self) -> list[Callable[[], Awaitable[None]]]:
        """List the tasks that it cannot do without."""

    @abstractmethod
    def _leave(self, fault: Exception | None) -> None:
        """End: leave the host and tell everybody who waits. The nursery is being cancelled."""

    @abstractmethod
    def _drop_outcomes(self) -> None:
        """Forget what the tasks have left over that have ended with the nursery."""

    # -- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """
        Begin to serve and to fetch; this returns when it has begun, whoever has started it.

        :raises HostException: if neither the host runs nor a nursery was set.
        :raises ClientClosedError: if it is stopped meanwhile.
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
                self._end(life)  # nobody is left who would stop it
        if self._life is not life:
            raise ClientClosedError("bitswap was stopped while it started")

    def set_nursery(self, nursery: trio.Nursery) -> None:
        """Run the tasks in this nursery instead of the host's."""
        self._user_nursery = nursery

    async def stop(self) -> None:
        """End all fetches and streams; it can be started again."""
        if self._life is not None:
            self._end(self._life)
        # py-libp2p's programs cancel the nursery around them first, and still have things to close.
        with trio.CancelScope(shield=True):
            await self._finished.wait()

    async def _serve(self, life: _Life) -> None:
        try:
            if not life.stopped.is_set():
                await self._live(life)
        except Exception:  # task's edge: a host or a nursery of the user's must go on
            logger.exception("bitswap cannot start")
        finally:
            self._drop_outcomes()  # of tasks that have ended with the nursery
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
                self._end(life)  # before the nursery ends: nothing may be started in it then
                nursery.cancel_scope.cancel()

    async def _run_part(self, life: _Life, part: Callable[[], Awaitable[None]]) -> None:
        """Run what the client cannot do without: it ends, and says so, if that ends."""
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
        if self._nursery is not None:  # else it has not begun
            self._nursery = None
            self._leave(fault)

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`, as long as nothing in it has failed."""
        return self._nursery is not None

    def start_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task for as long as the client works; what it raises ends it alone."""
        if self._nursery is not None:
            self._nursery.start_soon(self._run_task, task, *args, name=task)

    async def _run_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        what = f"bitswap's {getattr(task, '__qualname__', task)}"
        with fault_barrier(partial(self.faults.note, what)):
            await task(*args)
