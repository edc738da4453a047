"""
Peers that want to harm a client. Each test says what they may cost at most, and that blocks come
from others all the same.
"""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
import trio

from libp2p.bitswap.config import (
    BITSWAP_PROTOCOLS,
    MAX_BROADCAST_WANTS,
    MAX_LOST_PEERS,
    MAX_MESSAGE_PARTS,
    MAX_RESETS,
    RECENT_BLOCKS,
    SEND_ATTEMPTS,
)
from libp2p.bitswap.errors import BlockNotFoundError, BlockUnavailableError, PeerAnswer
from libp2p.bitswap.wire.entry import BlockPresenceType, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.blockstore import MemoryBlockStore
from libp2p.ipld.cid import CID
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.blocks import block, blocks
from tests.support.fake_host import FakeStream, connect, disconnect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from libp2p.bitswap.client import BitswapClient
    from libp2p.peer.id import ID

HAVE, DONT_HAVE = BlockPresenceType.Have, BlockPresenceType.DontHave
MIB = 1024 * 1024

X, X_DATA = block(1001)
Y, Y_DATA = block(1002)
CONTENT = blocks(60)


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


class Attack:
    """A client, who attacks it, and who has the blocks that it wants."""

    def __init__(self, client: BitswapClient, attacker: ScriptedPeer, honest: Provider) -> None:
        self.client = client
        self.attacker = attacker
        self.honest = honest

    async def send(self, message: Message) -> None:
        await self.attacker.send(host_of(self.client).get_id(), message)
        await trio.testing.wait_all_tasks_blocked()

    async def fetches(self, cids: Iterable[CID] = CONTENT) -> float:
        """Fetch, and give the seconds that it took."""
        begin = trio.current_time()
        got = {cid: data async for cid, data in self.client.get_blocks(cids)}
        assert got == {cid: CONTENT[cid] for cid in cids}
        return trio.current_time() - begin

    @property
    def stored(self) -> int:
        store = self.client.block_store
        assert isinstance(store, MemoryBlockStore)
        return store.size()


@asynccontextmanager
async def attack(
    nursery: trio.Nursery, attacker: ScriptedPeer | None = None
) -> AsyncIterator[Attack]:
    attacker = attacker or ScriptedPeer(nursery, "mallory")
    honest = Provider(nursery, "ann", dict(CONTENT))
    async with running_client(nursery, "bob") as client:
        await connect(attacker.host, host_of(client))
        await connect(honest.host, host_of(client))
        yield Attack(client, attacker, honest)


def answer(kind: BlockPresenceType, cids: Iterable[CID]) -> Message:
    return Message(presences=[(cid, kind) for cid in cids])


# -- lies about presence --------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_million_presences_that_nobody_asked_for_cost_no_memory(
    nursery: trio.Nursery,
) -> None:
    count = MAX_MESSAGE_PARTS - 1
    cids = (CID.from_digest(number.to_bytes(32, "big")) for number in range(count))
    kinds = zip(cids, cycle((HAVE, DONT_HAVE)))
    (flood,) = Message(presences=kinds).frames()
    async with attack(nursery) as scene:
        await scene.client.want_block(X)
        stream = await scene.attacker.host.new_stream(
            host_of(scene.client).get_id(), BITSWAP_PROTOCOLS
        )
        objects = 0
        for number in range(16):
            await stream.send(flood)
            await trio.testing.wait_all_tasks_blocked()
            if number == 1:
                gc.collect()
                objects = len(gc.get_objects())
        gc.collect()
        assert len(gc.get_objects()) - objects < 1000
        assert scene.client.answers_for(X).keys() <= {
            scene.attacker.host.get_id(),
            scene.honest.host.get_id(),
        }
        assert await scene.fetches() < 1


async def test_presence_of_a_block_that_was_asked_of_others_only_is_ignored(
    nursery: trio.Nursery,
) -> None:
    async with attack(nursery) as scene:
        session = scene.client.new_session([scene.honest.host.get_id()])
        scene.honest.content = {}
        async with trio.open_nursery() as fetching:
            fetching.start_soon(_expect_not_found, session.get_block, X)
            await scene.send(answer(HAVE, [X]))
        assert scene.attacker.wanted() == []


async def _expect_not_found(get_block: object, cid: CID) -> None:
    with pytest.raises(BlockNotFoundError):
        await get_block(cid)  # type: ignore[operator]  # a bound method


