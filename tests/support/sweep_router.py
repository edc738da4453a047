"""Routers over a `ModelNetwork`, with the time that a real one takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import RoutingError, StreamFailure
from libp2p.peer.peerinfo import PeerInfo
from tests.support.model_network import ModelNetwork, multihash_number

if TYPE_CHECKING:
    from libp2p.peer.id import ID
    from libp2p.provide.provider import Provider


class SweepRouter:
    """
    A `Sweepable`.

    :param lookup_seconds: that each lookup takes.
    :param send_seconds: that each peer takes to read its records.
    """

    def __init__(
        self, network: ModelNetwork, *, lookup_seconds: float = 2.0, send_seconds: float = 0.5
    ) -> None:
        self.network = network
        self.is_online = True
        self.fault: Exception | None = None
        self.mute: set[ID] = set()
        self.sent_at: dict[bytes, list[float]] = {}
        self.lookups = 0
        self.most_lookups_at_once = 0
        self.most_sends_at_once = 0
        self._lookups_now = 0
        self._sends_now = 0
        self._lookup_seconds = lookup_seconds
        self._send_seconds = send_seconds

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]:
        self.lookups += 1
        self._lookups_now += 1
        self.most_lookups_at_once = max(self.most_lookups_at_once, self._lookups_now)
        try:
            await trio.sleep(self._lookup_seconds if self.is_online else 0.01)
        finally:
            self._lookups_now -= 1
        if self.fault is not None:
            raise self.fault
        if not self.is_online:
            raise RoutingError("no peers")
        return [PeerInfo(peer, []) for peer in self.network.lookup(key)]

    async def send_provider_records(self, peer: ID, multihashes: Sequence[bytes]) -> int:
        self._sends_now += 1
        self.most_sends_at_once = max(self.most_sends_at_once, self._sends_now)
        try:
            await trio.sleep(self._send_seconds)
            if peer in self.mute:
                await trio.sleep_forever()
        finally:
            self._sends_now -= 1
        if not self.is_online:
            raise StreamFailure("the connection is gone")
        taken = self.network.send(peer, multihashes)
        if taken:
            now = trio.current_time()
            for multihash in multihashes:
                times = self.sent_at.setdefault(multihash, [])
                if not times or now > times[-1] + 60:  # one of 20 peers
                    times.append(now)
        return taken


class RecordingSweepRouter(SweepRouter):
    """One that keeps records itself, as a DHT server does."""

    def __init__(self, network: ModelNetwork) -> None:
        super().__init__(network)
        self.own: set[bytes] = set()

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        assert not announce
        self.own.add(cid)
        return True

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        nobody: list[PeerInfo] = []
        for info in nobody:
            yield info


class PlainRouter:
    """A `ContentRouter` that announces one key at a time."""

    def __init__(self) -> None:
        self.provided: list[bytes] = []
        self.is_online = True
        self.answer: Callable[[bytes], bool] = lambda cid: True
        self.most_at_once = 0
        self._now = 0

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await trio.sleep(1)
        finally:
            self._now -= 1
        if not self.is_online:
            raise RoutingError("no router can be asked")
        is_taken = self.answer(cid)
        if is_taken:
            self.provided.append(cid)
        return is_taken

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        nobody: list[PeerInfo] = []
        for info in nobody:
            yield info


class ListedKeys:
    """A source of keys that can be changed, and fail."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = list(keys)
        self.reads = 0
        self.fault: Exception | None = None

    async def multihashes(self) -> AsyncIterator[Sequence[bytes]]:
        self.reads += 1
        for start in range(0, len(self.keys), 100):
            await trio.lowlevel.checkpoint()
            yield self.keys[start : start + 100]
        if self.fault is not None:
            raise self.fault


def numbered(first: int, end: int) -> list[bytes]:
    """Return some multihashes."""
    return [*map(multihash_number, range(first, end))]


async def until_idle(provider: Provider, seconds: float = 5.0) -> None:
    """Let a provider do what is due; look every so many seconds whether it has."""
    while True:
        await trio.sleep(seconds)
        stats = provider.stats()
        left = stats.regions_left or stats.queued or stats.regions_at_work
        if stats.keys_read is not None and not left:
            return
