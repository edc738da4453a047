"""Reading a file: in order, at any place, ahead of the reader and never too far ahead."""

from __future__ import annotations

import array
import gc
import io
import random
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from libp2p.bitswap.common.timers import Timed, Timers
from libp2p.bitswap.errors import BlockNotFoundError, BlockUnavailableError
from libp2p.bitswap.stats import SessionStat
from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import InvalidUnixFS, NotAFile
from libp2p.ipfs_lite.adder import add_file
from libp2p.ipfs_lite.errors import PeerClosedError, ReaderClosedError
from libp2p.ipfs_lite.file_fetch import BlockSource
from libp2p.ipfs_lite.reader import Readers, UnixFSReader
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink
from libp2p.ipld.profiles import resolve_options
from libp2p.ipld.unixfs import DataType, UnixFSData
from libp2p.resources import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from libp2p.bitswap.fetch.session import BitswapSession
    from libp2p.bitswap.net.waiters import BlockWaiter

DATA = random.Random(7).randbytes(100_000)
OPTIONS = resolve_options(chunker="size-1000", max_file_links=5)
WINDOW = 10_000


class SlowSession:
    """Gives blocks in reverse order, after a while, and remembers what it was asked for."""

    def __init__(self, store: MemoryBlockStore, nursery: trio.Nursery) -> None:
        self.store = store
        self.stats = SessionStat()
        self.nursery = nursery
        self.asked: list[CID] = []
        self.waiting: dict[tuple[bytes, BlockWaiter], CID] = {}
        self.longest = 0
        self.lose: CID | None = None
        self.closed = False
        self.gate = trio.Event()
        """Nothing is found before."""
        self.gate.set()
        self.timers: Timers[Timed] = Timers()

    async def find_here(self, cids: Sequence[CID]) -> list[bytes | None]:
        await self.gate.wait()
        return [None for _ in cids]

    def ask(self, cids: Sequence[CID], waiter: BlockWaiter) -> None:
        self.asked += cids
        self.waiting |= {(cid.multihash, waiter): cid for cid in cids}
        self.longest = max(self.longest, len(self.waiting))
        self.nursery.start_soon(self._give, cids, waiter)

    async def _give(self, cids: Sequence[CID], waiter: BlockWaiter) -> None:
        for cid in reversed(cids):
            await trio.sleep(0.01)
            if self.waiting.pop((cid.multihash, waiter), None) is None:
                continue  # it was taken back
            if cid == self.lose:
                error = BlockUnavailableError("the only peer disconnected", cid)
                waiter.fail(cid.multihash, error)
                continue
            data = await self.store.get_block(cid)
            assert data is not None
            waiter.deliver(cid.multihash, data)

    def take_back(self, keys: Sequence[bytes], waiter: BlockWaiter) -> None:
        for key in keys:
            self.waiting.pop((key, waiter), None)

    def limit_time(self, waiter: Timed, when: float) -> None:
        self.timers.set(waiter, when)

    def close(self) -> None:
        self.closed = True


class Setting:
    """One file in a store, and readers of it."""

    def __init__(self, store: MemoryBlockStore, root: CID, nursery: trio.Nursery) -> None:
        self.root = root
        self.fetcher = SlowSession(store, nursery)
        self.source = BlockSource(store, cast("BitswapSession", self.fetcher), 1.0)
        self.nursery = nursery

    async def open(self) -> UnixFSReader:
        reader = UnixFSReader(self.root, self.source, self.nursery, WINDOW)
        return await reader.open()


@pytest.fixture
async def setting(nursery: trio.Nursery) -> Setting:
    store = MemoryBlockStore()
    added = await add_file(DATA, OPTIONS, store)
    return Setting(store, added.cid, nursery)


async def test_reads_all(setting: Setting, autojump_clock: trio.testing.MockClock) -> None:
    async with await setting.open() as reader:
        assert reader.size == len(DATA)
        assert await reader.read() == DATA
        assert await reader.read() == b""
        assert await reader.receive() == []
        assert reader.tell() == len(DATA)
    assert setting.fetcher.closed


