"""py-libp2p's services: objects whose `run` goes on in the background while a block is entered."""

from libp2p.tools.anyio_service.context import background_anyio_service, background_trio_service
from libp2p.tools.anyio_service.exceptions import (
    DaemonTaskExit,
    LifecycleError,
    ServiceException,
)
from libp2p.tools.anyio_service.service import Service, as_service, external_api
from libp2p.tools.anyio_service.trio_manager import AnyIOManager, Stats, TaskStats, TrioManager

__all__ = [
    "AnyIOManager",
    "DaemonTaskExit",
    "LifecycleError",
    "Service",
    "ServiceException",
    "Stats",
    "TaskStats",
    "TrioManager",
    "as_service",
    "background_anyio_service",
    "background_trio_service",
    "external_api",
]
