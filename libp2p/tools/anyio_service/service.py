"""Services as py-libp2p has them: a `run` method, and a manager that its tasks belong to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from libp2p.tools.anyio_service.exceptions import LifecycleError
from libp2p.utils.background import background_nursery

if TYPE_CHECKING:
    from libp2p.tools.anyio_service.trio_manager import TrioManager

F = TypeVar("F", bound="Callable[..., Awaitable[Any]]")


class Service(ABC):
    """Something that runs in the background: `background_trio_service` does that."""

    _manager: TrioManager | None = None
    _arguments: tuple[tuple[object, ...], dict[str, object]]

    @abstractmethod
    async def run(self) -> None:
        """Do the work; it is cancelled when the service is stopped."""

    @property
    def manager(self) -> TrioManager:
        """What runs the service; for its own methods."""
        return self.get_manager()

    def get_manager(self) -> TrioManager:
        """
        Return what runs the service.

        :raises LifecycleError: if it has not been run.
        """
        if self._manager is None:
            raise LifecycleError(f"{type(self).__name__} has not been run")
        return self._manager

    def set_manager(self, manager: TrioManager) -> None:
        """
        Note what runs the service.

        :raises LifecycleError: if something does already.
        """
        if self._manager is not None and self._manager.is_running:
            raise LifecycleError(f"{type(self).__name__} is running already")
        self._manager = manager


def as_service(function: Callable[..., Awaitable[Any]]) -> type[Service]:
    """Make a service of an async function; its first argument is the manager."""

    def begin(self: Service, *args: object, **kwargs: object) -> None:
        self._arguments = args, kwargs

    async def run(self: Service) -> None:
        args, kwargs = self._arguments
        await function(self.manager, *args, **kwargs)

    members = {"__init__": begin, "run": run, "__doc__": function.__doc__}
    return type(function.__name__, (Service,), members)


def external_api(function: F) -> F:
    """
    Let a method of a service be called while that runs.

    It raises `LifecycleError` at other times, and also if the service ends meanwhile.
    """

    @wraps(function)
    async def call(self: Service, *args: object, **kwargs: object) -> object:
        manager = self.get_manager()
        if not manager.is_running:
            raise LifecycleError(f"{type(self).__name__} is not running")

        async with background_nursery() as nursery:

            async def end_with_it() -> None:
                await manager.wait_finished()
                nursery.cancel_scope.cancel()

            nursery.start_soon(end_with_it)
            result = await function(self, *args, **kwargs)
            nursery.cancel_scope.cancel()
            return result
        raise LifecycleError(f"{type(self).__name__} has ended before {function.__name__} was done")

    return cast("F", call)
