"""py-libp2p's place where discoveries tell, within one process, whom they have found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from libp2p.utils.fault_log import FaultLog

if TYPE_CHECKING:
    from libp2p.peer.peerinfo import PeerInfo

#: Seconds for which py-libp2p keeps what was discovered.
TTL: Final = 60 * 60


class PeerDiscovery:
    """Calls functions with each peer that was found. One that raises is logged, not fatal."""

    def __init__(self) -> None:
        self._handlers: list[Callable[[PeerInfo], object]] = []
        self._faults = FaultLog()

    def register_peer_discovered_handler(self, handler: Callable[[PeerInfo], object]) -> None:
        """Call ``handler`` from now on."""
        self._handlers.append(handler)

    def unregister_peer_discovered_handler(self, handler: Callable[[PeerInfo], object]) -> None:
        """Call ``handler`` no more."""
        if handler in self._handlers:
            self._handlers.remove(handler)

    def emit_peer_discovered(self, peer_info: PeerInfo) -> None:
        """Call all handlers."""
        for handler in list(self._handlers):
            try:
                handler(peer_info)
            except Exception as error:  # noqa: BLE001 - task's edge: a program's own function
                self._faults.note("a handler of discovered peers", error)


peerDiscovery: Final = PeerDiscovery()
