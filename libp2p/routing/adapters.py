"""
Routers of users, asked in the one way of `libp2p.routing.abc`.

py-libp2p's programs have routers that return lists, iterators, or awaitables of them, and its
``KadDHT`` has ``find_providers``. All of these stay accepted, and none has to be rewritten.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

import trio

from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from libp2p.utils.closing import ending

if TYPE_CHECKING:
    from libp2p.peer.peerinfo import PeerInfo

T = TypeVar("T")

Providers: TypeAlias = "Iterable[PeerInfo] | AsyncIterable[PeerInfo]"
"""What routers return."""


class FindsProviders(Protocol):
    """What is accepted as a router of content: a `ContentRouter`, or one of these forms."""

    def find_provider_iter(self, cid: bytes, count: int) -> Providers | Awaitable[Providers]:
        """Return the peers that have said that they have a block; see `ContentRouter`."""


#: Answers of a router that are looked at in one search: a list that never ends ends here.
MAX_PROVIDERS_READ: Final = 1000


def finds_providers(router: object) -> bool:
    """Return whether a router can be asked who has a block."""
    return hasattr(router, "find_provider_iter") or hasattr(router, "find_providers")


class ProviderAnswer:
    """What a router, of whatever kind it is, answers to one question."""

    def __init__(self, router: object, cid: bytes, count: int) -> None:
        self._router = router
        self._cid = cid
        self._count = count
        self._answer: object = None

    async def infos(self) -> AsyncGenerator[PeerInfo, None]:
        """Ask; what is no peer is left out."""
        find = getattr(self._router, "find_provider_iter", None)
        if find is not None:
            answer = find(self._cid, self._count)
        else:
            answer = self._router.find_providers(  # type: ignore[attr-defined]  # KadDHT
                CID.of(self._cid).multihash, self._count
            )
        answer = await awaited(answer)
        if not isinstance(answer, AsyncIterable):
            answer = _one_by_one(answer)
        self._answer = answer
        async with ending(answer):
            seen = 0
            async for info in answer:
                seen += 1
                if is_peer(info):
                    yield info
                if seen >= MAX_PROVIDERS_READ:
                    return

    def said(self) -> dict[str, str]:
        """Return what each of several routers said, if the answer knows: its ``said``."""
        said = getattr(self._answer, "said", None)
        return dict(said) if isinstance(said, Mapping) else {}


def providers_of(router: object, cid: bytes, count: int) -> AsyncGenerator[PeerInfo, None]:
    """Ask a router, of whatever kind it is; what is no peer is left out."""
    return ProviderAnswer(router, cid, count).infos()


async def peer_of(router: object, peer_id: ID) -> PeerInfo | None:
    """Ask a router for the addresses of a peer; None if it knows none, or answers with no peer."""
    info = await awaited(router.find_peer(peer_id))  # type: ignore[attr-defined]  # a PeerRouter
    return info if is_peer(info) and info.peer_id == peer_id and info.addrs else None


async def awaited(answer: Awaitable[T] | T) -> T:
    """Return the result of what may have to be awaited."""
    if inspect.isawaitable(answer):
        return await answer
    return answer


def is_peer(info: object) -> bool:
    """Return whether what a router has answered is a peer, of whatever class."""
    return isinstance(getattr(info, "peer_id", None), ID) and hasattr(info, "addrs")


async def _one_by_one(infos: Iterable[PeerInfo]) -> AsyncGenerator[PeerInfo, None]:
    for info in infos:
        yield info
        await trio.lowlevel.checkpoint()  # a list of strangers may be long, or never end
