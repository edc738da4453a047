"""The server and its block store: slow ones, failing ones, and what is held of their blocks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.bitswap import config
from libp2p.bitswap.errors import BitswapError
from libp2p.bitswap.serve.server import ServerLimits, ServerOptions
from libp2p.bitswap.wire.entry import Entry, WantType
from libp2p.blockstore import BlockStore, FilesystemBlockStore, MemoryBlockStore
from libp2p.blockstore.flatfs import FlatFiles
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.bitswap_server import ask, connected, running_server, said, until_blocks, want
from tests.support.blocks import block, blocks
from tests.support.fake_host import FakeStream, connect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from libp2p.bitswap.tracer import Tracer
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
        assert server._engine.server.ledger.count == 0


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
        await wait_all_tasks_blocked()  # the server notes what it has written a moment later
        assert server._engine.resources.statistics()["bitswap replies that are written"].held == 0


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


class Counting(FilesystemBlockStore):
    """Counts how often blocks are looked at or read, and the calls."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[Any] = []
        self.calls = 0

    def _note(self, cids: Sequence[CIDInput]) -> None:
        self.asked += cids
        self.calls += 1

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        self._note(cids)
        return await super().get_sizes(cids)

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        self._note(cids)
        return await super().get_blocks(cids)

    async def get_blocks_or_sizes(
        self, cids: Sequence[CIDInput], limit: int
    ) -> list[bytes | int | None]:
        self._note(cids)
        return await super().get_blocks_or_sizes(cids, limit)


