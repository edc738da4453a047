"""A bitswap client whose serving half is looked at, its peers, and stores that take their time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from libp2p.bitswap.wire.entry import BlockPresenceType, Entry
from libp2p.bitswap.wire.message import Message
from libp2p.blockstore import MemoryBlockStore
from libp2p.ipld.cid import CID
from tests.support.bitswap_peers import ScriptedPeer, host_of, running_client
from tests.support.fake_host import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Sequence

    from libp2p.bitswap.client import BitswapClient
    from libp2p.bitswap.serve.server import ServerOptions
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CIDInput


@asynccontextmanager
async def running_server(
    nursery: trio.Nursery,
    content: dict[CID, bytes],
    options: ServerOptions | None = None,
    store: BlockStore | None = None,
) -> AsyncIterator[BitswapClient]:
    """A client that has some blocks and serves them as ``options`` say."""
    async with running_client(
        nursery, "server", content.items(), store, server_options=options
    ) as client:
        yield client


async def connected(nursery: trio.Nursery, name: str, server: BitswapClient) -> ScriptedPeer:
    peer = ScriptedPeer(nursery, name)
    await connect(peer.host, host_of(server))
    return peer


async def ask(peer: ScriptedPeer, server: BitswapClient, *entries: Entry) -> None:
    await peer.send(host_of(server).get_id(), Message(entries))


def want(cid: CID, priority: int = 1) -> Entry:
    return Entry(cid, priority, send_dont_have=True)


async def until_blocks(peer: ScriptedPeer, count: int) -> list[CID]:
    """Wait for so many blocks; in the order in which they came."""
    while len(got := blocks_of(peer)) < count:
        await peer.wait_for(len(peer.messages) + 1)
    return got


def blocks_of(peer: ScriptedPeer) -> list[CID]:
    return [cid for message in peer.messages for cid in message.blocks]


def said(peer: ScriptedPeer) -> dict[CID, BlockPresenceType]:
    return {cid: kind for message in peer.messages for cid, kind in message.presences.items()}


class SlowStore(MemoryBlockStore):
    """Takes a while to read, and counts how many read at once."""

    def __init__(self, seconds: float = 0.01) -> None:
        super().__init__()
        self.seconds = seconds
        self.readers = self.most_readers = 0
        self.reads: list[float] = []

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        self.readers += 1
        self.most_readers = max(self.most_readers, self.readers)
        self.reads.append(trio.current_time())
        await trio.sleep(self.seconds)
        self.readers -= 1
        return await super().get_blocks(cids)


class Stuck(SlowStore):
    """Never finishes reading some blocks; notes how large the others are."""

    def __init__(self, stuck: Collection[CID]) -> None:
        super().__init__(1)
        self.stuck = stuck
        self.sizes: list[int] = []

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        if CID.of(cids[0]) in self.stuck:
            await trio.sleep_forever()
        read = await super().get_blocks(cids)
        self.sizes += [len(data) for data in read if data is not None]
        return read


async def stick(nursery: trio.Nursery, server: BitswapClient, cids: Iterable[CID]) -> None:
    """Let somebody else ask for each block, and keep a turn for it."""
    for cid in cids:
        await ask(await connected(nursery, f"stuck {str(cid)[-9:]}", server), server, want(cid))
    await trio.testing.wait_all_tasks_blocked()
