"""Where others can reach this host: what it gives to them as its addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from libp2p.peer.addresses import to_multiaddrs, with_peer_id
from libp2p.peer.interfaces import local_interfaces
from libp2p.peer.own_addresses import is_any_interface, reachable_addresses

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.peer.id import ID
    from libp2p.peer.own_addresses import Interface

#: Returns what a host tells others, given what it would have told.
AddrsFactory: TypeAlias = "Callable[[list[Multiaddr]], Sequence[Multiaddr]]"


class HostAddresses:
    """The addresses of one host, found again when its listeners or interfaces are others."""

    def __init__(
        self,
        peer_id: ID,
        listening: Callable[[], list[Multiaddr]],
        announced: Sequence[Multiaddr | str] | None = None,
        observed: Callable[[], Sequence[Multiaddr]] = tuple,
        factory: AddrsFactory | None = None,
    ) -> None:
        """
        Note what the addresses are made of.

        :param listening: what the host listens on, at any time.
        :param announced: what it has in place of that; an empty list is nothing.
        :param observed: where its peers see it, at any time.
        :param factory: gets all these, and returns what is told.
        """
        self._peer_id = peer_id
        self._listening = listening
        self._announced = None if announced is None else to_multiaddrs(announced, "announce_addrs")
        self._observed = observed
        self._factory = factory
        # What the host listened on, the interfaces by then, and the addresses that follow.
        self._found: tuple[list[Multiaddr], Sequence[Interface], list[Multiaddr]] = [], (), []

    def get(self) -> list[Multiaddr]:
        """Return the addresses with ``/p2p/<id>``; see `BasicHost.get_addrs`."""
        listening = self._listening() if self._announced is None else self._announced
        interfaces: Sequence[Interface] = ()
        if any(map(is_any_interface, listening)):
            interfaces = local_interfaces()
        if self._found[:2] != (listening, interfaces):
            self._found = listening, interfaces, reachable_addresses(listening, interfaces)
        found = [*self._found[2], *(self._observed() if self._announced is None else ())]
        if self._factory is not None:
            found = to_multiaddrs(self._factory(found), "what addrs_factory returns")
        return list(dict.fromkeys(with_peer_id(address, self._peer_id) for address in found))
