"""How streams are used: whose, how many, for how long, and what happens when they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.base_types import TProtocol
from libp2p.bitswap import config
from libp2p.bitswap.config import BITSWAP_PROTOCOL_V120, BITSWAP_PROTOCOLS, MAX_RESETS
from libp2p.bitswap.errors import BlockUnavailableError, PeerAnswer
from libp2p.bitswap.extension import IBitswapExtension
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.ipld.cid import CID
from libp2p.utils.varint import encode_uvarint
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.blocks import block, blocks
from tests.support.fake_host import FRAME, WINDOW, FakeStream, connect, disconnect

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.bitswap.client import BitswapClient
    from libp2p.bitswap.pb.bitswap_pb2 import Message as ProtoMessage
    from libp2p.peer.id import ID

DONT_HAVE = BlockPresenceType.DontHave

X, X_DATA = block(1)
Y, Y_DATA = block(2)


def encoded(message: Message) -> list[bytes]:
    return [b"".join(frame) for frame in message.frames()]


async def open_stream(peer: ScriptedPeer, client: BitswapClient) -> FakeStream:
    return await peer.host.new_stream(host_of(client).get_id(), BITSWAP_PROTOCOLS)


async def expect(client: BitswapClient, cid: CID, data: bytes) -> None:
    assert await client.get_block(cid, timeout=1000) == data


async def expect_failure(client: BitswapClient, cid: CID, answer: PeerAnswer) -> None:
    with pytest.raises(BlockUnavailableError) as caught:
        await client.get_block(cid)
    assert list(caught.value.peers.values()) == [answer]


# -- replies --------------------------------------------------------------------------------------


async def test_replies_go_on_a_stream_of_our_own(nursery: trio.Nursery) -> None:
    go = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "ann", [(X, X_DATA)]) as ann:
        await connect(go.host, host_of(ann))
        stream = await open_stream(go, ann)
        await stream.send(encoded(Message([Entry(X), Entry(Y, send_dont_have=True)])))
        (message,) = await go.wait_for(1)
        assert message.blocks == {X: X_DATA}
        assert message.presences == {Y: DONT_HAVE}
        assert len(host_of(ann).opened) == 1
        assert stream._incoming.size == 0


@pytest.mark.parametrize("seconds", [61, 600])
async def test_a_want_stream_is_read_for_as_long_as_it_is_open(
    nursery: trio.Nursery, autojump_clock: object, seconds: int
) -> None:
    go = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "ann", [(X, X_DATA), (Y, Y_DATA)]) as ann:
        await connect(go.host, host_of(ann))
        stream = await open_stream(go, ann)
        for count, cid in enumerate((X, Y), 1):
            await stream.send(encoded(Message([Entry(cid)])))
            assert list((await go.wait_for(count))[-1].blocks) == [cid]
            await trio.sleep(seconds)
        assert not stream._incoming.ended
        # The first reply stream was closed when nothing was left to say.
        assert [s.write_ended for s in host_of(ann).opened] == [True, True]


async def test_a_reply_stream_is_used_again_and_closed_when_idle(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    content = blocks(20)
    go = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "ann", content.items()) as ann:
        await connect(go.host, host_of(ann))
        for count, cid in enumerate(content, 1):
            await go.send(host_of(ann).get_id(), Message([Entry(cid)]))
            await go.wait_for(count)
            await trio.sleep(config.REPLY_STREAM_IDLE_SECONDS - 1)
        assert len(host_of(ann).opened) == 1
        await trio.sleep(config.REPLY_STREAM_IDLE_SECONDS + 1)
        assert host_of(ann).opened[0].write_ended


async def test_a_reply_that_fails_goes_out_again_and_is_never_lost(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    go = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "ann", [(X, X_DATA), (Y, Y_DATA)]) as ann:
        await connect(go.host, host_of(ann))
        host_of(ann).fail_streams = 2
        await go.send(host_of(ann).get_id(), Message([Entry(X)]))
        (message,) = await go.wait_for(1)
        assert message.blocks == {X: X_DATA}
        # A peer that takes nothing is left alone until it says something.
        await trio.sleep(config.REPLY_STREAM_IDLE_SECONDS + 1)
        host_of(ann).fail_streams = config.SEND_ATTEMPTS
        await go.send(host_of(ann).get_id(), Message([Entry(Y)]))
        await trio.sleep(60)
        assert len(go.messages) == 1
        assert ann.wantlist_for_peer(go.host.get_id()) == [Y]
        await go.send(host_of(ann).get_id(), Message())
        assert list((await go.wait_for(2))[-1].blocks) == [Y]


async def test_a_reset_reply_stream_is_replaced(nursery: trio.Nursery) -> None:
    go = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "ann", [(X, X_DATA), (Y, Y_DATA)]) as ann:
        await connect(go.host, host_of(ann))
        await go.send(host_of(ann).get_id(), Message([Entry(X)]))
        await go.wait_for(1)
        await go.inbound[0].reset()
        await go.send(host_of(ann).get_id(), Message([Entry(Y)]))
        assert list((await go.wait_for(2))[-1].blocks) == [Y]


async def test_who_does_not_read_holds_up_nobody_else(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    big, data = block(5, 2 * 1024 * 1024)

    class Deaf(ScriptedPeer):
        async def on_stream(self, stream: FakeStream) -> None:
            self.inbound.append(stream)
            await trio.sleep_forever()

    deaf = [Deaf(nursery, f"deaf {number}") for number in range(20)]
    async with running_client(nursery, "ann", [(big, data)]) as ann:
        for peer in deaf:
            await connect(peer.host, host_of(ann))
            await peer.send(host_of(ann).get_id(), Message([Entry(big)]))
        await trio.testing.wait_all_tasks_blocked()
        async with running_client(nursery, "bob") as bob:
            await connect(host_of(ann), host_of(bob))
            start = trio.current_time()
            assert await bob.get_block(big) == data
            assert trio.current_time() == start
        assert all(stream.unread_bytes <= WINDOW + FRAME for stream in host_of(ann).opened)
        # Each attempt ends at its deadline by a reset: half a message is on that stream.
        await trio.sleep(4 * config.send_deadline(len(data)))
        assert all(len(peer.inbound) == config.SEND_ATTEMPTS for peer in deaf)
        assert all(stream.was_reset for peer in deaf for stream in peer.inbound)


async def test_small_requests_are_served_beside_a_large_one(nursery: trio.Nursery) -> None:
    content = blocks(1024, 3000)
    greedy = ScriptedPeer(nursery, "greedy")
    modest = [ScriptedPeer(nursery, f"modest {number}") for number in range(10)]
    async with running_client(nursery, "ann", content.items()) as ann:
        for peer in (greedy, *modest):
            await connect(peer.host, host_of(ann))
        waits: list[int] = []

        async def ask(peer: ScriptedPeer, wants: list[CID]) -> None:
            await peer.send(host_of(ann).get_id(), Message(map(Entry, wants)))
            await peer.wait_for(1)
            waits.append(len(greedy.messages))

        async with trio.open_nursery() as asking:
            for peer in modest:
                asking.start_soon(ask, peer, list(content)[:1])
            asking.start_soon(ask, greedy, list(content))
        assert max(waits) <= 5  # of the twelve messages that the large one takes; mostly 2
        while sum(len(message.blocks) for message in greedy.messages) < len(content):
            await greedy.wait_for(len(greedy.messages) + 1)


# -- wants ----------------------------------------------------------------------------------------


async def test_wants_go_on_one_stream_that_stays(nursery: trio.Nursery) -> None:
    content = blocks(50)
    provider = Provider(nursery, "go", content)
    async with running_client(nursery, "bob") as bob:
        await connect(provider.host, host_of(bob))
        for cid, data in content.items():
            assert await bob.get_block(cid) == data
        assert len(host_of(bob).opened) == 1
        assert len(provider.host.opened) == 50
        assert not any(entry.cancel for entry in provider.entries)


async def test_what_comes_back_on_our_want_stream_is_read(nursery: trio.Nursery) -> None:
    class Inline(ScriptedPeer):
        """Answers where it was asked, as py-libp2p up to 0.8 does."""

        async def on_message(self, stream: FakeStream, message: Message) -> None:
            if message.entries:
                await stream.send(encoded(Message(blocks=[(X, X_DATA)])))

    old = Inline(nursery, "old")
    async with running_client(nursery, "bob") as bob:
        await connect(old.host, host_of(bob))
        assert await bob.get_block(X) == X_DATA


async def test_a_peer_that_ends_its_half_at_once_gets_every_message(
    nursery: trio.Nursery,
) -> None:
    class Helia(Provider):
        async def on_stream(self, stream: FakeStream) -> None:
            await stream.close_write()
            await super().on_stream(stream)

    content = blocks(10)
    helia = Helia(nursery, "helia", content)
    async with running_client(nursery, "bob") as bob:
        await connect(helia.host, host_of(bob))
        for cid, data in content.items():
            assert await bob.get_block(cid) == data
        await trio.testing.wait_all_tasks_blocked()
        assert all(stream.write_ended for stream in host_of(bob).opened)
        assert not any(stream.was_reset for stream in host_of(bob).opened)


async def test_a_peer_that_resets_idle_streams_gets_every_message(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    class Impatient(Provider):
        async def on_stream(self, stream: FakeStream) -> None:
            with trio.move_on_after(10):
                await super().on_stream(stream)
            await stream.reset()

    content = blocks(6)
    peer = Impatient(nursery, "helia", content)
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        for cid, data in content.items():
            assert await bob.get_block(cid) == data
            await trio.sleep(30)
        assert peer.wanted() == list(content)


async def test_wants_on_a_stream_that_is_reset_are_sent_again(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    class Clumsy(Provider):
        resets = 1

        async def on_message(self, stream: FakeStream, message: Message) -> None:
            if self.resets:
                self.resets -= 1
                await stream.reset()
            else:
                await super().on_message(stream, message)

    peer = Clumsy(nursery, "clumsy", {X: X_DATA})
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        assert await bob.get_block(X) == X_DATA
        assert peer.wanted() == [X, X]
        peer.resets = 1000
        await expect_failure(bob, Y, PeerAnswer.UNRESPONSIVE)
        assert peer.wanted().count(Y) == MAX_RESETS + 1


async def test_a_stream_that_cannot_be_opened_is_tried_again(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    provider = Provider(nursery, "go", {X: X_DATA, Y: Y_DATA})
    async with running_client(nursery, "bob") as bob:
        await connect(provider.host, host_of(bob))
        host_of(bob).fail_streams = config.SEND_ATTEMPTS - 1
        assert await bob.get_block(X) == X_DATA
        assert trio.current_time() < 1


async def test_a_peer_that_takes_nothing_is_given_up_until_it_speaks(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    provider = Provider(nursery, "go", {X: X_DATA})
    async with running_client(nursery, "bob") as bob:
        await connect(provider.host, host_of(bob))
        host_of(bob).fail_streams = config.SEND_ATTEMPTS
        await expect_failure(bob, X, PeerAnswer.UNRESPONSIVE)
        await provider.send(host_of(bob).get_id(), Message())
        await trio.testing.wait_all_tasks_blocked()
        assert await bob.get_block(X) == X_DATA


async def test_a_peer_that_is_gone_when_a_stream_fails_is_forgotten(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    silent = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "bob") as bob:
        await connect(silent.host, host_of(bob))
        host_of(bob).network.events.forget_all()  # nobody says that the connection is lost
        await bob.want_block(X)
        await silent.wait_for(1)
        await disconnect(silent.host, host_of(bob))
        await trio.sleep(1)
        assert bob.stat().peers == []


async def test_wants_are_said_again_when_one_of_two_connections_is_lost(
    nursery: trio.Nursery,
) -> None:
    peer = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        async with trio.open_nursery() as fetching:
            fetching.start_soon(expect, bob, X, X_DATA)
            await peer.wait_for(1)
            await connect(peer.host, host_of(bob))
            await disconnect(peer.host, host_of(bob))
            await peer.wait_for(2)
            await peer.send(host_of(bob).get_id(), Message(blocks=[(X, X_DATA)]))
        assert set(peer.wanted()) == {X}


async def test_a_fetch_survives_a_reconnection(nursery: trio.Nursery) -> None:
    peer = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        await bob.want_block(X)
        await peer.wait_for(1)
        await disconnect(peer.host, host_of(bob))
        await connect(peer.host, host_of(bob))
        await peer.wait_for(2)
        await peer.send(host_of(bob).get_id(), Message(blocks=[(X, X_DATA)]))
        await trio.testing.wait_all_tasks_blocked()
        assert await bob.get_block(X) == X_DATA


async def test_a_cancelled_fetch_leaves_no_torn_message(nursery: trio.Nursery) -> None:
    content = blocks(300)
    provider = Provider(nursery, "go", content)
    async with running_client(nursery, "bob") as bob:
        await connect(provider.host, host_of(bob))
        cids = list(content)
        for steps in range(40):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as fetching:
                    for cid in cids[steps * 5 : steps * 5 + 5]:
                        fetching.start_soon(bob.get_block, cid)
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
        got = {cid: data async for cid, data in bob.get_blocks(content)}
        assert got == content
        assert len(host_of(bob).opened) == 1
        assert bob.stat().wantlist == []


async def test_new_connections_get_all_live_wants(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "bob") as bob:
        cids = list(blocks(config.MAX_BROADCAST_WANTS))
        for cid in cids:
            await bob.want_block(cid)
        first, second = ScriptedPeer(nursery, "one"), ScriptedPeer(nursery, "two")
        await connect(first.host, host_of(bob))
        (message,) = await first.wait_for(1)
        assert list(message.entries) == cids
        await connect(second.host, host_of(bob))
        (message,) = await second.wait_for(1)
        assert list(message.entries) == cids
        assert {entry.want_type for entry in message.entries.values()} == {WantType.Have}


# -- inbound streams ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        b"\x05\xff\xff\xff\xff\xff",
        b"\x80\x00",
        encode_uvarint(config.MAX_MESSAGE_SIZE + 1),
    ],
    ids=["garbage", "long length", "too long"],
)
async def test_a_bad_message_costs_its_stream_only(nursery: trio.Nursery, bad: bytes) -> None:
    go = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "ann", [(X, X_DATA)]) as ann:
        await connect(go.host, host_of(ann))
        good, broken = await open_stream(go, ann), await open_stream(go, ann)
        await broken.send([bad])
        await trio.testing.wait_all_tasks_blocked()
        assert broken.was_reset
        await good.send(encoded(Message([Entry(X)])))
        await go.wait_for(1)
        assert not good.was_reset


async def test_half_a_message_at_the_end_is_a_reset(nursery: trio.Nursery) -> None:
    go = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "ann") as ann:
        await connect(go.host, host_of(ann))
        stream = await open_stream(go, ann)
        await stream.send([b"\x20half"])
        await stream.close_write()
        await trio.testing.wait_all_tasks_blocked()
        assert stream.was_reset
        await (await open_stream(go, ann)).reset()
        ended = await open_stream(go, ann)
        await ended.close_write()
        await trio.testing.wait_all_tasks_blocked()
        assert ended._incoming.ended
        assert not ended.was_reset


async def test_a_bad_message_on_our_want_stream_is_answered_by_a_new_stream(
    nursery: trio.Nursery,
) -> None:
    peer = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        await bob.want_block(X)
        await peer.wait_for(1)
        await peer.inbound[0].send([b"\x01\xff"])
        await peer.wait_for(2)
        assert peer.wanted() == [X, X]
        assert host_of(bob).opened[0].was_reset


async def test_streams_and_unfinished_messages_of_a_peer_are_limited(
    nursery: trio.Nursery,
) -> None:
    limits = config.BitswapConfig(max_inbound_streams_per_peer=5, max_unfinished_bytes=100_000)
    go = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "ann", config=limits) as ann:
        await connect(go.host, host_of(ann))
        streams = [await open_stream(go, ann) for _ in range(6)]
        await trio.testing.wait_all_tasks_blocked()
        assert [stream.was_reset for stream in streams] == [False] * 5 + [True]
        for stream in streams[:3]:
            await stream.send([encode_uvarint(4_000_000) + bytes(40_000)])
        await trio.testing.wait_all_tasks_blocked()
        assert [stream.was_reset for stream in streams[:5]] == [True, True, True, False, False]
        await streams[3].send([encode_uvarint(4_000_000) + bytes(40_000)])
        await trio.testing.wait_all_tasks_blocked()
        assert not streams[3].was_reset  # the others' bytes are no longer held
        again = await open_stream(go, ann)
        await trio.testing.wait_all_tasks_blocked()
        assert again.was_reset  # it may send no more for a while


async def test_a_stream_left_over_from_a_lost_connection_is_reset(nursery: trio.Nursery) -> None:
    go = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "ann") as ann:
        await connect(go.host, host_of(ann))
        handler = host_of(ann).handlers[BITSWAP_PROTOCOL_V120]
        stream = await open_stream(go, ann)
        theirs = host_of(ann).network.get_connections(go.host.get_id())[0].streams[-1]
        await disconnect(go.host, host_of(ann))
        await handler(theirs)
        assert stream.was_reset
        assert ann.stat().peers == []


# -- growth ---------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_nothing_grows_with_peers_and_gets(nursery: trio.Nursery) -> None:
    content = blocks(1000, 50)
    async with running_client(nursery, "bob") as bob:
        for round_ in range(100):
            if round_ == 1:
                base = len(nursery.child_tasks)  # with the host's read loop
            peer = Provider(nursery, f"{round_}", content)
            await connect(peer.host, host_of(bob))
            for cid in list(content)[round_ * 10 : round_ * 10 + 10]:
                assert await bob.get_block(cid) == content[cid]
            await peer.send(
                host_of(bob).get_id(),
                Message(presences=[(CID.for_block(b"%d" % n), DONT_HAVE) for n in range(100)]),
            )
            await disconnect(peer.host, host_of(bob))
            await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == base
        assert bob._engine._links == {}
        assert bob._engine.server.ledger.count == 0
        assert len(list(bob._engine.sessions)) == 5
        assert bob._engine._nursery is not None
        assert len(bob._engine._nursery.child_tasks) == 4  # the clock, the keeper, turns, chores


# -- extensions -----------------------------------------------------------------------------------


async def test_an_extension_sees_the_messages_of_its_protocol(nursery: trio.Nursery) -> None:
    protocol = TProtocol("/test/bitswap/9")

    class Extension(IBitswapExtension):
        def __init__(self) -> None:
            self.seen: list[bytes] = []

        async def process_message(self, peer_id: ID, msg_bytes: bytes, stream: INetStream) -> bool:
            self.seen.append(msg_bytes)
            return msg_bytes == b"\x0a\x00"

        async def process_wantlist(
            self, wantlist: ProtoMessage.Wantlist, peer_id: ID, stream: INetStream
        ) -> bool:
            return len(wantlist.entries) == 2

    extension = Extension()
    go = ScriptedPeer(nursery, "go")
    async with running_client(nursery, "ann", [(X, X_DATA)]) as ann:
        ann.register_extension(protocol, extension)
        assert extension.client is ann
        await connect(go.host, host_of(ann))
        stream = await go.host.new_stream(host_of(ann).get_id(), [protocol])
        await stream.send(encoded(Message()))
        await stream.send(encoded(Message([Entry(X), Entry(Y)])))
        await trio.testing.wait_all_tasks_blocked()
        assert ann.wantlist_for_peer(go.host.get_id()) == []
        await stream.send(encoded(Message([Entry(X)])))
        (message,) = await go.wait_for(1)
        assert message.blocks == {X: X_DATA}
        assert len(extension.seen) == 3
        await stream.send([b"\x01\xff"])
        await trio.testing.wait_all_tasks_blocked()
    assert protocol not in host_of(ann).handlers