async def test_one_that_says_have_of_everything_and_sends_nothing_holds_up_a_fetch_once(
    nursery: trio.Nursery, clock: object
) -> None:
    class Liar(Provider):
        """Is quicker to promise than anybody else."""

    liar = Liar(nursery, "mallory", dict(CONTENT), lies=True)
    async with attack(nursery, liar) as scene:
        assert await scene.fetches() < 1
        asked = [e for e in liar.entries if not e.cancel and e.want_type is WantType.Block]
        assert len(asked) < len(CONTENT) / 2
        liar.messages.clear()
        for _ in range(5):
            for cid in CONTENT:
                await scene.client.block_store.delete_block(cid)
            assert await scene.fetches() < 0.1
        asked = [e for e in liar.entries if not e.cancel and e.want_type is WantType.Block]
        assert len(asked) <= 20


async def test_have_then_dont_have_and_back_costs_a_word_for_a_word(nursery: trio.Nursery) -> None:
    async with attack(nursery) as scene:
        scene.honest.content = {}
        await scene.client.want_block(X)
        for _ in range(200):
            await scene.send(answer(HAVE, [X]))
            await scene.send(answer(DONT_HAVE, [X]))
        assert len(scene.attacker.wanted()) <= 201
        assert len(scene.honest.wanted()) <= 2
        await scene.honest.send(host_of(scene.client).get_id(), Message(blocks=[(X, X_DATA)]))
        await trio.testing.wait_all_tasks_blocked()
        assert scene.stored == 1


async def test_a_flood_of_dont_haves_says_no_once(nursery: trio.Nursery) -> None:
    async with attack(nursery) as scene:
        scene.honest.content = {}
        async with trio.open_nursery() as fetching:
            fetching.start_soon(_expect_not_found, scene.client.get_block, X)
            await scene.attacker.wait_for(1)
            for _ in range(100):
                await scene.send(answer(DONT_HAVE, [X, Y]))
        assert set(scene.attacker.wanted()) == {X}
        assert len(scene.attacker.wanted()) <= 2  # whether it has it, and the block


async def test_all_that_lie_together_cannot_make_a_fetch_fail(
    nursery: trio.Nursery, clock: object
) -> None:
    async with attack(nursery) as scene:
        for number in range(20):
            liar = Provider(nursery, f"liar {number}", dict(CONTENT), lies=True)
            await connect(liar.host, host_of(scene.client))
        assert await scene.fetches() < 3


# -- blocks ---------------------------------------------------------------------------------------


async def test_blocks_that_nobody_wants_are_neither_stored_nor_remembered(
    nursery: trio.Nursery,
) -> None:
    async with attack(nursery) as scene:
        unasked = blocks(2 * RECENT_BLOCKS, 20)
        for at in range(0, len(unasked), 500):
            await scene.send(Message(blocks=list(unasked.items())[at : at + 500]))
        stat = scene.client.stat()
        assert stat.unwanted_blocks_received == len(unasked)
        assert stat.dup_blks_received == 0
        assert scene.stored == 0
        assert not any(scene.client._engine.tracker.came_lately(cid) for cid in unasked)


async def test_a_block_sent_a_thousand_times_is_stored_once(nursery: trio.Nursery) -> None:
    puts = 0

    class Counting(MemoryBlockStore):
        async def put_blocks(self, blocks: object) -> None:
            nonlocal puts
            puts += 1
            await super().put_blocks(blocks)  # type: ignore[arg-type]

    attacker = ScriptedPeer(nursery, "mallory")
    async with running_client(nursery, "bob", store=Counting()) as bob:
        await connect(attacker.host, host_of(bob))
        await bob.want_block(X)
        for _ in range(1000):
            await attacker.send(host_of(bob).get_id(), Message(blocks=[(X, X_DATA)]))
        await trio.testing.wait_all_tasks_blocked()
        assert puts == 1
        assert bob.stat().dup_blks_received == 999


async def test_a_block_that_was_cancelled_long_ago_is_dropped(nursery: trio.Nursery) -> None:
    async with attack(nursery) as scene:
        scene.honest.content = {}
        await scene.client.want_block(X)
        await scene.attacker.wait_for(1)
        await scene.client.cancel_want(X)
        await scene.send(Message(blocks=[(X, X_DATA)]))
        assert scene.stored == 0
        assert scene.client.stat().late_blocks_received == 1
        assert scene.client.stat().unwanted_blocks_received == 0
        await scene.send(Message(blocks=[(X, X_DATA)]))  # once is late, twice is something else
        assert scene.client.stat().unwanted_blocks_received == 1


