"""py-libp2p's path of a resource manager's errors; they are in `libp2p.exceptions`."""

from libp2p.exceptions import ResourceManagerException, ResourceScopeClosed, ScopeClosedException

__all__ = ["ResourceManagerException", "ResourceScopeClosed", "ScopeClosedException"]
