"""py-libp2p's `ConnectionPruner`. A swarm of this library prunes by itself: see `SwarmConfig`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libp2p.network.swarm import Swarm


class ConnectionPruner:
    """
    Lets programs of py-libp2p run; whenever a connection is added, the swarm closes what it must.

    Which connections are closed is set by ``high_water``, ``low_water`` and ``idle_grace`` of
    `libp2p.network.config.SwarmConfig`, and by `Swarm.connection_manager`.
    """

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm

    async def start(self) -> None:
        """Return at once."""

    async def stop(self) -> None:
        """Return at once."""

    async def maybe_prune_connections(self) -> None:
        """Return at once: there is never more to close than the swarm has closed."""
