"""Runs a service and the tasks that it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import trio

from libp2p.tools.anyio_service.exceptions import DaemonTaskExit, LifecycleError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class ManagedService(Protocol):
    """What is used of a `Service`."""

    async def run(self) -> None: ...

    def set_manager(self, manager: TrioManager) -> None: ...


class TrioManager:
    """
    The life of one service.

    :param name: of the service, for errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = trio.Event()
        self._finished = trio.Event()
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._did_error = False

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
        return self._scope.cancel_called

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

    def cancel(self) -> None:
        """Tell it to end."""
        self._scope.cancel()

    async def stop(self) -> None:
        """Tell it to end, and wait until it has."""
        self.cancel()
        await self.wait_finished()

    async def run(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Run the service's own function, and after it the tasks that are left."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    self._started.set()
                    await work()
        except BaseException:
            self._did_error = not self.is_cancelled
            raise
        finally:
            self._nursery = None
            self._finished.set()

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
        if daemon:
            self._nursery.start_soon(self._run_daemon, async_fn, *args, name=name)
        else:
            self._nursery.start_soon(async_fn, *args, name=name)

    def run_daemon_task(
        self, async_fn: Callable[..., Awaitable[Any]], *args: object, name: str | None = None
    ) -> None:
        """Start a task that is not to return while the service runs."""
        self.run_task(async_fn, *args, daemon=True, name=name)

    def run_child_service(
        self, service: ManagedService, daemon: bool = False, name: str | None = None
    ) -> TrioManager:
        """Run another service as a task of this one; return its manager."""
        manager = TrioManager(type(service).__name__)
        service.set_manager(manager)
        self.run_task(manager.run, service.run, daemon=daemon, name=name)
        return manager

    def run_daemon_child_service(
        self, service: ManagedService, name: str | None = None
    ) -> TrioManager:
        """Run another service that is not to end while this one runs."""
        return self.run_child_service(service, daemon=True, name=name)

    async def _run_daemon(self, async_fn: Callable[..., Awaitable[Any]], *args: object) -> None:
        await async_fn(*args)
        if not self.is_cancelled:
            raise DaemonTaskExit(f"a task of {self._name} has returned that was to run for ever")
