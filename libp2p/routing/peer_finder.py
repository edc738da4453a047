"""The addresses of peers, from a router: looked up once for all who ask, a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from libp2p.exceptions import RouterUnavailable, RoutingError
from libp2p.hostile_input import refused_as
from libp2p.routing.adapters import peer_of

if TYPE_CHECKING:
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo

#: A look-up that takes longer is given up: somebody waits to connect.
FIND_SECONDS: Final = 20.0
#: Look-ups at once; the others wait for their turn. A list of strangers may name a thousand peers.
MAX_LOOKUPS: Final = 16


class _Lookup:
    """
    One peer that is being looked up, and how many wait for it.

    Owner: libp2p.routing.peer_finder
    """

    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.callers = 0
        self.is_done = False
        self.info: PeerInfo | None = None
        self.error: RoutingError | None = None


class PeerFinder:
    """
    Looks up addresses of peers.

    Who asks for a peer that is being looked up waits for the same answer. Nothing is remembered
    once all have it: that is the peer store's business.

    :param router: a `PeerRouter`, or one in py-libp2p's style.
    """

    def __init__(
        self, router: object, timeout: float = FIND_SECONDS, max_lookups: int = MAX_LOOKUPS
    ) -> None:
        self._router = router
        self._timeout = timeout
        self._turns = trio.CapacityLimiter(max_lookups)
        self._lookups: dict[ID, _Lookup] = {}

    async def find(self, peer_id: ID) -> PeerInfo | None:
        """
        Return the addresses of a peer, None if the router knows none.

        :raises RoutingError: if the router could not be asked, or took too long.
        """
        lookup = self._lookups.setdefault(peer_id, _Lookup())
        lookup.callers += 1
        try:
            # The first one looks; if it is cancelled, the next one does. It needs no task.
            async with lookup.lock:
                if not lookup.is_done:
                    try:
                        lookup.info = await self._ask(peer_id)
                    except RoutingError as error:
                        lookup.error = error
                    lookup.is_done = True
        finally:
            lookup.callers -= 1
            if not lookup.callers:
                del self._lookups[peer_id]
        if lookup.error is not None:
            raise RoutingError(str(lookup.error)) from lookup.error
        return lookup.info

    async def _ask(self, peer_id: ID) -> PeerInfo | None:
        async with self._turns:
            with trio.move_on_after(self._timeout):
                with refused_as(RoutingError, "the router of peers has failed"):
                    return await peer_of(self._router, peer_id)
        raise RouterUnavailable(f"{peer_id} was not found within {self._timeout:g} s")
