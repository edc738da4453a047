"""py-libp2p's view of what a host holds and may hold; `libp2p.resources` does the counting."""

from libp2p.exceptions import ResourceScopeClosed
from libp2p.rcmgr.manager import (
    ResourceLimits,
    ResourceManager,
    new_resource_manager,
)
from libp2p.rcmgr.metrics import Direction

__all__ = [
    "Direction",
    "ResourceLimits",
    "ResourceManager",
    "ResourceScopeClosed",
    "new_resource_manager",
]
