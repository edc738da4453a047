"""The server and its block store: slow ones, failing ones, and what is held of their blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap import config
from libp2p.bitswap.block_store import BlockStore, MemoryBlockStore
from libp2p.ipld.cid import CID
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.bitswap_server import ask, connected, running_server, said, until_blocks, want
from tests.support.blocks import block, blocks
from tests.support.fake_host import FakeStream, connect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from libp2p.ipld.cid import CIDInput

KIB = 1024

X, X_DATA = block(1)
Y, Y_DATA = block(2)
Z, Z_DATA = block(3)


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


# -- stores that fail -----------------------------------------------------------------------------


class Failing(MemoryBlockStore):
    """Fails at some blocks, in some way, until it is mended."""

    def __init__(self, bad: Collection[CID], how: str) -> None:
        super().__init__()
        self.bad, self.how = set(bad), how
        self.asked: list[float] = []

    def get_blocks_now(self, cids: Sequence[CID]) -> None:
        return None

    async def get_size(self, cid: CIDInput) -> int | None:
        if self.how == "at sizes":
            await self._fail([CID.of(cid)])
        return await super().get_size(cid)

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        blocks = [self._blocks.get(CID.of(cid).multihash, (b"", None))[1] for cid in cids]
        if not self.bad.isdisjoint(map(CID.of, cids)):
            self.asked.append(trio.current_time())
            match self.how:
                case "too few":
                    return blocks[1:]
                case "no blocks":
                    return [7] * len(cids)  # type: ignore[list-item]
                case "hangs":
                    await trio.sleep_forever()
        await self._fail(map(CID.of, cids))
        return blocks

    async def _fail(self, cids: Iterable[CID]) -> None:
        if not self.bad.isdisjoint(cids):
            raise OSError("too many open files")


HOWS = ["at sizes", "too few", "no blocks", "hangs", "raises"]


@pytest.mark.parametrize("how", HOWS)
async def test_what_the_store_fails_at_is_not_told_to_be_missing_and_comes_later(
    nursery: trio.Nursery, clock: object, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    content = {X: X_DATA, Y: Y_DATA, Z: Z_DATA}
    store = Failing({Y}, how)
    async with running_server(nursery, content, store=store) as server:
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, want(X), want(Y), want(Z))
        if how != "hangs":  # else the others of its batch come with it
            assert sorted(await until_blocks(ann, 2)) == sorted([X, Z])
        await trio.sleep(300)
        assert said(ann) == {}
        assert len([record for record in caplog.records if record.exc_info]) < 10
        assert len(store.asked) < 50
        store.bad = set()
        await until_blocks(ann, 3)
        assert said(ann) == {}
        assert server.ledger.count == 0


async def test_a_store_that_is_down_costs_no_dont_have_and_few_calls(
    nursery: trio.Nursery, clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    content = blocks(1000, 2000)
    store = Failing(set(content), "raises")
    async with running_server(nursery, content, store=store) as server:
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, *map(want, content))
        await trio.sleep(60)
        assert ann.messages == []
        assert len(caplog.records) <= 2
        store.bad = set()
        await until_blocks(ann, 1000)


class Distant(BlockStore):
    """Takes 50 ms for every call, as one in the cloud does, and cannot tell sizes or lists."""

    def __init__(self, content: dict[CID, bytes]) -> None:
        self.content = {cid.multihash: data for cid, data in content.items()}
        self.asked: list[bytes] = []

    async def get_block(self, cid: CIDInput) -> bytes | None:
        key = CID.of(cid).multihash
        self.asked.append(key)
        await trio.sleep(0.05)
        return self.content.get(key)

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        await trio.sleep(0.05)
        self.content[CID.of(cid).multihash] = data

    async def has_block(self, cid: CIDInput) -> bool:
        return await self.get_block(cid) is not None

    async def delete_block(self, cid: CIDInput) -> None:
        raise AssertionError("nobody deletes")


@pytest.mark.parametrize(("count", "size"), [(500, 2000), (100, 200 * KIB)])
async def test_a_distant_store_is_asked_for_each_block_once_and_for_many_at_once(
    nursery: trio.Nursery, clock: object, count: int, size: int
) -> None:
    content = blocks(count, size)
    store = Distant(content)
    async with running_client(nursery, "server", store=store) as server:
        ann = await connected(nursery, "ann", server)
        start = trio.current_time()
        await ask(ann, server, *map(want, content))
        await until_blocks(ann, count)
        assert len(store.asked) == count
        assert trio.current_time() - start < count * 0.05 / 10
        assert server.resources.statistics()["bitswap replies that are written"].held == 0


async def test_blocks_are_put_into_a_distant_store_many_at_once(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(200, 2000)
    provider = Provider(nursery, "go", content)
    async with running_client(nursery, "bob", store=Distant({})) as bob:
        await connect(provider.host, host_of(bob))
        start = trio.current_time()
        assert len(await bob.get_blocks_batch(list(content))) == 200
        assert trio.current_time() - start < 5  # of 20 for one call after the other


# -- peers that do not read -----------------------------------------------------------------------


async def test_all_peers_together_hold_no_more_than_the_host_may(
    nursery: trio.Nursery, clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf(ScriptedPeer):
        async def on_stream(self, stream: FakeStream) -> None:
            await trio.sleep_forever()

    limit = 4 * 1024 * KIB
    monkeypatch.setattr("libp2p.bitswap.server.MAX_OUTGOING_REPLY_BYTES", limit)
    content = blocks(4, 500 * KIB)
    async with running_server(nursery, content) as server:
        for n in range(30):
            deaf = Deaf(nursery, f"deaf {n}")
            await connect(deaf.host, host_of(server))
            await ask(deaf, server, *map(want, content))
        await trio.sleep(1)
        outgoing = server.resources.scope("bitswap replies that are written")
        assert 0 < outgoing.held <= limit
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, *map(want, content))
        with trio.fail_after(1):
            await until_blocks(ann, 4)
        await trio.sleep(3 * config.MAX_SEND_SECONDS)
        assert outgoing.held == 0
        assert outgoing.peak <= limit + 1024 * KIB
