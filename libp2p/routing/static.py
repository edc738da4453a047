"""Friends: peers that are assumed to have every block, and whose addresses are known."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING

from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing.found import FoundPeers
from libp2p.utils import arguments

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.peer.id import ID


class StaticRouter:
    """
    A list of peers that are asked for everything; a `ContentRouter` and a `PeerRouter`.

    For the machines of a company, a mirror, or the one node that has a data set. It needs no
    network of its own, so it also works where nothing else does.

    :param friends: as `PeerInfo`, or as addresses that end in ``/p2p/<peer id>``; several addresses
        of one peer are united.
    :raises InvalidAddrError: if one of them is no such address.
    """

    def __init__(self, friends: Iterable[PeerInfo | Multiaddr | str] = ()) -> None:
        self._friends: dict[ID, PeerInfo] = {}
        expected = "a list of peers, or of addresses that end in /p2p/<peer id>"
        if isinstance(friends, str):
            raise arguments.wrong_type("friends", friends, expected)
        for friend in arguments.listed(friends, "friends", expected):
            self.add(friend)

    @property
    def friends(self) -> list[PeerInfo]:
        """The peers, in the order in which they were added."""
        return list(self._friends.values())

    def add(self, friend: PeerInfo | Multiaddr | str) -> None:
        """Add a peer, or addresses of one that is there."""
        info = PeerInfo.of(friend)
        united = FoundPeers()
        for each in (self._friends.get(info.peer_id), info):
            if each is not None:
                united.add(each)
        self._friends[info.peer_id] = united.take() or info

    def remove(self, peer_id: ID) -> None:
        """Forget a peer; nothing if it is not there."""
        self._friends.pop(peer_id, None)

    async def find_provider_iter(
        self, cid: bytes, count: int = 0
    ) -> AsyncGenerator[PeerInfo, None]:
        """Return all friends, whatever the block is."""
        friends = self.friends
        for friend in friends[: count or None]:
            yield friend

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        """Return False: friends are asked, not told."""
        return False

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """Return the addresses of a friend."""
        friend = self._friends.get(peer_id)
        return friend if friend is not None and friend.addrs else None
