"""
Peers that want to harm a server. Each test says what they may cost at most, and that others are
served meanwhile.
"""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap import config
from libp2p.bitswap.config import BITSWAP_PROTOCOLS
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.blockstore import MemoryBlockStore
from libp2p.ipld.cid import CID
from libp2p.utils.varint import encode_uvarint
from tests.support.bitswap_peers import ScriptedPeer, host_of, running_client
from tests.support.blocks import block, blocks
from tests.support.fake_host import FRAME, WINDOW, FakeStream, connect, disconnect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from libp2p.bitswap.client import BitswapClient

DONT_HAVE = BlockPresenceType.DontHave
MIB = 1024 * 1024

X, X_DATA = block(1)
BIG, BIG_DATA = block(2, 2 * MIB)
MAX_INT32 = 2**31 - 1


class Attack:
    """A server, who attacks it, and who wants to be served all the same."""

    def __init__(self, server: BitswapClient, attacker: ScriptedPeer, honest: ScriptedPeer) -> None:
        self.server = server
        self.attacker = attacker
        self.honest = honest
        self.served = 0

    async def stream(self) -> FakeStream:
        return await self.attacker.host.new_stream(host_of(self.server).get_id(), BITSWAP_PROTOCOLS)

    async def send(self, message: Message) -> None:
        await self.attacker.send(host_of(self.server).get_id(), message)

    async def serves_others(self) -> None:
        """Ask for a block as somebody else, and get it without time going by."""
        start = trio.current_time()
        await self.honest.send(host_of(self.server).get_id(), Message([Entry(X)]))
        self.served += 1
        await self.honest.wait_for(self.served)
        assert trio.current_time() == start
        assert list(self.honest.messages[-1].blocks) == [X]

    def wanted(self) -> int:
        return len(self.server.wantlist_for_peer(self.attacker.host.get_id()))

    def answers(self) -> int:
        return sum(len(m.presences) + len(m.blocks) for m in self.attacker.messages)


class Deaf(ScriptedPeer):
    """Never reads what is sent to it."""

    async def on_stream(self, stream: FakeStream) -> None:
        self.inbound.append(stream)
        await trio.sleep_forever()


