"""py-libp2p's list of transports: by itself, or that of a swarm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import ITransport


class TransportManager:
    """Finds the transport for an address: the first one that understands it."""

    def __init__(self, on_added: Callable[[ITransport], object] = lambda _: None) -> None:
        """:param on_added: called with each transport that is added."""
        self._transports: list[ITransport] = []
        self._on_added = on_added

    def add_transport(self, transport: ITransport) -> None:
        """Add a transport behind the others."""
        self._transports.append(transport)
        self._on_added(transport)

    def add_transports(self, transports: Iterable[ITransport]) -> None:
        """Add transports, in this order."""
        for transport in transports:
            self.add_transport(transport)

    def get_transports(self) -> list[ITransport]:
        """Return all transports."""
        return list(self._transports)

    def transport_for_dialing(self, maddr: Multiaddr) -> ITransport | None:
        """Return the transport that dials an address, if there is one."""
        return next((each for each in self._speaking(maddr) if each.can_dial(maddr)), None)

    def transport_for_listening(self, maddr: Multiaddr) -> ITransport | None:
        """Return the transport that listens on an address, if there is one."""
        return next((each for each in self._speaking(maddr) if each.can_listen(maddr)), None)

    def has_transport_for(self, maddr: Multiaddr) -> bool:
        """Tell whether an address can be dialled."""
        return self.transport_for_dialing(maddr) is not None

    def _speaking(self, maddr: Multiaddr) -> Iterable[ITransport]:
        names = {protocol.name for protocol in maddr.protocols()}
        for transport in self._transports:
            protocols = getattr(transport, "protocols", None)  # our own need not tell them
            if protocols is None or names.intersection(protocols()):
                yield transport

    def set_background_nursery(self, nursery: Any) -> None:
        """Give a nursery to each transport that takes one."""
        self._set("set_background_nursery", nursery)

    def set_swarm(self, swarm: Any) -> None:
        """Give the swarm to each transport that takes one."""
        self._set("set_swarm", swarm)

    def _set(self, method: str, value: object) -> None:
        for transport in self._transports:
            if (call := getattr(transport, method, None)) is not None:
                call(value)
