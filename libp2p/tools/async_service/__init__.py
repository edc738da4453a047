"""py-libp2p 0.6's path to `libp2p.tools.anyio_service`."""

from libp2p.tools.anyio_service import (
    DaemonTaskExit,
    LifecycleError,
    Service,
    ServiceException,
    TrioManager,
    as_service,
    background_trio_service,
)

__all__ = [
    "DaemonTaskExit",
    "LifecycleError",
    "Service",
    "ServiceException",
    "TrioManager",
    "as_service",
    "background_trio_service",
]