@asynccontextmanager
async def attack(
    nursery: trio.Nursery, attacker: type[ScriptedPeer] = ScriptedPeer
) -> AsyncIterator[Attack]:
    async with running_client(nursery, "server", [(X, X_DATA), (BIG, BIG_DATA)]) as server:
        peers = attacker(nursery, "attacker"), ScriptedPeer(nursery, "honest")
        for peer in peers:
            await connect(peer.host, host_of(server))
        under_attack = Attack(server, *peers)
        yield under_attack
        await under_attack.serves_others()
        await disconnect(peers[0].host, host_of(server))
        await trio.testing.wait_all_tasks_blocked()
        assert server._engine.server.ledger.count == server._engine.server.ledger.sending_bytes == 0


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Time goes by only when nobody has anything to do."""
    return autojump_clock


def framed(*parts: bytes) -> list[bytes]:
    body = b"".join(parts)
    return [encode_uvarint(len(body)) + body]


def field(tag: int, body: bytes) -> bytes:
    return bytes((tag,)) + encode_uvarint(len(body)) + body


def wantlist(cids: Iterable[bytes]) -> bytes:
    """The wantlist of a message, with CIDs that need not be any."""
    return field(0x0A, b"".join(field(0x0A, field(0x0A, cid) + b"\x28\x01") for cid in cids))


def many(count: int, first: int = 0) -> list[CID]:
    """CIDs of blocks that nobody has."""
    return [CID.from_digest(number.to_bytes(32, "big")) for number in range(first, first + count)]


# -- long and malformed messages ------------------------------------------------------------------


@pytest.mark.slow
async def test_a_million_entries_cost_the_stream_and_no_memory(
    nursery: trio.Nursery, clock: object
) -> None:
    message = framed(field(0x0A, b"\x0a\x02\x0a\x00" * 1_000_000))
    async with attack(nursery) as on:
        assert len(message[0]) < config.MAX_MESSAGE_SIZE
        stream = await on.stream()
        await stream.send(message)
        await trio.testing.wait_all_tasks_blocked()
        assert stream.was_reset
        assert on.wanted() == 0


async def test_an_announced_length_reserves_nothing(nursery: trio.Nursery, clock: object) -> None:
    async with attack(nursery) as on:
        tracemalloc.start()
        for _ in range(100):
            await (await on.stream()).send([encode_uvarint(config.MAX_MESSAGE_SIZE)])
        await trio.testing.wait_all_tasks_blocked()
        await on.serves_others()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 2 * MIB
        too_long = await on.stream()
        await too_long.send([encode_uvarint(config.MAX_MESSAGE_SIZE + 1)])
        await trio.testing.wait_all_tasks_blocked()
        assert too_long.was_reset


async def test_a_message_may_come_byte_by_byte(nursery: trio.Nursery, clock: object) -> None:
    async with attack(nursery) as on:
        stream = await on.stream()
        for byte in b"".join(Message([Entry(X)]).frames()[0]):
            await stream.send([bytes((byte,))])
            await on.serves_others() if byte == 0x55 else None
        await on.attacker.wait_for(1)
        assert list(on.attacker.messages[0].blocks) == [X]


@pytest.mark.parametrize(
    "cid",
    [
        b"",
        b"\x02\x55\x12\x20" + bytes(32),  # a version that there is not
        X.buffer + b"\x00",  # trailing bytes
        b"\x12\x20" + bytes(31),
        b"\x01\x55\x12\x80\x80\x80\x80\x80\x80\x80\x80\x7f" + bytes(32),  # a digest of 2^63 bytes
        b"\x01\xd5\x00\x12\x20" + bytes(32),  # a varint longer than need be
        b"\x01\x55\x12\xa9\x01" + bytes(169),
        b"\x01\x55\x00" + encode_uvarint(MIB) + bytes(MIB),
    ],
    ids=["empty", "version", "trailing", "short", "huge", "padded", "long", "identity"],
)
async def test_an_unusable_cid_costs_its_entry_only(
    nursery: trio.Nursery, clock: object, cid: bytes
) -> None:
    async with attack(nursery) as on:
        stream = await on.stream()
        await stream.send(framed(wantlist([cid, X.buffer])))
        await on.attacker.wait_for(1)
        assert on.attacker.messages[0].blocks == {X: X_DATA}
        assert not on.attacker.messages[0].presences
        assert not stream.was_reset


async def test_messages_that_say_nothing_cost_nothing(nursery: trio.Nursery, clock: object) -> None:
    async with attack(nursery) as on:
        stream = await on.stream()
        await stream.send([b"\x00" * 10_000, b"\x02\x0a\x00" * 10_000])
        await trio.testing.wait_all_tasks_blocked()
        assert on.server.stat().messages_received == 20_000
        assert on.answers() == 0
        assert not stream.was_reset


async def test_tiny_blocks_with_all_kinds_of_hashes_are_hashed_and_dropped(
    nursery: trio.Nursery, clock: object
) -> None:
    names = ["sha3-512", "blake2b-512", "dbl-sha2-256", "sha2-512"]
    message = Message(
        blocks=[
            (CID.for_block(b"%d" % number, hash=names[number % 4]), b"%d" % number)
            for number in range(5_000)
        ]
    )
    async with attack(nursery) as on:
        for _ in range(2):
            await on.send(message)
        await trio.testing.wait_all_tasks_blocked()
        store = on.server.block_store
        assert isinstance(store, MemoryBlockStore)
        assert store.size() == 2
        assert on.server.stat().unwanted_blocks_received == 10_000


# -- wants ----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_wants_of_one_message_are_kept_up_to_the_limit_and_denied_beyond(
    nursery: trio.Nursery, clock: object
) -> None:
    cids = many(60_000)
    async with attack(nursery) as on:
        await on.send(Message([Entry(cid, 1, send_dont_have=True) for cid in cids]))
        await trio.testing.wait_all_tasks_blocked()
        assert on.wanted() == config.MAX_LEDGER_ENTRIES
        said = {cid for message in on.attacker.messages for cid in message.presences}
        assert len(said) == 60_000


@pytest.mark.slow
async def test_a_hundred_thousand_wants_whose_answers_nobody_reads_are_limited(
    nursery: trio.Nursery, clock: object
) -> None:
    async with attack(nursery, Deaf) as on:
        for part in range(4):
            cids = many(25_000, part * 25_000)
            await on.send(Message([Entry(cid, 1, send_dont_have=True) for cid in cids]))
            await on.serves_others()
        await trio.testing.wait_all_tasks_blocked()
        assert on.wanted() == config.MAX_LEDGER_ENTRIES
        most = config.MAX_LEDGER_ENTRIES + config.MAX_UNREMEMBERED_ANSWERS
        assert on.server._engine.server.ledger.pending(on.attacker.host.get_id()) <= most
        assert all(s.unread_bytes <= WINDOW + FRAME for s in host_of(on.server).opened)


async def test_wants_and_cancels_at_full_speed_hold_nothing(
    nursery: trio.Nursery, clock: object
) -> None:
    cids = [*many(99), BIG]
    wants, cancels = Message(map(Entry, cids)), Message([Entry(c, cancel=True) for c in cids])
    async with attack(nursery) as on:
        stream = await on.stream()
        frames = [b"".join(frame) for frame in (*wants.frames(), *cancels.frames())]
        tracemalloc.start()
        for _ in range(60):
            await stream.send(frames)
            await on.serves_others()
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert on.wanted() == 0
        assert held < 8 * MIB  # 4 MiB of them are what may be on its way to a peer


async def test_a_full_list_in_every_message_replaces_the_one_before(
    nursery: trio.Nursery, clock: object
) -> None:
    async with attack(nursery) as on:
        for round_ in range(50):
            await on.send(Message(map(Entry, many(200, round_ * 100)), full=True))
            await on.serves_others()
        assert on.wanted() == 200
        await on.send(Message(full=True))
        await trio.testing.wait_all_tasks_blocked()
        assert on.wanted() == 0


async def test_a_long_full_list_is_taken_in_by_steps(nursery: trio.Nursery, clock: object) -> None:
    async with attack(nursery) as on:
        await on.send(Message(map(Entry, many(3000))))
        await trio.testing.wait_all_tasks_blocked()
        cancelled = [Entry(cid, cancel=True) for cid in many(10, 2000)]
        await on.send(Message([*map(Entry, many(5000, 2010)), *cancelled], full=True))
        await trio.testing.wait_all_tasks_blocked()
        assert on.server.wantlist_for_peer(on.attacker.host.get_id()) == many(5000, 2010)


@pytest.mark.slow
async def test_wants_of_the_highest_priority_push_out_nobodys(
    nursery: trio.Nursery, clock: object
) -> None:
    async with attack(nursery) as on:
        await on.honest.send(host_of(on.server).get_id(), Message([Entry(many(1, 10**6)[0], -5)]))
        await on.send(Message([Entry(cid, MAX_INT32) for cid in many(17_000)]))
        await trio.testing.wait_all_tasks_blocked()
        assert on.server.wantlist_for_peer(on.honest.host.get_id()) == many(1, 10**6)
        # Who has filled his list with what is not here still gets what is.
        await on.send(Message([Entry(X)]))
        await on.attacker.wait_for(1)
        assert list(on.attacker.messages[0].blocks) == [X]
        await disconnect(on.honest.host, host_of(on.server))
        await connect(on.honest.host, host_of(on.server))


async def test_a_want_and_its_cancel_in_one_message_are_a_cancel(
    nursery: trio.Nursery, clock: object
) -> None:
    async with attack(nursery) as on:
        stream = await on.stream()
        entry = field(0x0A, X.buffer)
        both = field(0x0A, field(0x0A, entry) + field(0x0A, entry + b"\x18\x01"))
        await stream.send(framed(both))
        await trio.testing.wait_all_tasks_blocked()
        assert on.answers() == on.wanted() == 0


async def test_a_block_under_thousands_of_codecs_is_bounded_by_bytes_on_their_way(
    nursery: trio.Nursery, clock: object
) -> None:
    cids = [CID.for_block(BIG_DATA, codec=codec) for codec in range(0x300000, 0x300020)]
    async with attack(nursery, Deaf) as on:
        await on.send(Message(map(Entry, cids)))
        await trio.testing.wait_all_tasks_blocked()
        assert on.server._engine.server.ledger.sending_bytes <= config.MAX_OUTSTANDING_BYTES + len(
            BIG_DATA
        )


async def test_a_block_asked_for_a_thousand_times_is_sent_a_few_times(
    nursery: trio.Nursery, clock: object
) -> None:
    async with attack(nursery) as on:
        stream = await on.stream()
        ask = b"".join(Message([Entry(BIG)]).frames()[0])
        await stream.send([ask * 1000])
        await trio.testing.wait_all_tasks_blocked()
        assert 1 <= sum(len(message.blocks) for message in on.attacker.messages) <= 3


async def test_probing_for_what_is_here_is_answered_in_bounds(
    nursery: trio.Nursery, clock: object
) -> None:
    async with attack(nursery) as on:
        cids = *many(config.MAX_REPLY_PRESENCES + 100), X, BIG
        for _ in range(3):
            await on.send(Message([Entry(cid, 1, False, WantType.Have, True) for cid in cids]))
            await on.serves_others()
        await trio.testing.wait_all_tasks_blocked()
        assert on.wanted() == config.MAX_REPLY_PRESENCES + 100
        assert all(
            len(message.presences) <= config.MAX_REPLY_PRESENCES for message in on.attacker.messages
        )


# -- streams --------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_ten_thousand_streams_without_data_are_reset_beyond_the_limit(
    nursery: trio.Nursery, clock: object
) -> None:
    async with attack(nursery) as on:
        streams = [await on.stream() for _ in range(10_000)]
        await trio.testing.wait_all_tasks_blocked()
        kept = [stream for stream in streams if not stream.was_reset]
        assert len(kept) == config.MAX_INBOUND_STREAMS_PER_PEER
        await on.serves_others()
        for stream in kept[1:]:
            await stream.close_write()
        await trio.testing.wait_all_tasks_blocked()
        await kept[0].send([b"".join(Message([Entry(X)]).frames()[0])])
        await on.attacker.wait_for(1)


@pytest.mark.parametrize("ending", ["half-close", "reset"])
@pytest.mark.parametrize("after", [0, 1, 5, 1000])
async def test_streams_that_end_anywhere_leave_nothing(
    nursery: trio.Nursery, clock: object, ending: str, after: int
) -> None:
    message = b"".join(Message(map(Entry, many(100))).frames()[0])[:after]
    async with attack(nursery) as on:
        for _ in range(50):
            stream = await on.stream()
            if message:
                await stream.send([message])
            await (stream.close_write() if ending == "half-close" else stream.reset())
        await trio.testing.wait_all_tasks_blocked()
        assert on.wanted() == 0
        receiver = on.server._engine.receiver
        assert receiver.streams.held == receiver.unfinished.held == 0


async def test_who_resets_every_reply_is_left_alone_until_it_speaks(
    nursery: trio.Nursery, clock: object
) -> None:
    class Resets(ScriptedPeer):
        async def on_stream(self, stream: FakeStream) -> None:
            self.inbound.append(stream)
            await stream.reset()

    async with attack(nursery, Resets) as on:
        await on.send(Message([Entry(BIG)]))
        await trio.sleep(1000)
        assert len(on.attacker.inbound) == config.SEND_ATTEMPTS
        assert on.wanted() == 1
        await on.send(Message())
        await trio.sleep(1000)
        assert len(on.attacker.inbound) == 2 * config.SEND_ATTEMPTS


async def test_deaf_peers_hold_one_reply_each_and_no_turn(
    nursery: trio.Nursery, clock: object
) -> None:
    content = blocks(50, 300_000)
    deaf = [Deaf(nursery, f"deaf {number}") for number in range(5 * config.STORE_READERS)]
    async with attack(nursery) as on:
        for cid, data in content.items():
            await on.server.block_store.put_block(cid, data)
        for peer in deaf:
            await connect(peer.host, host_of(on.server))
            await peer.send(host_of(on.server).get_id(), Message(map(Entry, content)))
        await trio.testing.wait_all_tasks_blocked()
        await on.serves_others()
        assert on.server._engine.server.ledger.sending_bytes == len(deaf) * 300_000
        for peer in deaf:
            await disconnect(peer.host, host_of(on.server))
