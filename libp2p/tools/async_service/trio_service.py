"""py-libp2p 0.6's path to `libp2p.tools.anyio_service`."""

from libp2p.tools.anyio_service.context import background_trio_service
from libp2p.tools.anyio_service.trio_manager import TrioManager

__all__ = ["TrioManager", "background_trio_service"]
