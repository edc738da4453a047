"""
The routers of a peer, asked as one: `Peer.routing`.

Calls of the program end with `PeerClosedError` when the peer is closed. Bitswap's searches go
through the same routers, and end with bitswap.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from libp2p.exceptions import BaseLibp2pError
from libp2p.ipfs_lite.operations import each_within
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from libp2p.routing.adapters import finds_providers, providers_of
from libp2p.routing.parallel import ParallelRouter
from libp2p.utils import arguments
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.ipfs_lite.operations import Call
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.peerinfo import PeerInfo
    from libp2p.routing.report import RouterReport
    from libp2p.routing.values import RecordRules

#: Searches whose answers, by router, are remembered: the text of an error may need them.
MAX_REMEMBERED_ANSWERS: Final = 1000
#: Characters of a router's error that are remembered.
MAX_ANSWER_CHARACTERS: Final = 200

#: Providers that `PeerRouting.find_providers` looks for, unless told otherwise: Kubo's number.
DEFAULT_PROVIDERS: Final = 20

#: The note about a router that has found nothing yet.
NO_ANSWER: Final = "has not answered"


class PatientRouter:
    """
    A DHT that is asked once it can answer.

    A peer that has just been opened is still connecting to the peers that it knows. A question
    that is asked meanwhile would be answered by nobody.

    :param ready: returns when the DHT knows a peer, or when it is clear that it will know none.
    """

    def __init__(self, dht: Any, ready: Callable[[], Awaitable[None]]) -> None:
        self._dht = dht
        self._ready = ready

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        """See `ContentRouter`."""
        await self._ready()
        async with aclosing(providers_of(self._dht, cid, count)) as providers:
            async for info in providers:
                yield info

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        """See `ContentRouter`."""
        await self._ready()
        told: bool = await self._dht.provide(cid, announce)
        return told

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """See `PeerRouter`."""
        await self._ready()
        found: PeerInfo | None = await self._dht.find_peer(peer_id)
        return found

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]:
        """Return the peers that are closest to a key."""
        await self._ready()
        closest: list[PeerInfo] = await self._dht.get_closest_peers(key)
        return closest

    async def put_value(self, key: bytes, value: bytes) -> None:
        """See `ValueRouter`."""
        await self._ready()
        await self._dht.put_value(key, value)

    async def get_value(self, key: bytes) -> bytes | None:
        """See `ValueRouter`."""
        await self._ready()
        value: bytes | None = await self._dht.get_value(key)
        return value

    async def search_value(self, key: bytes) -> AsyncIterator[bytes]:
        """See `ValueRouter`."""
        await self._ready()
        async with aclosing(self._dht.search_value(key)) as values:
            async for value in values:
                yield value


class NotedRouter:
    """
    A router that finds providers, and what it has said of each block.

    Whatever else it can be asked is passed on to it.

    :param about: says how the router is, for an answer of nothing.
    """

    def __init__(self, name: str, router: object, about: Callable[[], str] | None = None) -> None:
        self.name: Final = name
        self._router = router
        self._about = about
        self._said: dict[bytes, str] = {}

    def __repr__(self) -> str:
        return shown(self, lambda: f"{self.name}: {self._router!r}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of `copy` and the like, before there is a router
            raise AttributeError(name)
        return getattr(self._router, name)

    def said_of(self, key: bytes) -> str | None:
        """Return what the router has said of a block, by its multihash; None if nothing."""
        return self._said.get(key)

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        """See `ContentRouter`."""
        key, found = CID.of(cid).multihash, 0
        self._note(key, NO_ANSWER)
        try:
            async with aclosing(providers_of(self._router, cid, count)) as providers:
                async for info in providers:
                    found += 1
                    self._note(key, _knows(found))
                    yield info
        except BaseLibp2pError as error:
            self._note(key, str(error)[:MAX_ANSWER_CHARACTERS])
            raise
        except Exception as error:
            self._note(key, type(error).__name__)  # a router of the user's
            raise
        if not found:
            about = "" if self._about is None else f" ({self._about()})"
            self._note(key, _knows(0) + about)

    def _note(self, key: bytes, said: str) -> None:
        self._said.pop(key, None)
        self._said[key] = said
        if len(self._said) > MAX_REMEMBERED_ANSWERS:
            del self._said[next(iter(self._said))]


def _knows(found: int) -> str:
    return f"knows {found or 'no'} provider{'' if found == 1 else 's'}"


class RouterTable:
    """
    The routers of a peer, by their names, and the one made of them.

    :param about: how some of them are, by their names; see `NotedRouter`.
    :param validator: decides which of several values is the best.
    """

    def __init__(
        self,
        routers: Mapping[str, object],
        about: Mapping[str, Callable[[], str]],
        validator: RecordRules | None,
    ) -> None:
        self._noted = [
            NotedRouter(name, router, about.get(name))
            for name, router in routers.items()
            if finds_providers(router)
        ]
        named = {**routers, **{noted.name: noted for noted in self._noted}}
        self.router: Final = ParallelRouter(named, validator=validator)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[RouterTable]:
        """Let searches run for the length of the block."""
        async with self.router.run():
            yield self

    @property
    def names(self) -> list[str]:
        """The names of the routers."""
        return [report.name for report in self.router.reports()]

    def said_of(self, key: bytes) -> dict[str, str]:
        """Return what the routers have said of a block, by names."""
        said = {noted.name: noted.said_of(key) for noted in self._noted}
        return {name: text for name, text in said.items() if text is not None}

    # -- as a router of bitswap's ---------------------------------------------------------------

    def find_provider_iter(self, cid: bytes, count: int) -> FoundProviders:
        """See `ContentRouter`; the answer has what each router said."""
        key = CID.of(cid).multihash
        return FoundProviders(
            self.router.find_provider_iter(cid, count), lambda: self.said_of(key), None
        )

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """See `PeerRouter`."""
        return await self.router.find_peer(peer_id)


class FoundProviders:
    """
    The providers of a block as they are found, and what each router said.

    Use it in ``async with``, or call `aclose`, to end the search before its end.
    """

    def __init__(
        self, found: Any, said: Callable[[], Mapping[str, str]], call: Call | None
    ) -> None:
        self._found = found
        self._say = said
        self._call = call

    @property
    def said(self) -> Mapping[str, str]:
        """What each router has said so far, by its name."""
        return self._say()

    def __aiter__(self) -> FoundProviders:
        return self

    async def __anext__(self) -> PeerInfo:
        info: PeerInfo
        if self._call is None:
            info = await anext(self._found)
            return info
        ended = False
        with self._call():
            try:
                info = await anext(self._found)
            except StopAsyncIteration:
                ended = True
        if ended:
            raise StopAsyncIteration
        return info

    async def aclose(self) -> None:
        """End the search."""
        await self._found.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class PeerRouting:
    """
    Who has a block, where a peer is, what value a key has: asked of all routers of a peer.

    It is a `ContentRouter`, a `PeerRouter` and a `ValueRouter`. All calls raise `PeerClosedError`
    when the peer is closed, and `RoutingError` when no router could be asked; the error says what
    became of each.
    """

    def __init__(self, table: RouterTable, call: Call) -> None:
        self._table = table
        self._router = table.router
        self._call = call

    def __repr__(self) -> str:
        return shown(self, lambda: ", ".join(self._table.names) or "no routers")

    def reports(self) -> list[RouterReport]:
        """Return what became of the questions to each router."""
        with self._call():
            return self._router.reports()

    def find_providers(self, cid: CIDInput, count: int = DEFAULT_PROVIDERS) -> FoundProviders:
        """
        Return the peers that have said that they have a block, as they are found.

        :param count: providers at most; 0 is as many as there are.
        """
        named = CID.of(cid)
        return self.find_provider_iter(named.buffer, arguments.count(count, "count"))

    def find_provider_iter(self, cid: bytes, count: int) -> FoundProviders:
        """Do as `find_providers`, for a CID in binary form."""
        key = CID.of(cid).multihash
        with self._call():
            found = self._router.find_provider_iter(cid, count)
            return FoundProviders(found, lambda: self._table.said_of(key), self._call)

    async def find_peer(self, peer_id: ID | str) -> PeerInfo | None:
        """Return the addresses of a peer, None if nobody knows any."""
        with self._call():
            return await self._router.find_peer(ID.of(peer_id))

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]:
        """Return the peers that are closest to a key, in the key space of the DHT."""
        with self._call():
            return await self._router.get_closest_peers(key)

    async def provide(self, cid: CIDInput, announce: bool = True) -> bool:
        """
        Announce that this peer has a block; return whether others have been told.

        :param announce: tell others, rather than only note it here.
        """
        with self._call():
            return await self._router.provide(CID.of(cid).buffer, announce)

    async def put_value(self, key: bytes, value: bytes) -> None:
        """Store a record, such as one of IPNS, where others find it."""
        with self._call():
            await self._router.put_value(key, value)

    async def get_value(self, key: bytes) -> bytes | None:
        """Return the best record of a key, None if there is none."""
        with self._call():
            return await self._router.get_value(key)

    async def search_value(self, key: bytes) -> AsyncIterator[bytes]:
        """Return records as they are found, each better than the one before."""
        async with aclosing(each_within(self._call, self._router.search_value(key))) as values:
            async for value in values:
                yield value