async def test_reads_exactly_what_was_asked_for(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    reader = await setting.open()
    sizes = [0, 1, 999, 1000, 5001, 60_000, 100_000]
    place = 0
    for size in sizes:
        assert await reader.read(size) == DATA[place : place + size]
        place = min(place + size, len(DATA))
        assert reader.tell() == place


async def test_iterates_over_buffers(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    reader = await setting.open()
    await reader.read(1500)
    assert b"".join([bytes(buffer) async for buffer in reader]) == DATA[1500:]


async def test_seeks_anywhere(setting: Setting, autojump_clock: trio.testing.MockClock) -> None:
    reader = await setting.open()
    choose = random.Random(1)
    for _ in range(60):
        place = choose.randrange(len(DATA) + 1)
        size = choose.choice([0, 1, 300, 2500])
        assert reader.seek(place) == place
        assert await reader.read(size) == DATA[place : place + size]
    assert reader.seek(-10, io.SEEK_END) == len(DATA) - 10
    assert reader.seek(4, io.SEEK_CUR) == len(DATA) - 6
    assert await reader.read() == DATA[-6:]
    assert reader.seek(10**9) == reader.tell() == 10**9
    assert await reader.read(5) == b""
    assert reader.seek(-(10**9) - 1 + len(DATA), io.SEEK_CUR) == len(DATA) - 1
    assert await reader.read(5) == DATA[-1:]
    for offset, whence in ((-1, 0), (-len(DATA) - 1, 1), (-len(DATA) - 1, 2)):
        with pytest.raises(ValueError, match="0 or more"):
            reader.seek(offset, whence)
    wrong: Any
    for wrong in (3, -1, None, "0"):
        with pytest.raises(ValueError, match="whence"):
            reader.seek(0, wrong)
    for wrong in (None, "0", 1.5):
        with pytest.raises(TypeError, match="offset"):
            reader.seek(wrong)
    for wrong in ("5", 1.5, b"5"):
        with pytest.raises(TypeError, match="size"):
            await reader.read(wrong)
    assert reader.tell() == len(DATA)


calls = st.one_of(
    st.tuples(st.just("read"), st.none() | st.integers(-2, 3000)),
    st.tuples(st.just("read1"), st.integers(-2, 3000)),
    st.tuples(st.just("readinto"), st.integers(0, 3000)),
    st.tuples(st.just("seek"), st.tuples(st.integers(-2500, 2500), st.sampled_from([0, 1, 2]))),
    st.tuples(st.just("tell"), st.none()),
)


@given(st.integers(0, 2100), st.lists(calls, max_size=12))
def test_it_does_what_a_file_does(size: int, steps: list[tuple[str, Any]]) -> None:
    async def compare(nursery: trio.Nursery) -> None:
        store = MemoryBlockStore()
        options = resolve_options(chunker="size-100", max_file_links=3)
        added = await add_file(DATA[:size], options, store)
        setting = Setting(store, added.cid, nursery)
        async with await setting.open() as reader:
            for name, value in steps:
                await step(reader, model, name, value)

    async def step(reader: UnixFSReader, model: io.BytesIO, name: str, value: Any) -> None:
        place = model.tell()
        match name:
            case "read":
                assert await reader.read(value) == model.read(value)
            case "read1":
                got = await reader.read1(value)
                assert got == model.read(len(got))
                assert value < 0 or len(got) <= value
                assert got or not value or place >= size
            case "readinto":
                mine, its = bytearray(value), bytearray(value)
                assert await reader.readinto(mine) == model.readinto(its)
                assert mine == its
            case "seek":
                offset, whence = value
                if (place, size)[whence - 1] * (whence > 0) + offset < 0:  # BytesIO goes to 0
                    with pytest.raises(ValueError, match="0 or more"):
                        reader.seek(offset, whence)
                else:
                    assert reader.seek(offset, whence) == model.seek(offset, whence)
        assert reader.tell() == model.tell()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await compare(nursery)
            nursery.cancel_scope.cancel()

    model = io.BytesIO(DATA[:size])
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_closed_reader_says_so(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    reader = await setting.open()
    assert (reader.readable(), reader.seekable(), reader.writable()) == (True, True, False)
    wrong: Any
    for wrong in (b"cannot be written", None, "text", 5, [0] * 9):
        with pytest.raises(TypeError, match="buffer"):
            await reader.readinto(wrong)
    numbers = array.array("H", bytes(20))
    assert await reader.readinto(numbers) == 20  # type: ignore[arg-type]
    assert numbers.tobytes() == DATA[:20]
    states = [reader.closed]
    reader.close()
    reader.close()
    assert [*states, reader.closed] == [False, True]
    for call in (reader.tell, partial(reader.seek, 0), reader.readable, reader.seekable):
        with pytest.raises(ReaderClosedError, match="closed"):
            call()
    for wait in (
        reader.read, partial(reader.read, 0), reader.read1, partial(reader.readinto, bytearray(1)),
        reader.receive, anext_of(reader),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="closed"):
            await wait()


def anext_of(reader: UnixFSReader) -> Callable[[], Awaitable[object]]:
    return lambda: reader.__aiter__().__anext__()


@pytest.mark.parametrize("filesize", [None, 0, len(DATA)])
async def test_reads_a_file_whose_nodes_do_not_state_their_sizes(
    setting: Setting, autojump_clock: trio.testing.MockClock, filesize: int | None
) -> None:
    store = setting.fetcher.store
    parts = [DATA[start : start + 1000] for start in range(0, len(DATA), 1000)]
    links = []
    for part in parts:
        leaf = dag_pb.encode((), unixfs.encode(UnixFSData(DataType.FILE, part, 0)))
        links.append(PBLink(CID.for_block(leaf, "dag-pb")))
        await store.put_block(links[-1].cid, leaf)
    root = dag_pb.encode(links, unixfs.encode(UnixFSData(DataType.FILE, None, filesize)))
    setting.root = CID.for_block(root, "dag-pb")
    await store.put_block(setting.root, root)
    async with await setting.open() as reader:
        assert reader.size == len(DATA)
        assert await reader.read() == DATA
        asked = len(setting.fetcher.asked)
        assert reader.seek(-500, io.SEEK_END) == len(DATA) - 500
        assert await reader.read() == DATA[-500:]
        assert len(setting.fetcher.asked) == asked + 2  # the root and a leaf


async def test_a_small_step_forward_fetches_nothing_anew(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    reader = await setting.open()
    await reader.read(10)
    reader.seek(500)
    assert await reader.read(20) == DATA[500:520]
    await reader.read()
    assert len(setting.fetcher.asked) == len(set(setting.fetcher.asked))


async def test_does_not_run_ahead_of_its_window(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    reader = await setting.open()
    await reader.read(1)
    await trio.sleep(10)
    fetched_ahead = len(setting.fetcher.asked)
    await trio.sleep(10)
    assert len(setting.fetcher.asked) == fetched_ahead
    assert fetched_ahead < 2 * WINDOW // 1000 + 12
    async for _ in reader:
        pass
    # A whole window is under way at once: that is what makes it fast.
    assert WINDOW // 1000 // 2 <= setting.fetcher.longest <= WINDOW // 1000 + 12


async def test_a_part_costs_its_blocks(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    reader = await setting.open()
    reader.seek(50_000)
    assert await reader.read(20_000) == DATA[50_000:70_000]
    await trio.sleep(10)
    leaves = [cid for cid in setting.fetcher.asked if cid.codec == "raw"]
    assert len(leaves) == 20
    assert await reader.read(1000) == DATA[70_000:71_000]
    await trio.sleep(10)
    leaves = [cid for cid in setting.fetcher.asked if cid.codec == "raw"]
    assert len(leaves) > 25  # it reads on


async def test_parts_are_read_at_once_and_move_no_position(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    reader = await setting.open()
    reader.seek(123)

    async def check(offset: int, size: int) -> None:
        assert await reader.read_at(offset, size) == DATA[offset : offset + size]

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(check, number * 5100, 3000)
        nursery.start_soon(check, 99_990, 500)
        nursery.start_soon(check, 10**9, 5)
        nursery.start_soon(check, 5, 0)
        assert await reader.read(40_000) == DATA[123:40_123]
    assert reader.tell() == 40_123
    with pytest.raises(ValueError, match="offset"):
        await reader.read_at(-1, 5)


async def test_a_part_under_way_learns_of_the_close(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    reader = await setting.open()
    setting.fetcher.gate = trio.Event()
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(ReaderClosedError):
                await reader.read_at(5000, 100)

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        reader.close()
    assert reader.scope.held == 0


async def test_gives_all_that_came_before_a_lost_block(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    setting.fetcher.lose = CID.for_block(DATA[50_000:51_000])
    reader = await setting.open()
    read = bytearray()

    async def read_all() -> None:
        async for buffer in reader:
            read.extend(buffer)

    with pytest.raises(BlockUnavailableError):
        await read_all()
    assert DATA.startswith(read)
    assert 40_000 <= len(read) <= 50_000
    setting.fetcher.lose = None
    reader.seek(len(read))
    assert await reader.read() == DATA[len(read) :]


async def test_gives_all_that_came_before_a_block_at_hand_that_is_wrong(
    nursery: trio.Nursery,
) -> None:
    store = MemoryBlockStore()
    leaf = CID.for_block(b"leaf")
    directory = CID.for_block(b"\x0a\x02\x08\x01", "dag-pb", hash="identity")
    message = UnixFSData(DataType.FILE, None, 8, (4, 4))
    root = dag_pb.encode([PBLink(leaf), PBLink(directory)], unixfs.encode(message))
    cid = CID.for_block(root, "dag-pb")
    await store.put_block(leaf, b"leaf")
    await store.put_block(cid, root)
    reader = await UnixFSReader(cid, BlockSource(store, None, 1.0), nursery, 4).open()
    assert await reader.read(4) == b"leaf"
    with pytest.raises(InvalidUnixFS):
        await reader.read(1)


async def test_a_closed_reader_asks_for_nothing_more(
    setting: Setting, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    reader = await setting.open()
    await reader.read(1)
    await reader.aclose()
    reader.close()
    asked = len(setting.fetcher.asked)
    await trio.sleep(1)
    assert len(setting.fetcher.asked) == asked
    assert not nursery.child_tasks
    with pytest.raises(ValueError, match="closed"):
        await reader.read(1)


async def test_a_reader_that_waits_learns_of_the_close(
    setting: Setting, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    reader = await setting.open()

    async def close_soon() -> None:
        await trio.testing.wait_all_tasks_blocked()
        reader.close()

    nursery.start_soon(close_soon)
    with pytest.raises(ValueError, match="closed"):
        await reader.read()


async def test_an_absent_root_fails_at_once(nursery: trio.Nursery) -> None:
    fetcher = BlockSource(MemoryBlockStore(), None, 1.0)
    with pytest.raises(BlockNotFoundError, match="not in the repo"):
        await UnixFSReader(CID.for_block(b"absent"), fetcher, nursery).open()


async def test_what_is_no_file_fails_at_once(nursery: trio.Nursery) -> None:
    store = MemoryBlockStore()
    directory = CID.for_block(b"\x0a\x02\x08\x01", "dag-pb")
    await store.put_block(directory, b"\x0a\x02\x08\x01")
    with pytest.raises(NotAFile):
        await UnixFSReader(directory, BlockSource(store, None, 1.0), nursery).open()


async def test_a_file_inside_its_cid_needs_no_store(nursery: trio.Nursery) -> None:
    cid = CID.for_block(b"tiny", hash="identity")
    async with await UnixFSReader(
        cid, BlockSource(MemoryBlockStore(), None, 1.0), nursery
    ).open() as reader:
        assert await reader.read() == b"tiny"


async def test_a_fetch_that_is_cancelled_from_outside_ends_the_reader(
    setting: Setting, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as inner:
        setting.nursery = inner
        reader = await setting.open()
        setting.fetcher.gate = trio.Event()
        ended = trio.Event()

        async def read() -> None:
            with pytest.raises(PeerClosedError):
                await reader.read()
            ended.set()

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        inner.cancel_scope.cancel()
    with trio.fail_after(1):
        await ended.wait()


# -- many readers ---------------------------------------------------------------------------------


class Group:
    """Readers of one file that share a budget."""

    def __init__(self, setting: Setting, limit: int) -> None:
        self.scope = Scope("readers", limit)
        self._setting = setting
        self.readers = Readers(self.scope)

    async def open(self) -> UnixFSReader:
        setting = self._setting
        reader = self.readers.add(setting.root, setting.source, setting.nursery)
        return await reader.open()


async def test_readers_together_stay_within_their_budget(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    group = Group(setting, 30_000)
    readers = [await group.open() for _ in range(10)]
    for _ in range(20):
        for reader in readers:
            await reader.read(500)
            await trio.sleep(0.1)
        assert group.scope.held <= 30_000
    for reader in readers:
        assert await reader.read() == DATA[10_000:]
    for reader in readers:
        reader.close()
    assert group.scope.held == 0


async def test_an_idle_reader_leaves_room_for_others(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    group = Group(setting, 75_000)
    idle = await group.open()
    assert await idle.read(100) == DATA[:100]
    await trio.sleep(1)
    assert 10_000 <= group.scope.held <= 13_000
    other = await group.open()
    assert await other.read(100) == DATA[:100]
    await trio.sleep(1)
    assert 20_000 <= group.scope.held <= 25_000
    assert await other.read() == await idle.read() == DATA[100:]


@pytest.mark.parametrize("limit", [1, 1500, 5000])
async def test_readers_without_room_still_come_to_their_ends(
    limit: int, setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    group = Group(setting, limit)

    async def read_all() -> None:
        async with await group.open() as reader:
            assert b"".join([bytes(piece) async for piece in reader]) == DATA

    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(read_all)
    assert group.scope.held == 0


async def test_a_reader_that_was_dropped_holds_nothing(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    group = Group(setting, 1_000_000)
    reader = await group.open()
    await reader.read(1)
    await trio.sleep(10)
    held = group.scope.held
    assert held
    del reader
    gc.collect()
    async with await group.open():
        assert len(group.scope.statistics().children) == 1


async def test_readers_end_together(
    setting: Setting, autojump_clock: trio.testing.MockClock
) -> None:
    group = Group(setting, 1_000_000)
    first, second = await group.open(), await group.open()
    second.close()
    group.readers.end(PeerClosedError())
    assert group.scope.held == 0
    with pytest.raises(PeerClosedError):
        await first.read()
    with pytest.raises(ValueError, match="the file is closed"):
        await second.read()
