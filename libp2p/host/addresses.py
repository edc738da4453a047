"""Where others can reach this host: what it gives to them as its addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.peer.addresses import address_from_text, with_peer_id
from libp2p.peer.interfaces import local_interfaces
from libp2p.peer.own_addresses import is_any_interface, reachable_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from multiaddr import Multiaddr

    from libp2p.peer.id import ID
    from libp2p.peer.own_addresses import Interface


class HostAddresses:
    """The addresses of one host, found again when its listeners or interfaces are others."""

    def __init__(
        self,
        peer_id: ID,
        listening: Callable[[], list[Multiaddr]],
        announced: Sequence[Multiaddr | str] = (),
    ) -> None:
        """
        Note what the addresses are made of.

        :param listening: what the host listens on, at any time.
        :param announced: what it has in place of that.
        """
        self._peer_id = peer_id
        self._listening = listening
        self._announced = [
            address_from_text(address) if isinstance(address, str) else address
            for address in announced
        ]
        # What the host listened on, the interfaces by then, and the addresses that follow.
        self._found: tuple[list[Multiaddr], Sequence[Interface], list[Multiaddr]] = [], (), []

    def get(self) -> list[Multiaddr]:
        """Return the addresses with ``/p2p/<id>``; see `BasicHost.get_addrs`."""
        listening = self._announced or self._listening()
        interfaces: Sequence[Interface] = ()
        if any(map(is_any_interface, listening)):
            interfaces = local_interfaces()
        if self._found[:2] != (listening, interfaces):
            found = reachable_addresses(listening, interfaces)
            found = [with_peer_id(address, self._peer_id) for address in found]
            self._found = listening, interfaces, found
        return list(self._found[2])
