"""A router that knows what it is told, for tests of those who ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from libp2p.peer.peerinfo import PeerInfo


class Knowing:
    """
    A `ContentRouter` and `ValueRouter` in memory.

    :param providers: of blocks, by their multihashes.
    """

    def __init__(self, providers: Mapping[bytes, Sequence[PeerInfo]]) -> None:
        self.providers = dict(providers)
        self.values: dict[bytes, bytes] = {}
        self.asked: list[bytes] = []
        self.provided: list[bytes] = []

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        key = CID.of(cid).multihash
        self.asked.append(key)
        for info in self.providers.get(key, ()):
            await trio.lowlevel.checkpoint()
            yield info

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        await trio.lowlevel.checkpoint()
        self.provided.append(CID.of(cid).multihash)
        return announce

    async def put_value(self, key: bytes, value: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.values[key] = value

    async def get_value(self, key: bytes) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self.values.get(key)
