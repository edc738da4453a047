"""What is done where it comes up, without a task: lone wants, their answers, small messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap import config
from libp2p.bitswap.errors import BlockUnavailableError, TimeoutError
from libp2p.bitswap.net.waiters import OneBlock
from libp2p.bitswap.serve.rate_limit import BandwidthLimits
from libp2p.bitswap.serve.server import ServerLimits, ServerOptions
from libp2p.bitswap.wire.entry import BlockPresenceType
from libp2p.bitswap.wire.message import Message
from libp2p.blockstore import MemoryBlockStore
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.bitswap_server import (
    SlowStore,
    ask,
    blocks_of,
    connected,
    running_server,
    said,
    stick,
    want,
)
from tests.support.blocks import block, blocks
from tests.support.fake_host import WINDOW, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from libp2p.bitswap.client import BitswapClient
    from libp2p.bitswap.wire.entry import Entry
    from libp2p.ipld.cid import CID

DONT_HAVE = BlockPresenceType.DontHave
KIB = 1024

X, X_DATA = block(1)
Y, Y_DATA = block(2)
Z, Z_DATA = block(3)


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


# -- answers --------------------------------------------------------------------------------------


class Asked:
    """A server with a reply stream to one peer, on which ``before`` has gone."""

    def __init__(self, server: BitswapClient, peer: ScriptedPeer) -> None:
        self.server = server
        self.peer = peer
        self.before = 0

    async def begin(self) -> None:
        await ask(self.peer, self.server, want(X))
        await trio.testing.wait_all_tasks_blocked()
        assert blocks_of(self.peer) == [X]
        self.before = self.sent

    @property
    def sent(self) -> int:
        return self.server._engine.stats.blocks_sent

    def sent_at_once(self, *entries: Entry) -> int:
        """Ask and count the blocks that were sent before any other task has run."""
        before = self.sent
        assert self.server._engine.server.receive_now(self.peer.host.get_id(), [Message(entries)])
        return self.sent - before

    async def got(self) -> list[CID]:
        await trio.testing.wait_all_tasks_blocked()
        return blocks_of(self.peer)[1:]


@pytest.fixture
async def asked(nursery: trio.Nursery) -> AsyncIterator[Asked]:
    content = {X: X_DATA, Y: Y_DATA, Z: Z_DATA, **blocks(40)}
    async with running_server(nursery, content) as server:
        both = Asked(server, await connected(nursery, "ann", server))
        await both.begin()
        yield both


async def test_a_few_small_blocks_are_answered_where_they_are_asked_for(asked: Asked) -> None:
    nowhere, _ = block(99)
    assert asked.sent_at_once(want(Y), want(Z), want(nowhere)) == 2
    assert await asked.got() == [Y, Z]
    assert said(asked.peer) == {nowhere: DONT_HAVE}
    assert len(host_of(asked.server).opened) == 1
    there = asked.peer.host.get_id()
    assert asked.server.wantlist_for_peer(there) == [nowhere]
    assert asked.server.ledger_for_peer(there).sent == 3 * 2000


async def test_what_is_not_here_and_not_to_be_denied_is_kept_in_silence(asked: Asked) -> None:
    nowhere, data = block(99)
    assert asked.sent_at_once(want(nowhere)._replace(send_dont_have=False)) == 0
    assert await asked.got() == []
    await asked.server.add_block(nowhere, data)
    assert await asked.got() == [nowhere]


async def test_the_first_answer_is_the_tasks_who_opens_the_stream(nursery: trio.Nursery) -> None:
    async with running_server(nursery, {X: X_DATA}) as server:
        both = Asked(server, await connected(nursery, "ann", server))
        assert both.sent_at_once(want(X)) == 0
        await both.got()
        assert blocks_of(both.peer) == [X]


async def test_many_are_answered_together_by_the_task(asked: Asked) -> None:
    content = list(blocks(40))
    assert asked.sent_at_once(*map(want, content)) == 0
    assert set(await asked.got()) == set(content)
    assert len(asked.peer.messages) == 2


async def test_what_is_asked_while_the_task_is_at_work_is_the_tasks(asked: Asked) -> None:
    fresh, data = block(99)
    assert asked.sent_at_once(want(fresh)) == 0
    await asked.server.add_block(fresh, data)  # which wakes the task
    assert asked.sent_at_once(want(Y)) == 0
    assert set(await asked.got()) == {fresh, Y}
    assert len(asked.peer.messages) <= 3


async def test_a_large_block_is_left_to_the_task(asked: Asked) -> None:
    large, data = block(99, config.ANSWER_NOW_BYTES + 1)
    await asked.server.add_block(large, data)
    assert asked.sent_at_once(want(large), want(Y)) == 0
    assert set(await asked.got()) == {large, Y}


async def test_a_stream_without_room_is_waited_for_by_the_task(asked: Asked, clock: object) -> None:
    (stream,) = host_of(asked.server).opened
    assert stream.send_nowait([b"\x00" * WINDOW])
    assert asked.sent_at_once(want(Y)) == 0
    assert await asked.got() == [Y]


async def test_a_stream_that_was_reset_is_replaced_by_the_task(asked: Asked, clock: object) -> None:
    asked.peer.inbound[0].cut()
    assert asked.sent_at_once(want(Y)) == 0
    await trio.sleep(1)
    assert await asked.got() == [Y]
    assert len(host_of(asked.server).opened) == 2


async def test_a_peer_that_takes_its_time_is_told_have_by_the_task(
    nursery: trio.Nursery,
) -> None:
    options = ServerOptions(limits=ServerLimits(early_have_seconds=0))
    async with running_server(nursery, {X: X_DATA, Y: Y_DATA}, options) as server:
        asked = Asked(server, await connected(nursery, "ann", server))
        await asked.begin()
        assert asked.sent_at_once(want(Y)) == 0
        assert await asked.got() == [Y]


async def test_nobody_overtakes_those_who_wait_for_the_store(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(config.STORE_READERS + 4)
    slow = SlowStore(1)
    async with running_server(nursery, content, None, slow) as server:
        ann = Asked(server, await connected(nursery, "ann", server))
        await ask(ann.peer, server, want(X))
        await trio.sleep(2)
        quick = MemoryBlockStore()
        for cid, data in content.items():
            await quick.put_block(cid, data)
        await stick(nursery, server, list(content)[3:])
        server.block_store = quick
        assert ann.sent_at_once(want(list(content)[2])) == 0
        await trio.sleep(3)
        assert ann.sent_at_once(want(list(content)[3])) == 1


class FailingStore(MemoryBlockStore):
    """One whose short cut raises."""

    def get_blocks_now(self, cids: Sequence[CID]) -> list[bytes | None] | None:
        raise ValueError("a bug of the user's")


@pytest.mark.parametrize(("store", "logged"), [(SlowStore, set()), (FailingStore, {"ERROR"})])
async def test_a_store_that_needs_time_or_fails_at_once_is_asked_by_the_task(
    nursery: trio.Nursery,
    clock: object,
    caplog: pytest.LogCaptureFixture,
    store: type[MemoryBlockStore],
    logged: set[str],
) -> None:
    async with running_server(nursery, {X: X_DATA, Y: Y_DATA}, None, store()) as server:
        both = Asked(server, await connected(nursery, "ann", server))
        await ask(both.peer, server, want(X))
        await trio.sleep(1)
        assert both.sent_at_once(want(Y)) == 0
        await trio.sleep(1)
        assert blocks_of(both.peer) == [X, Y]
    assert {record.levelname for record in caplog.records} == logged


async def test_limited_bytes_are_the_tasks(nursery: trio.Nursery, clock: object) -> None:
    limits = BandwidthLimits(per_peer=1000)
    options = ServerOptions(bandwidth=limits)
    async with running_server(nursery, blocks(6, 1000), options) as server:
        both = Asked(server, await connected(nursery, "ann", server))
        for cid in blocks(6, 1000):
            assert both.sent_at_once(want(cid)) == 0
            await trio.sleep(0.1)
        assert both.sent < 4
        await trio.sleep(10)
        assert both.sent == 6


async def test_a_reply_stream_that_is_in_use_stays_open(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(20)
    async with running_server(nursery, {X: X_DATA, **content}) as server:
        both = Asked(server, await connected(nursery, "ann", server))
        await both.begin()
        for cid in content:
            await trio.sleep(config.REPLY_STREAM_IDLE_SECONDS - 1)
            assert both.sent_at_once(want(cid)) == 1
        await trio.sleep(config.REPLY_STREAM_IDLE_SECONDS - 1)
        (stream,) = host_of(server).opened
        assert not stream.write_ended
        await trio.sleep(2)
        assert stream.write_ended


async def test_a_peer_that_was_lost_is_not_answered(nursery: trio.Nursery, asked: Asked) -> None:
    asked.server.cleanup_peer(asked.peer.host.get_id())
    assert asked.sent_at_once(want(Y)) == 0
    assert await asked.got() == []


# -- wants ----------------------------------------------------------------------------------------


async def test_a_lone_want_is_written_before_anybody_else_runs(nursery: trio.Nursery) -> None:
    provider = Provider(nursery, "provider", {X: X_DATA, Y: Y_DATA})
    async with running_client(nursery, "ann") as ann:
        await connect(provider.host, host_of(ann))
        await ann.get_block(X)
        await ann.want_block(Y)
        (stream,) = host_of(ann).opened
        assert stream.unread_bytes > len(Y.buffer)
        await trio.testing.wait_all_tasks_blocked()
        assert await ann.block_store.get_block(Y.buffer) == Y_DATA


async def test_wants_that_come_up_together_share_messages(nursery: trio.Nursery) -> None:
    content = blocks(64)
    provider = Provider(nursery, "provider", content)
    async with running_client(nursery, "ann") as ann:
        await connect(provider.host, host_of(ann))
        cids = iter(content)

        async def get() -> None:
            for cid in cids:
                await ann.get_block(cid)

        async with trio.open_nursery() as getting:
            for _ in range(16):
                getting.start_soon(get)
        wants = [len(message.entries) for message in provider.messages]
        assert sum(wants) == 64
        assert len(wants) <= 2 + 64 // 8


async def test_a_want_that_finds_no_room_is_written_by_the_task(
    nursery: trio.Nursery, clock: object
) -> None:
    provider = Provider(nursery, "provider", {X: X_DATA, Y: Y_DATA})
    async with running_client(nursery, "ann") as ann:
        await connect(provider.host, host_of(ann))
        await ann.get_block(X)
        (stream,) = host_of(ann).opened
        assert stream.send_nowait([b"\x00" * WINDOW])
        assert await ann.get_block(Y) == Y_DATA
        assert host_of(ann).opened == [stream]


async def test_a_want_on_a_stream_that_was_reset_goes_out_on_another(
    nursery: trio.Nursery, clock: object
) -> None:
    provider = Provider(nursery, "provider", {X: X_DATA, Y: Y_DATA})
    async with running_client(nursery, "ann") as ann:
        await connect(provider.host, host_of(ann))
        await ann.get_block(X)
        provider.inbound[0].cut()
        assert await ann.get_block(Y) == Y_DATA
        assert provider.wanted()[:2] == [X, Y]
        assert len(host_of(ann).opened) == 2


# -- waiting --------------------------------------------------------------------------------------


async def test_each_fetch_ends_at_its_own_time(nursery: trio.Nursery, clock: object) -> None:
    silent = ScriptedPeer(nursery, "silent")
    async with running_client(nursery, "ann") as ann:
        await connect(silent.host, host_of(ann))
        ends: list[float] = []

        async def get(cid: CID, timeout: float) -> None:
            with pytest.raises(TimeoutError):
                await ann.get_block(cid, timeout=timeout, wait=True)
            assert trio.current_time() == pytest.approx(timeout)
            ends.append(timeout)

        async with trio.open_nursery() as getting:
            for number, timeout in enumerate((5.0, 0.0, 7.0, 3.0, 3.0, 0.001)):
                getting.start_soon(get, block(number)[0], timeout)
        assert ends == [0.0, 0.001, 3.0, 3.0, 5.0, 7.0]
        assert ann.get_wantlist() == []


async def test_a_fetch_without_end_is_ended_by_its_block(
    nursery: trio.Nursery, clock: object
) -> None:
    silent = ScriptedPeer(nursery, "silent")
    async with running_client(nursery, "ann") as ann:
        await connect(silent.host, host_of(ann))
        with trio.move_on_after(10_000):
            await ann.get_block(X, timeout=float("inf"), wait=True)
        assert ann.get_wantlist() == []
        with pytest.raises(ValueError, match="timeout"):
            await ann.get_block(X, timeout=-1)
        with pytest.raises(ValueError, match="timeout"):
            await ann.get_block(X, timeout=float("nan"))


async def test_fetches_that_are_over_leave_no_alarm(nursery: trio.Nursery) -> None:
    content = blocks(500)
    provider = Provider(nursery, "provider", content)
    async with running_client(nursery, "ann") as ann:
        await connect(provider.host, host_of(ann))
        for cid, data in content.items():
            assert await ann.get_block(cid, timeout=1000) == data
        left = [
            item[2]
            for item in ann._engine.time_watch._timers._heap._heap
            if isinstance(item[2], OneBlock)
        ]
        assert len(left) < 100
        assert all(waiter not in ann._engine.time_watch and waiter.data is None for waiter in left)


async def test_a_fetch_that_fails_at_once_lets_others_run(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "ann") as ann:
        with trio.move_on_after(0) as scope:
            while True:
                with pytest.raises(BlockUnavailableError):
                    await ann.get_block(X)
        assert scope.cancelled_caught