async def test_what_fits_into_a_reply_is_looked_up_and_read_at_once(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    content = blocks(20, 2000)
    store = Counting(tmp_path)
    async with running_server(nursery, content, store=store) as server:
        ann = await connected(nursery, "ann", server)
        nowhere, _ = block(99)
        await ask(ann, server, *map(want, content), want(nowhere))
        assert set(await until_blocks(ann, 20)) == set(content)
        assert sorted(store.asked) == sorted(cid.buffer for cid in (*content, nowhere))
        assert store.calls == 1


async def test_of_what_does_not_fit_the_length_is_looked_up_first(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    content = blocks(12, 200 * KIB)
    store = Counting(tmp_path)
    async with running_server(nursery, content, store=store) as server:
        ann = await connected(nursery, "ann", server)
        *others, first = content
        await ask(ann, server, *map(want, others), want(first, priority=7))
        assert (await until_blocks(ann, 12))[0] == first
        assert store.asked.count(first.buffer) == 1
        assert len(store.asked) < 2 * len(content)


async def test_of_a_want_have_the_block_is_not_read(nursery: trio.Nursery, tmp_path: Path) -> None:
    content = blocks(3, 2000)
    store = Counting(tmp_path)
    async with running_server(nursery, content, store=store) as server:
        ann = await connected(nursery, "ann", server)
        block_of, *haves = content
        entries = [Entry(cid, 1, False, WantType.Have, True) for cid in haves]
        await ask(ann, server, want(block_of), *entries)
        assert await until_blocks(ann, 1) == [block_of]
        assert set(said(ann)) == set(haves)
        assert store.calls == 2


# -- peers that do not read -----------------------------------------------------------------------


async def test_all_peers_together_hold_no_more_than_the_host_may(
    nursery: trio.Nursery, clock: object
) -> None:
    class Deaf(ScriptedPeer):
        async def on_stream(self, stream: FakeStream) -> None:
            await trio.sleep_forever()

    limit = 4 * 1024 * KIB
    options = ServerOptions(limits=ServerLimits(max_outgoing=limit))
    content = blocks(4, 500 * KIB)
    async with running_server(nursery, content, options) as server:
        for n in range(30):
            deaf = Deaf(nursery, f"deaf {n}")
            await connect(deaf.host, host_of(server))
            await ask(deaf, server, *map(want, content))
        await trio.sleep(1)
        outgoing = server._engine.resources.scope("bitswap replies that are written")
        assert 0 < outgoing.held <= limit
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, *map(want, content))
        with trio.fail_after(1):
            await until_blocks(ann, 4)
        await trio.sleep(3 * config.MAX_SEND_SECONDS)
        assert outgoing.held == 0
        assert outgoing.peak <= limit + 1024 * KIB


# -- stores and the event loop, and the end -------------------------------------------------------


async def test_the_loop_waits_for_no_disk(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7: a stat takes milliseconds on a cold disk or over a network."""
    loop = threading.get_ident()
    in_loop = 0
    look = FlatFiles.size

    def slow(self: FlatFiles, multihash: bytes) -> int | None:
        nonlocal in_loop
        in_loop += threading.get_ident() == loop
        return look(self, multihash)

    monkeypatch.setattr(FlatFiles, "size", slow)
    content = blocks(300, 2000)
    async with running_server(nursery, content, store=FilesystemBlockStore(tmp_path)) as server:
        ann = await connected(nursery, "ann", server)
        haves = [Entry(cid, 1, False, WantType.Have, True) for cid in content]
        await ask(ann, server, *haves)
        while len(said(ann)) < 300:
            await ann.wait_for(len(ann.messages) + 1)
        assert in_loop == 0


async def test_every_call_of_a_batch_learns_that_it_was_not_written(tmp_path: Path) -> None:
    """R11."""
    store = FilesystemBlockStore(tmp_path)
    failures: list[str] = []

    def put(written: object) -> None:
        raise RuntimeError("can't start new thread")

    store._files.put = put  # type: ignore[method-assign, assignment]

    async def keep(cid: CID, data: bytes) -> None:
        try:
            await store.put_block(cid, data)
        except BlockStoreError as error:
            failures.append(str(error))

    async with trio.open_nursery() as putting:
        for cid, data in ((X, X_DATA), (Y, Y_DATA), (Z, Z_DATA)):
            putting.start_soon(keep, cid, data)
    assert failures == ["can't start new thread"] * 3


async def test_who_shares_a_write_gets_it_done_when_the_writer_is_cancelled(
    tmp_path: Path,
) -> None:
    store = FilesystemBlockStore(tmp_path)
    real, first, second = store._files.put, threading.Event(), threading.Event()

    def put(written: Any) -> None:
        (second if first.is_set() else first).wait(20)
        real(written)

    store._files.put = put  # type: ignore[method-assign, assignment]
    async with trio.open_nursery() as putting:
        scope = trio.CancelScope()

        async def impatient() -> None:
            with scope:
                await store.put_blocks([(Y, Y_DATA)])

        # The first has its thread; of the two that share the next one, who writes is cancelled.
        putting.start_soon(store.put_block, X, X_DATA)
        await trio.testing.wait_all_tasks_blocked()
        putting.start_soon(impatient)
        await trio.testing.wait_all_tasks_blocked()
        putting.start_soon(store.put_block, Z, Z_DATA)
        await trio.testing.wait_all_tasks_blocked()
        first.set()
        await trio.sleep(0.05)
        scope.cancel()
        second.set()
    assert await store.has_block(Z)


@pytest.mark.parametrize("end", ["stop", "cancel"])
async def test_a_store_that_hangs_does_not_keep_the_client_from_ending(
    clock: object, end: str
) -> None:
    """R19."""

    class Hanging(MemoryBlockStore):
        async def put_blocks(self, blocks: object) -> None:
            await trio.sleep_forever()

        def put_blocks_now(self, blocks: object) -> bool:
            return False

    async with trio.open_nursery() as nursery:
        provider = Provider(nursery, "go", {X: X_DATA})
        async with running_client(nursery, "bob", store=Hanging()) as bob:
            await connect(provider.host, host_of(bob))
            with pytest.raises(BitswapError):
                await bob.get_block(X, timeout=1)
            if end == "cancel":
                nursery.cancel_scope.cancel()
            with trio.fail_after(2 * config.STORE_GRACE_SECONDS) as limit:
                limit.shield = True
                with trio.CancelScope(shield=True):
                    await bob.stop()
        nursery.cancel_scope.cancel()


async def test_a_local_store_that_fails_is_the_error_of_a_get(nursery: trio.Nursery) -> None:
    store = Failing({X}, "raises")
    async with running_client(nursery, "bob", store=store) as bob:
        with pytest.raises(OSError, match="too many open files"):
            async with bob.get_blocks([X]) as found:
                [_ async for _ in found]
        assert bob.get_wantlist() == []


async def test_a_local_store_that_hangs_does_not_outlast_the_timeout(
    nursery: trio.Nursery, clock: object
) -> None:
    class Hanging(Distant):
        async def get_block(self, cid: CIDInput) -> bytes | None:
            await trio.sleep_forever()

    async with running_client(nursery, "bob", store=Hanging({})) as bob:
        with pytest.raises(TimeoutError):
            await bob.get_block(X, timeout=5)


async def test_a_tracer_that_raises_costs_nobody_a_block(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """R12."""

    class Broken:
        def __getattr__(self, name: str) -> Any:
            def fail(*args: object) -> None:
                raise KeyError(name)

            return fail

    content = blocks(20, 100)
    provider = Provider(nursery, "go", content)
    tracer = cast("Tracer", Broken())
    async with running_client(nursery, "bob", tracer=tracer) as bob:
        await connect(provider.host, host_of(bob))
        for cid, data in content.items():
            assert await bob.get_block(cid, timeout=5) == data
        assert 0 < len(caplog.records) < 5


async def test_the_server_does_not_dial_who_has_gone(nursery: trio.Nursery) -> None:
    """R16."""
    async with running_server(nursery, {}) as server:
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, Entry(X))  # nothing is said to it yet: no stream is open
        await trio.testing.wait_all_tasks_blocked()
        host = host_of(server)
        host.known[ann.host.get_id()] = ann.host
        host.network.events.forget_all()  # the notice of the end has not come yet
        host.network.connections.clear()
        await server.add_block(X, X_DATA)
        await trio.testing.wait_all_tasks_blocked()
        assert host.get_connected_peers() == []


async def test_who_has_no_connection_is_not_near(nursery: trio.Nursery) -> None:
    """R25."""
    async with running_client(nursery, "bob") as bob:
        assert not bob._engine._is_local(host_of(bob).get_id())
        ann = ScriptedPeer(nursery, "ann")
        await connect(ann.host, host_of(bob))
        assert bob._engine._is_local(ann.host.get_id())


async def test_a_store_that_is_set_later_is_read_from_and_written_to(
    nursery: trio.Nursery, clock: object
) -> None:
    provider = Provider(nursery, "ann", {X: X_DATA})
    async with running_client(nursery, "bob") as client:
        await connect(provider.host, host_of(client))
        first, second = client.block_store, MemoryBlockStore()
        await second.put_block(Y.buffer, Y_DATA)
        client.block_store = second
        assert await client.get_block(Y) == Y_DATA
        assert await client.get_block(X) == X_DATA
        assert await second.get_block(X.buffer) == X_DATA
        assert await first.get_block(X.buffer) is None
        with pytest.raises(TypeError, match="block_store must be a BlockStore"):
            client.block_store = cast("Any", {})
