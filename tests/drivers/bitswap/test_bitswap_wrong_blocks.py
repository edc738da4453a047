"""Peers whose blocks are not those that they were asked for, since their stores are damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap.config import BITSWAP_PROTOCOLS
from libp2p.bitswap.errors import BlockUnavailableError, PeerAnswer
from libp2p.bitswap.wire.entry import BlockPresenceType, WantType
from libp2p.bitswap.wire.message import Message
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.blocks import block, blocks
from tests.support.fake_host import FakeStream, connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libp2p.ipld.cid import CID

X, X_DATA = block(1001)
CONTENT = blocks(300, 2000)
# All alike, some of them in one message.
DAMAGED = dict.fromkeys([*list(CONTENT)[7::60], *list(CONTENT)[41:44]], bytes(2000))
HAVE = BlockPresenceType.Have


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


class Damaged(ScriptedPeer):
    """
    One with some blocks damaged. It says as little of that as others do that do not hash.

    :param at_once: answer want-haves with small blocks.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        name: str,
        content: Mapping[CID, bytes],
        *,
        at_once: bool = False,
    ) -> None:
        super().__init__(nursery, name)
        self.content = content
        self.at_once = at_once

    async def on_message(self, stream: FakeStream, message: Message) -> None:
        found: list[tuple[CID, bytes]] = []
        presences = []
        for cid, entry in message.entries.items():
            if entry.cancel or cid not in self.content:
                continue
            data = self.content[cid]
            if entry.want_type is WantType.Block or self.at_once:
                found.append((cid, data))
            else:
                presences.append((cid, HAVE))
        for start in range(0, len(found), 10):
            await self.send(stream.remote_peer_id, Message(blocks=found[start : start + 10]))
        if presences:
            await self.send(stream.remote_peer_id, Message(presences=presences))


@pytest.mark.parametrize("at_once", [False, True])
async def test_who_sends_another_block_is_named_at_once(
    nursery: trio.Nursery, clock: object, at_once: bool
) -> None:
    peers = [
        Damaged(nursery, name, {X: bytes(500)}, at_once=at_once)
        for name in ("ann", "cee")[: 1 + at_once]
    ]
    async with running_client(nursery, "bob") as bob:
        for peer in peers:
            await connect(peer.host, host_of(bob))
        begin = trio.current_time()
        with pytest.raises(BlockUnavailableError, match="a block that was not asked for") as caught:
            await bob.get_block(X)
        assert trio.current_time() - begin < 0.1
        answers = dict.fromkeys([peer.host.get_id() for peer in peers], PeerAnswer.UNASKED)
        assert caught.value.peers == answers
        unwanted = bob.stat().unwanted_blocks_received
        # One that had sent the block at once may have been asked for it before that had come.
        assert len(peers) <= unwanted <= len(peers) * (1 + at_once)
        assert not await bob.have_block(X, peers[0].host.get_id()) or not at_once


async def test_another_provider_is_asked_at_once(nursery: trio.Nursery, clock: object) -> None:
    ann = Damaged(nursery, "ann", {X: b"something else"})
    async with running_client(nursery, "bob") as bob:
        await connect(ann.host, host_of(bob))
        session = bob.new_session()
        cee = Provider(nursery, "cee", {X: X_DATA})
        await connect(cee.host, host_of(bob))
        begin = trio.current_time()
        assert await session.get_block(X) == X_DATA
        assert trio.current_time() - begin < 0.01


@pytest.mark.parametrize("ordered", [False, True])
async def test_of_many_blocks_only_the_damaged_ones_are_asked_of_others(
    nursery: trio.Nursery, clock: object, ordered: bool
) -> None:
    ann = Damaged(nursery, "ann", CONTENT | DAMAGED)
    async with running_client(nursery, "bob") as bob:
        await connect(ann.host, host_of(bob))
        session = bob.new_session()
        first = next(iter(CONTENT))
        assert await session.get_block(first) == CONTENT[first]  # it is the one for the session
        cee = Provider(nursery, "cee", dict(CONTENT))
        await connect(cee.host, host_of(bob))
        begin = trio.current_time()
        got = {cid: data async for cid, data in session.get_blocks(CONTENT, ordered=ordered)}
        assert got == CONTENT
        assert trio.current_time() - begin < 0.1
        assert len(cee.wanted()) < len(CONTENT) // 2
        assert bob.stat().unwanted_blocks_received >= len(DAMAGED)


async def test_a_damaged_block_among_many_fails_at_once_if_nobody_else_has_it(
    nursery: trio.Nursery, clock: object
) -> None:
    ann = Damaged(nursery, "ann", CONTENT | DAMAGED)
    async with running_client(nursery, "bob") as bob:
        await connect(ann.host, host_of(bob))
        begin = trio.current_time()
        with pytest.raises(BlockUnavailableError, match="not asked for") as caught:
            await bob.get_blocks_batch(list(CONTENT))
        assert trio.current_time() - begin < 0.1
        assert caught.value.cid in DAMAGED


async def test_a_block_of_an_unknown_hash_is_none_that_was_asked_for(
    nursery: trio.Nursery, clock: object
) -> None:
    class Strange(ScriptedPeer):
        async def on_message(self, stream: FakeStream, message: Message) -> None:
            reply = await self.host.new_stream(stream.remote_peer_id, BITSWAP_PROTOCOLS)
            body = b"\x0a\x00\x1a\x0b\x0a\x05\x01\x55\xff\x7f\x20\x12\x02hi"
            await reply.send([bytes([len(body)]) + body])
            await reply.close_write()

    ann = Strange(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(ann.host, host_of(bob))
        with pytest.raises(BlockUnavailableError, match="not asked for"):
            await bob.get_block(X, timeout=1)
        assert bob.stat().unwanted_blocks_received == 1


async def test_a_late_block_speaks_against_nobody(nursery: trio.Nursery, clock: object) -> None:
    ann = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(ann.host, host_of(bob))
        for cid in CONTENT:
            await bob.want_block(cid)
        await trio.testing.wait_all_tasks_blocked()
        late = Message(blocks=CONTENT.items())
        for cid in CONTENT:
            await bob.cancel_want(cid)
        async with trio.open_nursery() as waiting:
            waiting.start_soon(bob.get_block, X)
            await trio.testing.wait_all_tasks_blocked()
            await ann.send(host_of(bob).get_id(), late)
            await trio.testing.wait_all_tasks_blocked()
            await ann.send(host_of(bob).get_id(), Message(blocks=[(X, X_DATA)]))
        stat = bob.stat()
        assert stat.late_blocks_received == len(CONTENT)
        assert (stat.unwanted_blocks_received, stat.dup_blks_received) == (0, 0)
