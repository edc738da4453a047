"""py-libp2p's services: objects whose `run` goes on in the background while a block is entered."""

from libp2p.tools.anyio_service.context import background_trio_service
from libp2p.tools.anyio_service.exceptions import (
    DaemonTaskExit,
    LifecycleError,
    ServiceException,
)
from libp2p.tools.anyio_service.service import Service, as_service
from libp2p.tools.anyio_service.trio_manager import TrioManager

__all__ = [
    "DaemonTaskExit",
    "LifecycleError",
    "Service",
    "ServiceException",
    "TrioManager",
    "as_service",
    "background_trio_service",
]