async def test_a_wrong_block_is_only_one_that_nobody_wants(
    nursery: trio.Nursery, clock: object
) -> None:
    class Forger(Provider):
        async def on_message(self, stream: FakeStream, message: Message) -> None:
            forged = [(CID.for_block(b"forged"), b"forged") for _ in message.entries]
            await self.send(stream.remote_peer_id, Message(blocks=forged))

    async with attack(nursery, Forger(nursery, "mallory", {})) as scene:
        assert await scene.fetches() < 1
        assert scene.stored == len(CONTENT)
        assert scene.client.stat().unwanted_blocks_received > 0


# -- peers and streams ----------------------------------------------------------------------------


async def test_a_hundred_peers_of_one_session_are_not_all_asked_for_all(
    nursery: trio.Nursery, clock: object
) -> None:
    peers = [Provider(nursery, f"{number}", dict(CONTENT)) for number in range(100)]
    async with running_client(nursery, "bob") as bob:
        for peer in peers:
            await connect(peer.host, host_of(bob))
        got = [cid async for cid, _ in bob.get_blocks(CONTENT)]
        assert len(got) == len(CONTENT)
        blocks_asked = [
            entry
            for peer in peers
            for entry in peer.entries
            if not entry.cancel and entry.want_type is WantType.Block
        ]
        assert len(blocks_asked) <= 1.1 * len(CONTENT)
        assert bob.stat().dup_blks_received <= 0.05 * len(CONTENT)


async def test_one_that_does_not_speak_bitswap_is_tried_once(
    nursery: trio.Nursery, clock: object
) -> None:
    mute = ScriptedPeer(nursery, "mallory", protocols=[])
    async with attack(nursery, mute) as scene:
        assert await scene.fetches() == 0
        tries = 0
        new_stream = host_of(scene.client).new_stream

        async def counted(peer: ID, *args: Any, **options: Any) -> FakeStream:
            nonlocal tries
            tries += peer == mute.host.get_id()
            return await new_stream(peer, *args, **options)

        host_of(scene.client).new_stream = counted  # type: ignore[method-assign]
        with pytest.raises(BlockUnavailableError) as caught:
            await scene.client.get_block(X)
        assert caught.value.peers[mute.host.get_id()] is PeerAnswer.NOT_SUPPORTED
        await trio.sleep(100)
        assert tries <= 1


async def test_one_that_resets_all_our_streams_is_given_up(
    nursery: trio.Nursery, clock: object
) -> None:
    class Resetter(ScriptedPeer):
        async def on_message(self, stream: FakeStream, message: Message) -> None:
            await stream.reset()

    resetter = Resetter(nursery, "mallory")
    async with attack(nursery, resetter) as scene:
        assert await scene.fetches() < 1
        await trio.sleep(100)
        assert len(resetter.inbound) <= MAX_RESETS + SEND_ATTEMPTS


async def test_one_that_does_not_read_its_wants_holds_up_nobody(
    nursery: trio.Nursery, clock: object
) -> None:
    class Deaf(ScriptedPeer):
        async def on_stream(self, stream: FakeStream) -> None:
            self.inbound.append(stream)
            await trio.sleep_forever()

    deaf = Deaf(nursery, "mallory")
    async with attack(nursery, deaf) as scene:
        for round_ in range(30):
            many = blocks(400, 20 + round_)
            with trio.move_on_after(0.01):
                await scene.client.new_session(wait=True).get_blocks_batch(
                    list(many), batch_size=400
                )
        assert await scene.fetches() < 1
        assert all(stream.unread_bytes < MIB for stream in host_of(scene.client).opened)


async def test_peers_that_come_and_go_while_wants_are_live_leave_nothing(
    nursery: trio.Nursery,
) -> None:
    async with running_client(nursery, "bob") as bob:
        for cid in CONTENT:
            await bob.want_block(cid)
        for number in range(MAX_LOST_PEERS + 5):
            peer = ScriptedPeer(nursery, f"{number}")
            await connect(peer.host, host_of(bob))
            (message,) = await peer.wait_for(1)
            assert len(message.entries) <= MAX_BROADCAST_WANTS
            await disconnect(peer.host, host_of(bob))
        await trio.testing.wait_all_tasks_blocked()
        assert bob.stat().peers == []
        for cid in CONTENT:
            answers = bob.answers_for(cid)
            assert len(answers) == MAX_LOST_PEERS
            assert set(answers.values()) == {PeerAnswer.DISCONNECTED}
