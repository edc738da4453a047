"""Runs a service and the tasks that it starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

import trio

from libp2p.tools.anyio_service.exceptions import DaemonTaskExit, LifecycleError


class Runnable(Protocol):
    """A `Service`, or one of this library's objects: ``async with it.run()``."""

    def run(self) -> Any: ...


class TaskStats(NamedTuple):
    """How many tasks a service has started, and how many of them are over."""

    total_count: int
    finished_count: int

    @property
    def pending_count(self) -> int:
        """How many are running."""
        return self.total_count - self.finished_count


class Stats(NamedTuple):
    """What is counted of a service."""

    tasks: TaskStats


class TrioManager:
    """The life of one service."""

    def __init__(self, service: Runnable) -> None:
        """
        :param service: its `run` is an async function, or returns an async context manager as that
            of `KadDHT` does.
        """
        self._service = service
        self._name = type(service).__name__
        self._started = trio.Event()
        self._finished = trio.Event()
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._cancelled = self._did_error = False
        self._total = self._over = 0

    @property
    def is_started(self) -> bool:
        """Whether the service has begun."""
        return self._started.is_set()

    @property
    def is_running(self) -> bool:
        """Whether it has begun and is not over."""
        return self.is_started and not self.is_finished

    @property
    def is_cancelled(self) -> bool:
        """Whether it was told to end."""
        return self._cancelled

    @property
    def is_finished(self) -> bool:
        """Whether it is over."""
        return self._finished.is_set()

    @property
    def did_error(self) -> bool:
        """Whether it ended with an error."""
        return self._did_error

    async def wait_started(self) -> None:
        """Wait until the service has begun."""
        await self._started.wait()

    async def wait_finished(self) -> None:
        """Wait until it is over."""
        await self._finished.wait()

    @property
    def stats(self) -> Stats:
        """How many tasks there are; the service's own function is none of them."""
        return Stats(TaskStats(self._total, self._over))

    def cancel(self) -> None:
        """
        Tell it to end.

        :raises LifecycleError: if it has not begun.
        """
        if not self.is_started:
            raise LifecycleError(f"{self._name} has not been run")
        if not self.is_finished:
            self._cancel()

    def _cancel(self) -> None:
        self._cancelled = True
        self._scope.cancel()

    async def stop(self) -> None:
        """Tell it to end, and wait until it has."""
        self.cancel()
        await self.wait_finished()

    @classmethod
    async def run_service(cls, service: Runnable) -> None:
        """Run a service to its end."""
        await cls(service).run()

    async def run(self) -> None:
        """
        Run the service's own function, and after it the tasks that are left.

        :raises LifecycleError: if it was run before.
        :raises ExceptionGroup: of what the function and the tasks have raised.
        """
        if self.is_started or self._nursery is not None:
            raise LifecycleError(f"{self._name} was run already")
        self.take_over()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    await self._work()
        except Exception:
            self._did_error = True
            self._cancel()
            raise
        finally:
            self._nursery = None
            self._finished.set()

    def take_over(self) -> None:
        """
        Tell a `Service` that this is its manager.

        :raises LifecycleError: if it is run by another one.
        """
        if (set_manager := getattr(self._service, "set_manager", None)) is not None:
            set_manager(self)

    async def _work(self) -> None:
        running = self._service.run()
        if isinstance(running, AbstractAsyncContextManager):
            async with running:
                self._started.set()
                await trio.sleep_forever()
        self._started.set()
        await running

    # -- what the service's methods use -------------------------------------------------------

    def run_task(
        self,
        async_fn: Callable[..., Awaitable[Any]],
        *args: object,
        daemon: bool = False,
        name: str | None = None,
    ) -> None:
        """
        Start a task of the service; its failure ends the service.

        :raises LifecycleError: if the service is not running.
        """
        if self._nursery is None:
            raise LifecycleError(f"{self._name} is not running")
        self._total += 1
        self._nursery.start_soon(self._run_task, daemon, async_fn, *args, name=name or async_fn)

    def run_daemon_task(
        self, async_fn: Callable[..., Awaitable[Any]], *args: object, name: str | None = None
    ) -> None:
        """Start a task that is not to return while the service runs."""
        self.run_task(async_fn, *args, daemon=True, name=name)

    def run_child_service(
        self, service: Runnable, daemon: bool = False, name: str | None = None
    ) -> TrioManager:
        """Run another service as a task of this one; return its manager."""
        manager = TrioManager(service)
        self.run_task(manager.run, daemon=daemon, name=name)
        return manager

    def run_daemon_child_service(self, service: Runnable, name: str | None = None) -> TrioManager:
        """Run another service that is not to end while this one runs."""
        return self.run_child_service(service, daemon=True, name=name)

    async def _run_task(
        self, daemon: bool, async_fn: Callable[..., Awaitable[Any]], *args: object
    ) -> None:
        try:
            await async_fn(*args)
        finally:
            self._over += 1
        if daemon and not self.is_cancelled:
            raise DaemonTaskExit(f"a task of {self._name} has returned that was to run for ever")


#: This library runs on trio only, and so do its services: the same by py-libp2p's other name.
AnyIOManager = TrioManager
