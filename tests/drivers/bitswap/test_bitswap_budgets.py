"""What all peers together may hold and take: budgets of the host, deadlines, and short steps."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.base_types import TProtocol
from libp2p.bitswap import config
from libp2p.bitswap.extension import IBitswapExtension
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry
from libp2p.bitswap.wire.message import Message
from libp2p.ipld.cid import CID
from libp2p.utils.varint import encode_uvarint
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.bitswap_server import connected, running_server
from tests.support.blocks import blocks
from tests.support.fake_host import FakeHost, FakeStream, connect, disconnect

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

    from libp2p.bitswap.client import BitswapClient
    from libp2p.peer.id import ID
    from libp2p.resources import Scope

KIB, MIB = 1024, 1024 * 1024
DONT_HAVE = BlockPresenceType.DontHave


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


def scope_of(client: BitswapClient, name: str) -> Scope:
    return client._engine.resources.scope(f"bitswap {name}")


async def open_to(peer: ScriptedPeer, client: BitswapClient) -> FakeStream:
    return await peer.host.new_stream(host_of(client).get_id(), config.BITSWAP_PROTOCOLS)


async def begin_message(peer: ScriptedPeer, client: BitswapClient, size: int) -> FakeStream:
    """Send a message but for its last byte."""
    stream = await open_to(peer, client)
    await stream.send([encode_uvarint(size) + b"\x12" + encode_uvarint(size - 5)])
    await stream.send([bytes(size - 10)])
    return stream


# -- unfinished messages (R6) ---------------------------------------------------------------------


async def test_unfinished_messages_of_many_peers_are_bounded_and_the_useful_one_is_spared(
    nursery: trio.Nursery,
) -> None:
    content = blocks(3, 100 * KIB)
    async with running_client(nursery, "bob") as bob:
        friend = Provider(nursery, "friend", content)
        await connect(friend.host, host_of(bob))
        first, *rest = content
        assert await bob.get_block(first) == content[first]
        friends = [await begin_message(friend, bob, 4 * MIB) for _ in range(3)]
        streams = []
        for number in range(20):
            peer = ScriptedPeer(nursery, f"attacker {number}")
            await connect(peer.host, host_of(bob))
            streams += [await begin_message(peer, bob, 4 * MIB) for _ in range(2)]
            await wait_all_tasks_blocked()
            assert scope_of(bob, "unfinished messages").held <= config.MAX_UNFINISHED_BYTES
        assert sum(stream.was_reset for stream in streams) >= 24
        assert not any(stream.was_reset for stream in friends)
        for cid in rest:
            assert await bob.get_block(cid) == content[cid]
        for peer_id in list(host_of(bob).network.connections):
            await disconnect(host_of(bob), _remote(bob, peer_id))
        await wait_all_tasks_blocked()
        for name in ("unfinished messages", "intake", "inbound streams"):
            assert scope_of(bob, name).held == 0
            assert scope_of(bob, name).statistics().children == ()


class Extension(IBitswapExtension):
    """Lets the client see everything."""

    protocol = TProtocol("/test/bitswap/9")

    async def process_message(self, *_: object) -> bool:
        return False

    async def process_wantlist(self, *_: object) -> bool:
        return False


async def test_those_of_extensions_are_bounded_as_well(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "bob") as bob:
        bob.register_extension(Extension.protocol, Extension())
        streams = []
        for number in range(20):
            peer = ScriptedPeer(nursery, f"attacker {number}")
            await connect(peer.host, host_of(bob))
            stream = await peer.host.new_stream(host_of(bob).get_id(), [Extension.protocol])
            await stream.send([encode_uvarint(4 * MIB), bytes(4 * MIB - 10)])
            streams.append(stream)
            await wait_all_tasks_blocked()
            assert scope_of(bob, "unfinished messages").held <= config.MAX_UNFINISHED_BYTES
        assert 4 <= sum(stream.was_reset for stream in streams) < 8


async def test_those_of_extensions_end_in_time_and_are_nobody_elses_fault(
    nursery: trio.Nursery, clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    unfinished = encode_uvarint(100) + bytes(10)
    unreadable = b"\x06\x0a\x04\x0a\x02\x0a\xff"
    async with running_client(nursery, "bob") as bob:
        bob.register_extension(Extension.protocol, Extension())
        peer = ScriptedPeer(nursery, "attacker")
        await connect(peer.host, host_of(bob))
        for wire in (unfinished, unreadable):
            stream = await peer.host.new_stream(host_of(bob).get_id(), [Extension.protocol])
            await stream.send([wire])
            await trio.sleep(config.UNFINISHED_SECONDS + 1)
            assert stream.was_reset
        assert scope_of(bob, "unfinished messages").held == 0
        assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def _remote(client: BitswapClient, peer_id: ID) -> FakeHost:
    return host_of(client).network.connections[peer_id][0].remote


async def test_a_message_that_does_not_grow_is_given_up_and_one_over_a_slow_link_is_not(
    nursery: trio.Nursery, clock: object
) -> None:
    data = bytes(range(256)) * (4 * MIB // 256 - 8)
    cid = CID.for_block(data)
    async with running_client(nursery, "bob") as bob:
        slow, idle, drip = (ScriptedPeer(nursery, name) for name in ("slow", "idle", "drip"))
        for peer in (slow, idle, drip):
            await connect(peer.host, host_of(bob))
        await bob.want_block(cid)
        waits = await begin_message(idle, bob, MIB)
        drips = await begin_message(drip, bob, MIB)
        stream = await open_to(slow, bob)
        (frame,) = Message(blocks=[(cid, data)]).frames()
        wire = b"".join(frame)
        start = trio.current_time()
        for at in range(0, len(wire), 32 * KIB):  # 256 kbit/s
            await stream.send([wire[at : at + 32 * KIB]])
            if not drips.was_reset and at < 2 * MIB:
                await drips.send([b"\0"] if at == 0 else [])
            await trio.sleep(1)
        assert trio.current_time() - start > 2 * config.UNFINISHED_SECONDS
        assert not stream.was_reset
        assert await bob.block_store.has_block(cid.buffer)
        assert waits.was_reset
        assert drips.was_reset
        assert scope_of(bob, "unfinished messages").held == 0


async def test_idle_streams_of_all_peers_are_bounded(
    nursery: trio.Nursery,
) -> None:
    limits = config.BitswapConfig(max_inbound_streams=100)
    async with running_client(nursery, "bob", config=limits) as bob:
        honest = ScriptedPeer(nursery, "honest")
        await connect(honest.host, host_of(bob))
        kept = await open_to(honest, bob)
        for number in range(10):
            peer = ScriptedPeer(nursery, f"{number}")
            await connect(peer.host, host_of(bob))
            for _ in range(30):
                await open_to(peer, bob)
        await wait_all_tasks_blocked()
        assert scope_of(bob, "inbound streams").held <= 100
        assert not kept.was_reset


async def test_what_waits_of_all_peers_is_bounded_and_all_of_it_is_taken_in(
    nursery: trio.Nursery,
) -> None:
    limits = config.BitswapConfig(max_intake=300 * KIB)
    content = blocks(60, 50 * KIB)
    async with running_client(nursery, "bob", config=limits) as bob:
        peers = [ScriptedPeer(nursery, f"{number}") for number in range(6)]
        for peer in peers:
            await connect(peer.host, host_of(bob))
        for cid in content:
            await bob.want_block(cid)
        async with trio.open_nursery() as sending:
            for number, (cid, data) in enumerate(content.items()):
                message = Message(blocks=[(cid, data)])
                sending.start_soon(peers[number % 6].send, host_of(bob).get_id(), message)
        await wait_all_tasks_blocked()
        for cid in content:
            assert await bob.block_store.has_block(cid.buffer)
        intake = scope_of(bob, "intake")
        assert intake.held == 0
        assert intake.peak <= 300 * KIB + 6 * 2 * config.MIN_INTAKE_BYTES


# -- short steps ----------------------------------------------------------------------------------


class Steps:
    """How many functions of bitswap are called between two turns of the event loop."""

    def __init__(self) -> None:
        self.most = self.count = 0
        self.task = ""

    @contextmanager
    def counted(self) -> Generator[None, None, None]:
        steps = self

        class Instrument(trio.abc.Instrument):
            def before_task_step(self, task: trio.lowlevel.Task) -> None:
                steps.count = 0

            def after_task_step(self, task: trio.lowlevel.Task) -> None:
                if "FakeHost._handle" not in task.name and steps.count > steps.most:  # not a peer's
                    steps.most, steps.task = steps.count, task.name

        def profile(frame: FrameType, event: str, arg: object) -> None:
            if event == "call" and "libp2p/bitswap" in frame.f_code.co_filename:
                steps.count += 1

        instrument = Instrument()
        trio.lowlevel.add_instrument(instrument)
        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            trio.lowlevel.remove_instrument(instrument)


#: Calls in one step: some 10 ms without the profiler.
MOST = 30_000


async def test_messages_with_very_many_parts_are_taken_in_by_steps(nursery: trio.Nursery) -> None:
    cids = [CID.for_block(b"%d" % number) for number in range(40_000)]
    messages = {
        "wants": Message([Entry(cid, send_dont_have=True) for cid in cids]),
        "replacing": Message([Entry(cid) for cid in cids[:30_000]], full=True),
        "cancels": Message([Entry(cid, cancel=True) for cid in cids]),
        "presences": Message(presences=[(cid, DONT_HAVE) for cid in cids]),
        "blocks": Message(blocks=[(cid, b"%d" % number) for number, cid in enumerate(cids)]),
        "nothing": Message(full=True),
    }
    async with running_server(nursery, {}) as server:
        ann = await connected(nursery, "ann", server)
        for name, message in messages.items():
            data = b"".join(b"".join(frame) for frame in message.frames())
            stream = await open_to(ann, server)
            steps = Steps()
            with steps.counted():
                stream._outgoing._put(memoryview(data))  # all of it at once
                await wait_all_tasks_blocked()
            assert steps.most < MOST, (name, steps.task, steps.most)
            if name == "wants":
                assert server._engine.server.ledger.count == config.MAX_LEDGER_ENTRIES
        assert server._engine.server.ledger.count == 0
        assert server.stat().messages_received == len(messages)


async def test_wants_of_a_peer_that_leaves_are_dropped_by_steps(nursery: trio.Nursery) -> None:
    async with running_server(nursery, {}) as server:
        peers = [await connected(nursery, f"{number}", server) for number in range(4)]
        for peer in peers:
            entries = [Entry(CID.for_block(b"%d" % number)) for number in range(16_000)]
            await peer.send(host_of(server).get_id(), Message(entries))
        await wait_all_tasks_blocked()
        assert server._engine.server.ledger.count == 64_000
        assert scope_of(server, "ledger entries").held == 64_000
        steps = Steps()
        with steps.counted():
            for peer in peers:
                await disconnect(peer.host, host_of(server))
            server._engine.announce(CID.for_block(b"1"), b"1")  # while they are being dropped
            await wait_all_tasks_blocked()
        assert steps.most < MOST, (steps.task, steps.most)
        assert server._engine.server.ledger.count == 0
        assert scope_of(server, "ledger entries").held == 0


@pytest.mark.parametrize("end", ["close", "iterator", "disconnect", "have", "dont_have"])
async def test_very_many_wants_begin_and_end_by_steps(nursery: trio.Nursery, end: str) -> None:
    cids = [CID.for_block(b"%d" % number) for number in range(30_000)]
    async with running_client(nursery, "bob") as bob:
        ann = ScriptedPeer(nursery, "ann")
        steps = Steps()
        with steps.counted():
            session = bob.new_session(wait=end != "dont_have")
            found = session.get_blocks(cids, window=len(cids))

            async def take() -> None:
                with pytest.raises(Exception):  # noqa: B017, PT011 - each end has its own
                    await found.__anext__()

            if end == "dont_have":
                await connect(ann.host, host_of(bob))
            nursery.start_soon(take)
            await wait_all_tasks_blocked()
            if end != "dont_have":
                await connect(ann.host, host_of(bob))  # all is offered to it
            await wait_all_tasks_blocked()
            if end == "have":
                have = Message(presences=[(cid, BlockPresenceType.Have) for cid in ann.wanted()])
                steps.count = 0
                await ann.send(host_of(bob).get_id(), have)
                await wait_all_tasks_blocked()
            if end == "dont_have":
                while bob.get_wantlist():
                    asked = ann.wanted()
                    ann.messages.clear()
                    no = Message(presences=[(cid, DONT_HAVE) for cid in asked])
                    steps.count = 0
                    await ann.send(host_of(bob).get_id(), no)
                    await wait_all_tasks_blocked()
                    if found._fetch is None:
                        break
            if end == "disconnect":
                await disconnect(ann.host, host_of(bob))
                await wait_all_tasks_blocked()
            if end == "iterator":
                found.close()
            session.close()
            await wait_all_tasks_blocked()
        assert steps.most < MOST, (steps.task, steps.most)
        assert bob.get_wantlist() == []
        assert bob.is_running
        nursery.cancel_scope.cancel()
