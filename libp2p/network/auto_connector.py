"""py-libp2p's `AutoConnector`; `libp2p.discovery.bootstrap.keeper` does more, with back-off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from libp2p.events import PeerDisconnected
from libp2p.utils import arguments
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.network.swarm import Swarm

logger = get_logger(__name__)

#: Connections below which peers are dialled: Kubo's number for its bootstrap.
MIN_CONNECTIONS: Final = 4
#: Seconds between two rounds at least, so that a peer which hangs up is not dialled in a loop.
AUTO_CONNECT_INTERVAL: Final = 30.0


class AutoConnector:
    """
    Dials peers of the peer store while the swarm has fewer than ``least`` connections.

    A round begins when the task starts and when a connection has ended. While there are too few
    connections, the next round begins ``auto_connect_interval`` seconds after the last one.
    """

    def __init__(
        self,
        swarm: Swarm,
        auto_connect_interval: float = AUTO_CONNECT_INTERVAL,
        *,
        least: int = MIN_CONNECTIONS,
    ) -> None:
        self.swarm = swarm
        self.least: Final = arguments.count(least, "least")
        self.auto_connect_interval = arguments.seconds(
            auto_connect_interval, "auto_connect_interval"
        )
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def start(self) -> None:
        """Allow `run_background_task`."""
        self._scope = trio.CancelScope()

    async def stop(self) -> None:
        """End the task."""
        self._scope.cancel()

    async def run_background_task(self, nursery: trio.Nursery) -> None:
        """Start the rounds in the program's nursery."""
        nursery.start_soon(self.run)

    async def maybe_connect(self) -> None:
        """Dial peers that are known, one after the other, until there are enough connections."""
        swarm = self.swarm
        for peer_id in swarm.peerstore.peers_with_addrs():
            if len(swarm.get_connections()) >= self.least:
                return
            if peer_id != swarm.self_id and not swarm.get_connections(peer_id):
                with fault_barrier(lambda error: logger.debug("not connected: %s", error)):
                    await swarm.dial_peer(peer_id)

    async def run(self) -> None:
        """Run the rounds until cancelled, or until `stop`."""
        subscription = self.swarm.events.subscribe(lambda _: self._ended.set(), PeerDisconnected)
        try:
            with self._scope:
                while True:
                    self._ended = trio.Event()
                    due = trio.current_time() + self.auto_connect_interval
                    await self.maybe_connect()
                    if len(self.swarm.get_connections()) >= self.least:
                        await self._ended.wait()
                    await trio.sleep_until(due)  # time: see `auto_connect_interval`
        finally:
            subscription.cancel()
