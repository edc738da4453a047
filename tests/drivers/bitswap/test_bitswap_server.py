"""Serving peers: limits, order, accounts, and what is said while a block takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap import config
from libp2p.bitswap.config import BITSWAP_PROTOCOL_V110, EARLY_HAVE_SECONDS, STORE_READERS
from libp2p.bitswap.serve.rate_limit import BandwidthLimits
from libp2p.bitswap.serve.server import ServerOptions
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.blockstore import MemoryBlockStore
from tests.support.bitswap_peers import ScriptedPeer, host_of, running_client
from tests.support.bitswap_server import (
    SlowStore,
    Stuck,
    ask,
    blocks_of,
    connected,
    running_server,
    said,
    stick,
    until_blocks,
    want,
)
from tests.support.blocks import block, blocks
from tests.support.fake_host import FakeHost, FakeStream, connect, disconnect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.ipld.cid import CIDInput

HAVE, DONT_HAVE = BlockPresenceType.Have, BlockPresenceType.DontHave
KIB = 1024

X, X_DATA = block(1)
Y, Y_DATA = block(2)
Z, Z_DATA = block(3)


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


# -- a client only --------------------------------------------------------------------------------


async def test_a_client_only_says_that_it_has_nothing(nursery: trio.Nursery) -> None:
    async with running_server(nursery, {X: X_DATA}, ServerOptions(enabled=False)) as client:
        ann = await connected(nursery, "ann", client)
        await ask(ann, client, want(X), Entry(Y), Entry(X, 1, False, WantType.Have))
        await trio.testing.wait_all_tasks_blocked()
        assert said(ann) == {X: DONT_HAVE}
        assert blocks_of(ann) == []
        await client.add_block(Y, Y_DATA)
        await client.notify_new_blocks([X, Y])
        await trio.testing.wait_all_tasks_blocked()
        assert blocks_of(ann) == []
        assert client.stat().blocks_sent == 0
        assert client.wantlist_for_peer(ann.host.get_id()) == []
        assert await client.get_block(X) == X_DATA


# -- accounts -------------------------------------------------------------------------------------


async def test_accounts_survive_a_reconnection(nursery: trio.Nursery) -> None:
    async with running_server(nursery, {X: X_DATA}) as server:
        ann = await connected(nursery, "ann", server)
        there = ann.host.get_id()
        assert server.ledger_for_peer(there).exchanged == 0
        await ask(ann, server, want(X))
        await until_blocks(ann, 1)
        await disconnect(ann.host, host_of(server))
        await connect(ann.host, host_of(server))
        await server.want_block(Y)
        await trio.testing.wait_all_tasks_blocked()
        unwanted = Message(blocks=[(Y, Y_DATA), (Z, Z_DATA)])
        await ann.send(host_of(server).get_id(), unwanted)
        await trio.testing.wait_all_tasks_blocked()
        receipt = server.ledger_for_peer(there)
        assert (receipt.peer, receipt.sent, receipt.recv) == (there, len(X_DATA), len(Y_DATA))
        assert receipt.exchanged == 2
        assert receipt.value == len(X_DATA) / (len(Y_DATA) + 1)


async def test_both_sides_agree_on_what_was_exchanged(nursery: trio.Nursery) -> None:
    content = blocks(20)
    mine, theirs = dict(list(content.items())[:10]), dict(list(content.items())[10:])
    async with (
        running_server(nursery, mine) as here,
        running_client(nursery, "there", theirs.items()) as there,
    ):
        await connect(host_of(here), host_of(there))
        for cid, data in theirs.items():
            assert await here.get_block(cid) == data
        for cid in list(mine)[:4]:
            await there.get_block(cid)
        given = here.ledger_for_peer(host_of(there).get_id())
        taken = there.ledger_for_peer(host_of(here).get_id())
        assert (given.sent, given.recv) == (taken.recv, taken.sent) == (4 * 2000, 10 * 2000)
        assert given.exchanged == taken.exchanged == 14


# -- what is sent again, and what is not ----------------------------------------------------------


async def test_a_block_that_is_half_sent_when_its_stream_ends_is_sent_again(
    nursery: trio.Nursery, clock: object
) -> None:
    class Breaks(ScriptedPeer):
        """Resets the first stream in the middle of its message."""

        async def on_stream(self, stream: FakeStream) -> None:
            if not self.inbound:
                self.inbound.append(stream)
                await stream.receive()
                await stream.reset()
            else:
                await super().on_stream(stream)

    big, data = block(5, 2 * KIB * KIB)
    async with running_server(nursery, {big: data}) as server:
        ann = Breaks(nursery, "ann")
        await connect(ann.host, host_of(server))
        await ask(ann, server, want(big))
        await until_blocks(ann, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert len(host_of(server).opened) == 2
        assert server.stat().blocks_sent == 1
        assert server._engine.server.ledger.count == server._engine.server.ledger.sending_bytes == 0


async def test_a_connection_lost_with_half_a_block_costs_nothing_but_asking_again(
    nursery: trio.Nursery, clock: object
) -> None:
    big, data = block(5, 2 * KIB * KIB)
    async with running_server(nursery, {big: data}) as server:
        for _ in range(3):
            ann = await connected(nursery, "ann", server)
            await ask(ann, server, want(big))
            while not ann.inbound:
                await trio.lowlevel.checkpoint()
            await disconnect(ann.host, host_of(server))
        await trio.testing.wait_all_tasks_blocked()
        assert server._engine.server.ledger.sending_bytes == 0
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, want(big))
        await until_blocks(ann, 1)


async def test_a_block_that_was_sent_is_not_pushed_when_it_is_added_again(
    nursery: trio.Nursery,
) -> None:
    async with running_server(nursery, {}) as server:
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, want(X))
        await ann.wait_for(1)
        for _ in range(5):
            await server.add_block(X, X_DATA)
            await trio.testing.wait_all_tasks_blocked()
        assert blocks_of(ann) == [X]


async def test_a_cancel_is_read_while_a_long_reply_is_written(
    nursery: trio.Nursery, clock: object
) -> None:
    class Slow(ScriptedPeer):
        async def on_message(self, stream: FakeStream, message: Message) -> None:
            await trio.sleep(1)

    content = blocks(10, 300 * KIB)
    async with running_server(nursery, content) as server:
        slow = Slow(nursery, "slow")
        await connect(slow.host, host_of(server))
        await ask(slow, server, *map(want, content))
        await until_blocks(slow, 1)
        await ask(slow, server, *(Entry(cid, cancel=True) for cid in list(content)[4:]))
        await trio.sleep(60)
        assert blocks_of(slow) == list(content)[:4]
        assert server.wantlist_for_peer(slow.host.get_id()) == []


# -- order ----------------------------------------------------------------------------------------


async def test_blocks_come_by_priority_over_all_messages(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(20, 300 * KIB)
    cids = list(content)
    async with running_server(nursery, content) as server:
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, *(want(cid, number) for number, cid in enumerate(cids)))
        assert await until_blocks(ann, 20) == cids[::-1]


async def test_a_comparator_decides_between_blocks_and_between_peers(
    nursery: trio.Nursery, clock: object
) -> None:
    # All turns but one are taken for good.
    stuck = blocks(STORE_READERS - 1, 1000)
    mixed = {size: blocks(3, size * KIB) for size in (300, 200, 250)}
    content = {cid: data for group in (stuck, *mixed.values()) for cid, data in group.items()}
    options = ServerOptions(task_comparator=lambda one, other: one.size < other.size)
    store = Stuck(stuck)
    async with running_server(nursery, content, options, store) as server:
        await stick(nursery, server, stuck)
        peers = [await connected(nursery, f"{size}", server) for size in mixed]
        for peer, group in zip(peers, mixed.values(), strict=True):
            await ask(peer, server, *map(want, group))
        for peer in peers:
            await until_blocks(peer, 3)
        sizes = [size // KIB for size in store.sizes]
        # After a first turn of each, in which its blocks are looked up, the largest come last.
        assert sorted(sizes[:3]) == [200, 250, 300]
        assert sizes[-2:] == [300, 300]


async def test_no_more_peers_read_at_once_than_there_are_turns(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(3)
    store = SlowStore(1)
    async with running_server(nursery, content, store=store) as server:
        peers = [
            await connected(nursery, f"{number}", server) for number in range(3 * STORE_READERS)
        ]
        for peer in peers:
            await ask(peer, server, *map(want, content))
        for peer in peers:
            await until_blocks(peer, 3)
        assert store.most_readers == STORE_READERS
        assert trio.current_time() == pytest.approx(3, abs=0.5)


async def test_a_small_request_waits_for_one_turn_of_each_large_one(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(30, 300 * KIB)
    store = SlowStore(1)
    async with running_server(nursery, content | {X: X_DATA}, store=store) as server:
        greedy = [await connected(nursery, f"greedy {n}", server) for n in range(2 * STORE_READERS)]
        for peer in greedy:
            await ask(peer, server, *map(want, content))
        await trio.sleep(5)
        modest = await connected(nursery, "modest", server)
        await ask(modest, server, want(X))
        await until_blocks(modest, 1)
        # One turn that goes on, and its own: it comes before all that had theirs.
        assert trio.current_time() <= 7.5
        for peer in greedy:
            await disconnect(peer.host, host_of(server))
        await trio.testing.wait_all_tasks_blocked()
        await ask(modest, server, want(X))
        await until_blocks(modest, 2)


async def test_fifty_peers_wait_little_longer_when_one_wants_a_thousand_blocks(
    nursery: trio.Nursery, clock: object
) -> None:
    small, large = blocks(10, 1000), blocks(1024, 20 * KIB)
    async with running_server(nursery, small | large, store=SlowStore(0.01)) as server:
        modest = [await connected(nursery, f"modest {n}", server) for n in range(49)]
        greedy = await connected(nursery, "greedy", server)

        async def p99() -> float:
            waits: list[float] = []

            async def ask_for_all(peer: ScriptedPeer) -> None:
                for cid in small:
                    start = trio.current_time()
                    await ask(peer, server, want(cid))
                    await until_blocks(peer, len(blocks_of(peer)) + 1)
                    waits.append(trio.current_time() - start)

            async with trio.open_nursery() as asking:
                for peer in modest:
                    asking.start_soon(ask_for_all, peer)
            return sorted(waits)[len(waits) * 99 // 100]

        alone = await p99()
        await ask(greedy, server, *map(want, large))
        await trio.sleep(0.005)
        beside = await p99()
        assert len(blocks_of(greedy)) < len(large)  # it is not done yet
        assert beside <= 2 * alone


# -- bandwidth ------------------------------------------------------------------------------------


async def test_a_limited_peer_gets_its_rate_and_holds_up_nobody(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(40, 50 * KIB)
    slow = FakeHost(None, "slow").get_id()
    limits = BandwidthLimits(peers={slow: 100 * KIB})
    async with running_server(nursery, content, ServerOptions(bandwidth=limits)) as server:
        limited, free = [await connected(nursery, name, server) for name in ("slow", "free")]
        for peer in (limited, free):
            await ask(peer, server, *map(want, content))
        await until_blocks(free, 40)
        assert trio.current_time() == 0
        await until_blocks(limited, 40)
        # 2,000 KiB less the burst of one second and what may be overdrawn at the end.
        assert trio.current_time() == pytest.approx(18, abs=2)
        # It was told of the blocks long before.
        assert set(limited.messages[2].presences.values()) == {HAVE}
        assert sum(len(message.presences) for message in limited.messages) == len(said(limited))
        assert len(said(limited)) > 30


async def test_all_peers_share_the_limit_for_all(nursery: trio.Nursery, clock: object) -> None:
    content = blocks(40, 50 * KIB)
    limits = BandwidthLimits(total=200 * KIB, burst_seconds=0.1)
    async with running_server(nursery, content, ServerOptions(bandwidth=limits)) as server:
        peers = [await connected(nursery, f"{number}", server) for number in range(4)]
        for peer in peers:
            await ask(peer, server, *map(want, content))
        await trio.sleep(20)
        got = [len(blocks_of(peer)) * 50 for peer in peers]
        assert sum(got) == pytest.approx(20 * 200, rel=0.2)
        assert max(got) - min(got) <= 2 * 250  # a reply each, at most
        # Who asks meanwhile is told at once what is not here, and soon what is.
        late = await connected(nursery, "late", server)
        await ask(late, server, want(Y))
        await late.wait_for(1)
        assert trio.current_time() == 20
        await ask(late, server, want(next(iter(content))))
        await late.wait_for(2)
        assert trio.current_time() <= 20 + EARLY_HAVE_SECONDS
        assert list(said(late).values()) == [DONT_HAVE, HAVE]
        await until_blocks(late, 1)
        assert trio.current_time() < 30


async def test_a_limit_for_all_does_not_outlive_its_client(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(10, 100 * KIB)
    limits = BandwidthLimits(total=50 * KIB)
    async with running_server(nursery, content, ServerOptions(bandwidth=limits)) as server:
        seconds = []
        for _ in range(2):
            began = trio.current_time()
            ann = await connected(nursery, "ann", server)
            await ask(ann, server, *map(want, content))
            await until_blocks(ann, 2)
            seconds.append(trio.current_time() - began)
            await server.stop()
            await disconnect(ann.host, host_of(server))
            await server.start()
        assert 5 < sum(seconds) < 8  # 400 KiB at 50 KiB/s: the rate is kept, and work goes on


# -- a word in the meantime -----------------------------------------------------------------------


async def test_who_waits_for_a_turn_is_told_have(nursery: trio.Nursery, clock: object) -> None:
    stuck, content = blocks(STORE_READERS, 1000), blocks(4, 200 * KIB)
    store = Stuck(stuck)
    async with running_server(nursery, stuck | content, store=store) as server:
        await stick(nursery, server, list(stuck)[1:])
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, *map(want, content))
        # Once her first block is read, somebody else has the last turn.
        await trio.sleep(0.5)
        await stick(nursery, server, list(stuck)[:1])
        first = await until_blocks(ann, 1)
        await trio.sleep(EARLY_HAVE_SECONDS + 0.01)
        assert said(ann) == dict.fromkeys(set(content) - set(first), HAVE)
        assert len(ann.messages) == 2


async def test_who_takes_long_is_told_have_for_the_rest(
    nursery: trio.Nursery, clock: object
) -> None:
    class Slow(ScriptedPeer):
        """A line of 1 MB/s."""

        async def on_stream(self, stream: FakeStream) -> None:
            receive = stream.receive

            async def slowly() -> list[object]:
                buffers = await receive()
                await trio.sleep(sum(map(len, buffers)) / 1e6)
                return list(buffers)

            stream.receive = slowly  # type: ignore[method-assign,assignment]
            await super().on_stream(stream)

    content = blocks(20, 256 * KIB)
    first, *others = content
    async with running_server(nursery, content) as server:
        slow = Slow(nursery, "slow")
        await connect(slow.host, host_of(server))
        await ask(slow, server, want(first))
        await until_blocks(slow, 1)
        # For a peer that is not known yet, a block of this size may take long.
        assert said(slow) == {first: HAVE}
        await ask(slow, server, *map(want, others[:15]))
        await ask(slow, server, *(Entry(cid) for cid in others[15:]))
        await until_blocks(slow, 20)
        # The first of them went into buffers at once; the line showed with the next ones.
        assert set(others[4:15]) <= set(said(slow)) <= {first, *others[:15]}
        assert sum(len(message.presences) for message in slow.messages) == len(said(slow))


async def test_nobody_is_told_have_for_blocks_that_come_at_once(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(1000, 1000)
    async with running_server(nursery, content) as server:
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, *map(want, content))
        await until_blocks(ann, 1000)
        assert said(ann) == {}


async def test_who_does_not_know_the_word_is_not_told(nursery: trio.Nursery, clock: object) -> None:
    content = blocks(10, 256 * KIB)
    limits = BandwidthLimits(per_peer=100 * KIB)
    async with running_server(nursery, content, ServerOptions(bandwidth=limits)) as server:
        old = ScriptedPeer(nursery, "old", [BITSWAP_PROTOCOL_V110])
        await connect(old.host, host_of(server))
        await ask(old, server, *map(want, content), want(X))
        await until_blocks(old, 10)
        assert all(message.blocks for message in old.messages)


async def test_a_word_that_is_lost_costs_no_block(nursery: trio.Nursery, clock: object) -> None:
    content = blocks(3, 256 * KIB)
    async with running_server(nursery, content) as server:
        ann = await connected(nursery, "ann", server)
        host_of(server).fail_streams = 2
        await ask(ann, server, *map(want, content))
        await until_blocks(ann, 3)
        await trio.testing.wait_all_tasks_blocked()
        assert server._engine.server.ledger.count == server._engine.server.ledger.sending_bytes == 0


# -- reading ahead --------------------------------------------------------------------------------


async def test_the_next_reply_is_read_while_one_is_written(
    nursery: trio.Nursery, clock: object
) -> None:
    class Slow(ScriptedPeer):
        """Takes a second for each reply."""

        async def on_message(self, stream: FakeStream, message: Message) -> None:
            await trio.sleep(1)

    content = blocks(10, 300 * KIB)
    store = SlowStore(0.9)
    async with running_server(nursery, content, store=store) as server:
        slow = Slow(nursery, "slow")
        await connect(slow.host, host_of(server))
        await ask(slow, server, *map(want, content))
        await until_blocks(slow, 10)
        assert trio.current_time() < 13  # one after the other it would be 19
        assert server._engine.server.ledger.sending_bytes == 0


async def test_what_was_read_ahead_is_cancelled_until_it_is_written(
    nursery: trio.Nursery, clock: object
) -> None:
    class Patient(ScriptedPeer):
        def __init__(self, nursery: trio.Nursery, name: str) -> None:
            super().__init__(nursery, name)
            self.reads = trio.Event()

        async def on_stream(self, stream: FakeStream) -> None:
            await self.reads.wait()
            await super().on_stream(stream)

    content = blocks(3, 300 * KIB)
    one, two, three = content
    async with running_server(nursery, content, store=SlowStore()) as server:
        ann = Patient(nursery, "ann")
        await connect(ann.host, host_of(server))
        await ask(ann, server, want(one, 3), want(two, 2), want(three, 1))
        await trio.sleep(1)
        assert server._engine.server.ledger.sending_bytes == 600 * KIB
        await ask(ann, server, Entry(two, cancel=True))
        await trio.sleep(1)
        ann.reads.set()
        assert await until_blocks(ann, 2) == [one, three]
        assert ann.messages[-1].pending_bytes == 0


async def test_a_peer_that_stops_reading_for_good_loses_what_was_read_ahead(
    nursery: trio.Nursery, clock: object
) -> None:
    class Deaf(ScriptedPeer):
        async def on_stream(self, stream: FakeStream) -> None:
            await trio.sleep_forever()

    content = blocks(10, 300 * KIB)
    async with running_server(nursery, content, store=SlowStore()) as server:
        deaf = Deaf(nursery, "deaf")
        await connect(deaf.host, host_of(server))
        await ask(deaf, server, *map(want, content))
        await trio.sleep(1)
        assert server._engine.server.ledger.sending_bytes == 600 * KIB
        await trio.sleep(10 * config.MAX_SEND_SECONDS)
        assert server._engine.server.ledger.sending_bytes == 0
        assert len(server.wantlist_for_peer(deaf.host.get_id())) == 10
        await disconnect(deaf.host, host_of(server))
        await trio.testing.wait_all_tasks_blocked()
        assert server._engine.server.ledger.count == 0


async def test_a_connection_lost_while_reading_ahead_leaves_nothing(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(10, 300 * KIB)
    store = SlowStore(1)
    async with running_server(nursery, content, store=store) as server:
        for _ in range(2 * STORE_READERS):
            ann = await connected(nursery, "ann", server)
            await ask(ann, server, *map(want, content))
            await until_blocks(ann, 1)
            await trio.sleep(0.1)
            await disconnect(ann.host, host_of(server))
        await trio.testing.wait_all_tasks_blocked()
        assert server._engine.server.ledger.sending_bytes == server._engine.server.ledger.count == 0
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, *map(want, content))
        await until_blocks(ann, 10)


# -- the store ------------------------------------------------------------------------------------


async def test_sizes_are_looked_up_in_batches(nursery: trio.Nursery) -> None:
    class Counting(MemoryBlockStore):
        async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
            batches.append(len(cids))
            return await super().get_sizes(cids)

    batches: list[int] = []
    content = blocks(500, 10)
    async with running_server(nursery, content, store=Counting()) as server:
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, *map(want, content))
        await until_blocks(ann, 500)
        assert sum(batches) == 500
        assert len(batches) == 4
