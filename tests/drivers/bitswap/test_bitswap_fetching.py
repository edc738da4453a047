"""Fetches as their users see them: order, counts, sessions, peers that come and go."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from multiaddr import Multiaddr

from libp2p.bitswap.config import (
    BROADCAST_STRANGERS,
    READ_AHEAD_BYTES,
    REBROADCAST_AFTER,
    TAKEOVER_SECONDS,
)
from libp2p.bitswap.errors import BitswapError, BlockNotFoundError, ClientClosedError
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.blockstore import MemoryBlockStore
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.blocks import block, blocks
from tests.support.fake_host import FakeStream, connect, disconnect
from tests.support.peer_status import peer_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from libp2p.base_types import Buffer
    from libp2p.bitswap.client import BitswapClient
    from libp2p.ipld.cid import CID, CIDInput

X, X_DATA = block(1)
Y, Y_DATA = block(2)
Z, Z_DATA = block(3)


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


class Shuffler(Provider):
    """Sends the blocks of a message in any order, each in a message of its own."""

    async def on_message(self, stream: FakeStream, message: Message) -> None:
        entries = [entry for entry in message.entries.values() if not entry.cancel]
        random.Random(len(entries)).shuffle(entries)
        for entry in entries:
            await super().on_message(stream, Message([entry]))


class Waiting(ScriptedPeer):
    """Keeps what it is asked for and sends it when the test says so."""

    def __init__(self, nursery: trio.Nursery, name: str, content: dict[CID, bytes]) -> None:
        super().__init__(nursery, name)
        self.content = content

    async def answer(self, client: BitswapClient, *cids: CID) -> None:
        message = Message(blocks=[(cid, self.content[cid]) for cid in cids])
        await self.send(host_of(client).get_id(), message)


# -- in order -------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [None, 1, 7])
async def test_blocks_come_in_order_if_asked_to(nursery: trio.Nursery, window: int | None) -> None:
    content = blocks(200)
    cids = [*content, X, X, *list(content)[:10]]
    random.Random(1).shuffle(cids)
    async with running_client(nursery, "bob", list(content.items())[::7]) as bob:
        await connect(Shuffler(nursery, "ann", content).host, host_of(bob))
        got = [block async for block in bob.get_blocks(cids, window=window, ordered=True)]
        assert got == [(cid, content[cid]) for cid in cids]


async def test_without_a_word_blocks_come_as_they_are_sent(nursery: trio.Nursery) -> None:
    content = blocks(50)
    async with running_client(nursery, "bob") as bob:
        await connect(Shuffler(nursery, "ann", content).host, host_of(bob))
        got = [cid async for cid, _ in bob.get_blocks(content)]
        assert sorted(got) == sorted(content)
        assert got != list(content)


async def test_an_ordered_fetch_holds_no_more_than_its_window(nursery: trio.Nursery) -> None:
    size = 256 * 1024
    content = blocks(400, size)
    first = next(iter(content))
    taken: list[CID] = []

    def source() -> Iterator[CID]:
        for cid in content:
            taken.append(cid)
            yield cid

    class FirstLast(Provider):
        """Does not have the first block, until the end."""

        async def on_message(self, stream: FakeStream, message: Message) -> None:
            message.entries.pop(first, None)
            await super().on_message(stream, message)

    provider = FirstLast(nursery, "ann", content)
    async with running_client(nursery, "bob") as bob:
        await connect(provider.host, host_of(bob))
        async with bob.get_blocks(source(), ordered=True) as fetch, trio.open_nursery() as taking:
            got: list[CID] = []

            async def take() -> None:
                async for cid, _ in fetch:
                    got.append(cid)

            taking.start_soon(take)
            await trio.testing.wait_all_tasks_blocked()
            assert got == []
            assert len(taken) * size <= READ_AHEAD_BYTES
            await provider.send(host_of(bob).get_id(), Message(blocks=[(first, content[first])]))
        assert got == list(content)


async def test_priorities_follow_the_order(nursery: trio.Nursery) -> None:
    peer = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        cids = list(blocks(16))
        async with bob.get_blocks(cids, ordered=True) as fetch, trio.open_nursery() as fetching:
            fetching.start_soon(fetch.__anext__)
            await peer.wait_for(1)
            fetching.cancel_scope.cancel()
        asked = sorted(peer.messages[0].entries.values(), key=lambda entry: -entry.priority)
        assert [entry.cid for entry in asked] == cids


async def test_an_ordered_fetch_fails_for_what_nobody_has(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "bob") as bob:
        await connect(Provider(nursery, "ann", {X: X_DATA, Z: Z_DATA}).host, host_of(bob))
        with pytest.raises(BlockNotFoundError):
            await _take_all(bob, [X, Y, Z], ordered=True)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_fetch_of_nothing_is_over_at_once(nursery: trio.Nursery, ordered: bool) -> None:
    async with running_client(nursery, "bob") as bob:
        assert [block async for block in bob.get_blocks([], ordered=ordered)] == []


# -- counts ---------------------------------------------------------------------------------------


async def test_what_comes_twice_is_counted_for_the_session_that_wanted_it(
    nursery: trio.Nursery, clock: object
) -> None:
    content = {X: X_DATA, Y: Y_DATA}
    slow, quick = Waiting(nursery, "slow", content), Provider(nursery, "quick", content)
    async with running_client(nursery, "bob") as bob:
        await connect(slow.host, host_of(bob))
        session, other = bob.new_session(), bob.new_session()
        async with trio.open_nursery() as fetching:
            fetching.start_soon(session.get_block, X)
            await slow.wait_for(1)
            await trio.sleep(6)  # it is late
            await connect(quick.host, host_of(bob))
        assert await other.get_block(Y) == Y_DATA
        await slow.answer(bob, X)
        await trio.testing.wait_all_tasks_blocked()
        assert (session.stats.blocks_received, session.stats.data_received) == (1, len(X_DATA))
        assert session.stats.dup_blks_received == 1
        assert session.stats.dup_data_received == len(X_DATA)
        assert (other.stats.blocks_received, other.stats.dup_blks_received) == (1, 0)
        stat = bob.stat()
        assert (stat.blocks_received, stat.dup_blks_received) == (3, 1)
        assert (stat.dup_data_received, stat.unwanted_blocks_received) == (len(X_DATA), 0)


async def test_whether_somebody_has_a_block_is_no_block(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "bob") as bob:
        await connect(Provider(nursery, "ann", {X: X_DATA}).host, host_of(bob))
        session = bob._engine.open_session(presence_only=True)
        await bob._engine.fetch(session, X, 10)
        assert session.stats.blocks_received == 0


# -- sessions -------------------------------------------------------------------------------------


async def test_every_waiter_of_every_session_gets_the_block_and_some_leave_meanwhile(
    nursery: trio.Nursery, clock: object
) -> None:
    peer = Waiting(nursery, "ann", {X: X_DATA})
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        sessions = [bob.new_session() for _ in range(5)]
        got = 0

        async def wait(number: int) -> None:
            nonlocal got
            with trio.move_on_after(1 if number % 3 == 0 else 100), suppress(ClientClosedError):
                assert await sessions[number % 5].get_block(X) == X_DATA
                got += 1

        async with trio.open_nursery() as waiting:
            for number in range(60):
                waiting.start_soon(wait, number)
            await trio.sleep(2)
            sessions[4].close()
            assert not any(entry.cancel for entry in peer.entries)
            await peer.answer(bob, X)
        assert got == 32  # of sixty, twenty have left and eight were of the closed session


async def test_a_session_closed_while_its_block_is_stored_is_told_so_and_the_block_stays(
    nursery: trio.Nursery,
) -> None:
    storing, go_on = trio.Event(), trio.Event()

    class SlowStore(MemoryBlockStore):
        async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
            storing.set()
            await go_on.wait()
            await super().put_blocks(blocks)

    peer = Provider(nursery, "ann", {X: X_DATA})
    async with running_client(nursery, "bob", store=SlowStore()) as bob:
        await connect(peer.host, host_of(bob))
        session, other = bob.new_session(), bob.new_session()
        async with trio.open_nursery() as fetching:

            async def closed() -> None:
                with pytest.raises(ClientClosedError):
                    await session.get_block(X)

            fetching.start_soon(closed)
            fetching.start_soon(other.get_block, X)
            await storing.wait()
            session.close()
            await trio.testing.wait_all_tasks_blocked()
            go_on.set()
        assert await bob.block_store.has_block(X)
        assert peer.wanted() == [X]


async def test_a_session_that_only_one_of_two_leaves_goes_on(nursery: trio.Nursery) -> None:
    peer = Waiting(nursery, "ann", {X: X_DATA, Y: Y_DATA})
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        session = bob.new_session()
        async with trio.open_nursery() as fetching:
            fetching.start_soon(session.get_blocks_batch, [X, Y])
            await peer.wait_for(1)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as other:
                    other.start_soon(session.get_block, X)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
            await peer.answer(bob, X, Y)
        assert not any(entry.cancel for entry in peer.entries)


# -- peers that come and go -----------------------------------------------------------------------


async def test_a_peer_that_is_back_within_ten_milliseconds_is_asked_again(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(100)
    peer = Waiting(nursery, "ann", content)
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        got: set[CID] = set()

        async def fetch() -> None:
            async for cid, _ in bob.new_session(wait=True).get_blocks(content):
                got.add(cid)

        async with trio.open_nursery() as fetching:
            fetching.start_soon(fetch)
            while len(got) < len(content):
                await trio.sleep(0.005)
                known = set(peer.wanted()) - got
                peer.messages.clear()
                if known:
                    await peer.answer(bob, *list(known)[:10])
                await trio.testing.wait_all_tasks_blocked()
                await disconnect(peer.host, host_of(bob))
                await trio.sleep(0.005)
                await connect(peer.host, host_of(bob))
                await trio.testing.wait_all_tasks_blocked()
        assert bob.stat().dup_blks_received == 0


async def test_a_fetch_goes_on_when_one_of_two_connections_is_lost_while_a_block_comes(
    nursery: trio.Nursery,
) -> None:
    big, data = block(7, 2 * 1024 * 1024)

    class Halves(Provider):
        """Its first reply is cut off in the middle."""

        cuts = 1

        async def send(self, peer: object, message: Message) -> FakeStream:
            if not self.cuts:
                return await super().send(peer, message)  # type: ignore[arg-type]
            self.cuts -= 1
            stream = await self.host.new_stream(peer, list(self.host.handlers))  # type: ignore[arg-type]
            frame = b"".join(message.frames()[0])
            await stream.send([frame[: len(frame) // 2]])
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(disconnect, self.host, host_of(bob))
            await trio.sleep_forever()

    async with running_client(nursery, "bob") as bob:
        peer = Halves(nursery, "ann", {big: data})
        await connect(peer.host, host_of(bob))
        await connect(peer.host, host_of(bob))
        with trio.fail_after(5):
            assert await bob.get_block(big) == data


async def test_a_provider_that_says_have_and_loses_the_block_passes_it_to_the_next(
    nursery: trio.Nursery,
) -> None:
    class Forgetful(Provider):
        async def on_message(self, stream: FakeStream, message: Message) -> None:
            wants_block = any(e.want_type is WantType.Block for e in message.entries.values())
            if wants_block:
                self.content = {}
            await super().on_message(stream, message)

    async with running_client(nursery, "bob") as bob:
        peers = [Forgetful(nursery, f"{number}", {X: X_DATA}) for number in range(4)]
        for peer in (*peers, Provider(nursery, "good", {X: X_DATA})):
            await connect(peer.host, host_of(bob))
        with trio.fail_after(5):
            assert await bob.get_block(X) == X_DATA


async def test_who_is_silent_after_all_has_been_said_loses_its_blocks_in_a_moment(
    nursery: trio.Nursery, clock: object
) -> None:
    liar, good = Waiting(nursery, "liar", {}), Waiting(nursery, "good", {X: X_DATA})
    async with running_client(nursery, "bob") as bob:
        for peer in (liar, good):
            await connect(peer.host, host_of(bob))
        async with trio.open_nursery() as fetching:
            fetching.start_soon(bob.get_block, X)
            for peer in (liar, good):
                await peer.wait_for(1)
                have = Message(presences=[(X, BlockPresenceType.Have)])
                await peer.send(host_of(bob).get_id(), have)
                await trio.testing.wait_all_tasks_blocked()
            begin = trio.current_time()
            await good.wait_for(2)
            assert trio.current_time() - begin == pytest.approx(TAKEOVER_SECONDS, rel=0.1)
            await good.answer(bob, X)


# -- what goes out --------------------------------------------------------------------------------


async def test_cancels_go_with_the_next_wants_and_only_to_those_that_were_asked(
    nursery: trio.Nursery,
) -> None:
    peer, other = ScriptedPeer(nursery, "ann"), ScriptedPeer(nursery, "cee")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        await bob.want_block(X)
        await peer.wait_for(1)
        host_of(bob).get_network().events.forget_all()
        await connect(other.host, host_of(bob))
        await bob.cancel_want(X)
        await bob.want_block(Y)
        await trio.testing.wait_all_tasks_blocked()
        cancel, want = Entry(X, 0, cancel=True), peer.messages[-1].entries[Y]
        assert [list(m.entries.values()) for m in peer.messages[1:]] in (
            [[cancel, want]],
            [[cancel], [want]],
        )
        assert not any(entry.cancel for entry in other.entries)


async def test_of_peers_far_away_only_some_are_asked_whether_they_have_a_block(
    nursery: trio.Nursery,
) -> None:
    async with running_client(nursery, "bob") as bob:
        far = [ScriptedPeer(nursery, f"far {number}") for number in range(20)]
        near = ScriptedPeer(nursery, "near")
        near.host.addresses = [Multiaddr("/ip4/192.168.1.7/tcp/4001")]
        for peer in (*far, near):
            if peer is not near:
                peer.host.addresses = [Multiaddr("/ip4/8.8.8.8/tcp/4001")]
            await connect(peer.host, host_of(bob))
        await bob.want_block(X)
        await trio.testing.wait_all_tasks_blocked()
        assert sum(len(peer.wanted()) for peer in far) == BROADCAST_STRANGERS
        assert near.wanted() == [X]


async def test_no_message_has_a_want_and_a_cancel_of_one_block_in_a_storm_of_both(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(50)
    provider = Provider(nursery, "ann", content)
    choice = random.Random(3)
    async with running_client(nursery, "bob") as bob:
        await connect(provider.host, host_of(bob))

        async def impatient(cids: list[CID]) -> None:
            for _ in range(20):
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as fetching:
                        fetching.start_soon(_take_all, bob, cids)
                        for _ in range(choice.randrange(30)):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()
                await bob.block_store.delete_block(choice.choice(cids))

        async with trio.open_nursery() as storm:
            for number in range(10):
                storm.start_soon(impatient, list(content)[number * 4 : number * 4 + 14])
        await trio.testing.wait_all_tasks_blocked()
        bob._engine.apply()
        await trio.testing.wait_all_tasks_blocked()
        assert bob.stat().wantlist == []
        peer = peer_status(bob._engine.tracker, provider.host.get_id())
        assert not any((peer.assigned, peer.unanswered, peer.queued, peer.registered))
        # Merged on its way, a want beside a cancel would have become one that wants DONT_HAVE.
        assert not any(entry.cancel and entry.send_dont_have for entry in provider.entries)
        assert len(host_of(bob).opened) == 1
        got = {cid: data async for cid, data in bob.get_blocks(content)}
        assert got == content


async def _take_all(client: BitswapClient, cids: list[CID], *, ordered: bool = False) -> None:
    async for _ in client.get_blocks(cids, ordered=ordered):
        pass


async def test_wants_are_said_again_to_a_peer_that_forgot_them(
    nursery: trio.Nursery, clock: object
) -> None:
    class Forgetful(Provider):
        """Loses the first message."""

        async def on_message(self, stream: FakeStream, message: Message) -> None:
            if len(self.messages) > 1:
                await super().on_message(stream, message)

    peer = Forgetful(nursery, "ann", {X: X_DATA})
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        assert await bob.get_block(X, timeout=100) == X_DATA
        assert trio.current_time() == pytest.approx(REBROADCAST_AFTER)


# -- growth ---------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_ten_thousand_gets_from_a_thousand_peers_leave_nothing(
    nursery: trio.Nursery,
) -> None:
    content = blocks(100, 50)
    silent = ScriptedPeer(nursery, "silent")
    store = MemoryBlockStore()
    async with running_client(nursery, "bob", store=store) as bob:
        await connect(silent.host, host_of(bob))
        base = len(nursery.child_tasks)
        streams = 0
        for round_ in range(1000):
            peer = Provider(nursery, f"{round_}", content)
            await connect(peer.host, host_of(bob))
            cids = list(content)[round_ % 10 * 10 : round_ % 10 * 10 + 10]
            async with trio.open_nursery() as fetching:
                for cid in cids:
                    fetching.start_soon(bob.get_block, cid)
            for cid in cids:
                await store.delete_block(cid)
            await disconnect(peer.host, host_of(bob))
            await trio.testing.wait_all_tasks_blocked()
            streams = max(streams, sum(1 for s in host_of(bob).opened if not s.was_reset))
            host_of(bob).opened.clear()
            silent.messages.clear()
        assert len(nursery.child_tasks) <= base + 3  # the streams to and from the silent one
        assert streams <= 2
        assert bob.stat().blocks_received == 10_000
        tracker = bob._engine.tracker
        assert tracker.peer_ids == [silent.host.get_id()]
        left = peer_status(tracker, silent.host.get_id())
        assert not any(
            (left.assigned, left.unanswered, left.queued, left.registered, left.may_come_twice)
        )
        assert tracker.wantlist() == []
        for session in tracker._sessions.values():
            assert not any((session.peers, session.wants, session.backlog, session.to_search))
            assert len(session.lost) <= 32
        assert len(tracker.timers._heap) < 200
        assert bob._engine.server.ledger.count == 0


async def test_gets_that_fail_leave_nothing(nursery: trio.Nursery, clock: object) -> None:
    async with running_client(nursery, "bob") as bob:
        for number in range(3):
            await connect(Provider(nursery, f"{number}", {}).host, host_of(bob))
        for cid in blocks(300):
            with pytest.raises(BitswapError):
                await bob.get_block(cid)
        await trio.testing.wait_all_tasks_blocked()
        for peer_id in bob._engine.tracker.peer_ids:
            peer = peer_status(bob._engine.tracker, peer_id)
            assert not any((peer.assigned, peer.unanswered, peer.queued, peer.registered))
        assert bob.stat().wantlist == []
