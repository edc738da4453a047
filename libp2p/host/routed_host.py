"""A host that asks a router for the addresses of peers which it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from libp2p.exceptions import ConnectionFailure, RoutingError, StreamFailure
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import known_addresses
from libp2p.routing.peer_finder import PeerFinder
from libp2p.utils import arguments

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import TProtocol
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.network.swarm import Swarm

__all__ = ["RoutedHost"]


class RoutedHost(BasicHost):
    """
    A host with a `PeerRouter`.

    ``connect`` and ``new_stream`` ask it when no address of a peer is known, or when none of those
    that are known leads to the peer. What it answers is hearsay: see `BasicHost.connect`.
    """

    def __init__(
        self,
        network: Swarm,
        router: object = None,
        **options: Any,
    ) -> None:
        """
        :param router: a `PeerRouter`, or one in py-libp2p's style; `set_router` if it needs the
            host first, as a DHT does.
        :param options: those of `BasicHost`.
        """
        super().__init__(network, **options)
        self._finder: PeerFinder | None = None
        self.set_router(router)

    def set_router(self, router: object) -> None:
        """
        Ask this router from now on; None asks nobody.

        :raises TypeError: if it is no `PeerRouter`.
        """
        if router is not None:
            arguments.having(router, ("find_peer",), "router", "a PeerRouter")
        self._finder = None if router is None else PeerFinder(router)

    async def connect(
        self, peer_info: PeerInfo | Multiaddr | str, *, hearsay: bool = False
    ) -> None:
        """
        Connect to a peer as `BasicHost.connect` does, with the router's addresses if need be.

        :raises ConnectionFailure: if there is no connection, with the router's reason as well.
        """
        info = PeerInfo.of(peer_info)
        known = [*known_addresses(self.peerstore, info.peer_id), *info.addrs]
        if known or self._finder is None or self.is_peer_connected(info.peer_id):
            try:
                await super().connect(info, hearsay=hearsay)
                return
            except ConnectionFailure as failure:
                if self._finder is None:
                    raise
                found = await self._ask(self._finder, info.peer_id, f"{failure}; ")
                if not set(found.addrs) - set(known):
                    raise
        else:
            found = await self._ask(self._finder, info.peer_id, "")
        await super().connect(found, hearsay=True)

    async def new_stream(
        self,
        peer_id: ID | str,
        protocol_ids: Sequence[TProtocol] | TProtocol,
        *,
        no_dial: bool = False,
    ) -> NetStream:
        """
        Open a stream as `BasicHost.new_stream` does, with the router's addresses if need be.

        :raises StreamFailure: if there is no connection, or no protocol is accepted.
        """
        peer_id = ID.of(peer_id)
        if not no_dial and self._finder is not None and not self.is_peer_connected(peer_id):
            protocol_ids = arguments.protocols(protocol_ids)
            try:
                await self.connect(PeerInfo(peer_id, []))
            except ConnectionFailure as error:
                raise StreamFailure(f"no stream to {peer_id}: {error}") from error
        return await super().new_stream(peer_id, protocol_ids, no_dial=no_dial)

    async def _ask(self, finder: PeerFinder, peer_id: ID, before: str) -> PeerInfo:
        try:
            found = await finder.find(peer_id)
        except RoutingError as error:
            raise ConnectionFailure(f"{before}no addresses of {peer_id}: {error}") from error
        if found is None:
            raise ConnectionFailure(f"{before}no address of {peer_id} is known, nor to the router")
        return found
