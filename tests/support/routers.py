"""Routers that know what a test tells them, and take the time that it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo


class ScriptedRouter:
    """Answers with what it was made with: after a while, or with an error at the end."""

    def __init__(
        self,
        *peers: PeerInfo,
        values: Mapping[bytes, Sequence[bytes]] | None = None,
        seconds: float = 0.0,
        between: float = 0.0,
        error: Exception | None = None,
        provides: bool = True,
    ) -> None:
        self.peers = list(peers)
        self.values = {key: list(each) for key, each in (values or {}).items()}
        self.seconds = seconds
        self.between = between
        self.error = error
        self.provides = provides
        self.provided: list[bytes] = []
        self.asked: list[object] = []
        self.active = 0
        self.most = 0
        self.cancelled = 0

    async def _work(self, question: object) -> None:
        self.asked.append(question)
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            await trio.sleep(self.seconds)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.active -= 1

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        await self._work(cid)
        for peer in self.peers:
            yield peer
            await trio.sleep(self.between)
        self._fail()

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        await self._work(cid)
        self._fail()
        self.provided.append(cid)
        return self.provides

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        await self._work(peer_id)
        self._fail()
        return next((peer for peer in self.peers if peer.peer_id == peer_id), None)

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]:
        await self._work(key)
        self._fail()
        return self.peers

    async def put_value(self, key: bytes, value: bytes) -> None:
        await self._work(key)
        self._fail()
        self.values.setdefault(key, []).append(value)

    async def get_value(self, key: bytes) -> bytes | None:
        await self._work(key)
        self._fail()
        return self.values.get(key, [None])[-1]

    async def search_value(self, key: bytes) -> AsyncIterator[bytes]:
        await self._work(key)
        for value in self.values.get(key, []):
            yield value
            await trio.sleep(self.between)
        self._fail()
