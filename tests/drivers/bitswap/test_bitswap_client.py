"""Two clients, or one and a peer that follows a script, on hosts joined in memory."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.config import (
    BITSWAP_PROTOCOL_NO_VERSION,
    BITSWAP_PROTOCOL_V100,
    BITSWAP_PROTOCOL_V110,
    BITSWAP_PROTOCOLS,
    DONT_HAVE_TIMEOUT,
    MAX_BLOCK_SIZE,
)
from libp2p.bitswap.errors import (
    BitswapError,
    BlockNotFoundError,
    BlockTooLargeError,
    BlockUnavailableError,
    ClientClosedError,
    InvalidBlockError,
    PeerAnswer,
)
from libp2p.bitswap.errors import TimeoutError as BitswapTimeoutError
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import BlockStoreError, HostException, InvalidCID
from libp2p.ipld.cid import CID
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.blocks import block, blocks
from tests.support.fake_host import FakeHost, FakeStream, connect, disconnect, peer_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.base_types import Buffer, TProtocol
    from libp2p.ipld.cid import CIDInput

HAVE, DONT_HAVE = BlockPresenceType.Have, BlockPresenceType.DontHave

X, X_DATA = block(1)
Y, Y_DATA = block(2)
Z, _ = block(3)


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


# -- between two clients --------------------------------------------------------------------------


async def test_a_block_is_fetched_verified_and_stored(nursery: trio.Nursery) -> None:
    async with (
        running_client(nursery, "ann", [(X, X_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        assert await bob.get_block(X) == X_DATA
        assert await bob.block_store.get_block(X) == X_DATA
        assert await bob.get_block(str(X), host_of(ann).get_id(), timeout=30) == X_DATA
        stat = bob.stat()
        assert (stat.blocks_received, stat.data_received) == (1, len(X_DATA))
        assert stat.dup_blks_received == 0
        assert stat.wantlist == []
        assert stat.peers == [host_of(ann).get_id()]
        assert ann.stat().blocks_sent == 1
        assert ann.stat().data_sent == len(X_DATA)


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 2 * 1024 * 1024, MAX_BLOCK_SIZE])
@pytest.mark.parametrize("several", [False, True], ids=["one peer", "two peers"])
async def test_blocks_of_all_sizes_are_fetched(
    nursery: trio.Nursery, size: int, several: bool
) -> None:
    cid, data = CID.for_block(bytes(size)), bytes(size)
    async with (
        running_client(nursery, "ann", [(cid, data)]) as ann,
        running_client(nursery, "bob") as bob,
        running_client(nursery, "cee") as cee,
    ):
        await connect(host_of(ann), host_of(bob))
        if several:
            await connect(host_of(cee), host_of(bob))
        assert await bob.get_block(cid) == data


@pytest.mark.parametrize(
    "cid",
    [
        CID.for_block(X_DATA, codec="dag-pb", version=0),
        CID.for_block(X_DATA, codec="dag-pb"),
        CID.for_block(X_DATA, hash="sha2-512"),
        CID.for_block(X_DATA, hash="blake2b-256"),
        CID.from_digest(X.digest[:20]),
    ],
    ids=["v0", "v1 dag-pb", "sha2-512", "blake2b", "truncated"],
)
async def test_blocks_of_all_names_are_fetched(nursery: trio.Nursery, cid: CID) -> None:
    async with (
        running_client(nursery, "ann", [(cid, X_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        assert await bob.get_block(cid) == X_DATA


async def test_one_name_is_as_good_as_another_of_the_same_block(nursery: trio.Nursery) -> None:
    v0 = CID.for_block(X_DATA, codec="dag-pb", version=0)
    async with (
        running_client(nursery, "ann", [(v0, X_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        assert await bob.get_block(X) == X_DATA
        assert await bob.get_block(v0) == X_DATA
        assert bob.stat().blocks_received == 1


async def test_identity_cids_never_travel(nursery: trio.Nursery) -> None:
    identity = CID.for_block(b"tiny", hash="identity")
    async with running_client(nursery, "bob") as bob:
        assert await bob.get_block(identity) == b"tiny"
        assert [b async for b in bob.get_blocks([identity, identity])] == [(identity, b"tiny")] * 2
        assert await bob.have_block(identity)


async def test_the_empty_block_needs_no_peer(nursery: trio.Nursery) -> None:
    empty = CID.for_block(b"")
    async with running_client(nursery, "bob") as bob:
        assert [b async for b in bob.get_blocks([empty])] == [(empty, b"")]
        assert await bob.get_block(CID.for_block(b"", codec="dag-pb", version=0)) == b""
        assert await bob.block_store.has_block(empty)
        assert await bob.get_block(CID.for_block(b"", hash="blake3")) == b""


async def test_many_blocks_come_in_few_messages_over_few_streams(nursery: trio.Nursery) -> None:
    content = blocks(500)
    async with (
        running_client(nursery, "ann", content.items()) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        got = {cid: data async for cid, data in bob.get_blocks(content)}
        assert got == content
        assert len(host_of(ann).opened) == len(host_of(bob).opened) == 1
        assert bob.stat().messages_received < 100
        await trio.testing.wait_all_tasks_blocked()  # until the last reply is settled
        assert ann._engine.server.ledger.count == 0
        assert bob.stat().dup_blks_received == 0


async def test_a_batch_is_a_dict_by_binary_cids(nursery: trio.Nursery) -> None:
    content = blocks(40)
    async with (
        running_client(nursery, "ann", content.items()) as ann,
        running_client(nursery, "bob", list(content.items())[:5]) as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        async with bob.new_session() as session:
            got = await session.get_blocks_batch(list(content), batch_size=4)
        assert got == {cid.buffer: data for cid, data in content.items()}


async def test_a_file_with_the_same_block_twice_gets_it_twice(nursery: trio.Nursery) -> None:
    async with (
        running_client(nursery, "ann", [(X, X_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        assert [cid async for cid, _ in bob.get_blocks([X] * 40)] == [X] * 40
        assert bob.stat().blocks_received == 1


async def test_a_slow_consumer_stops_the_asking(nursery: trio.Nursery) -> None:
    content = blocks(300, 100)
    taken: list[CID] = []

    def source() -> object:
        for cid in content:
            taken.append(cid)
            yield cid

    async with (
        running_client(nursery, "ann", content.items()) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        async with bob.get_blocks(source(), window=20) as iterator:  # type: ignore[arg-type]
            await iterator.__anext__()
            await trio.testing.wait_all_tasks_blocked()
            assert len(taken) == 20
            rest = [cid async for cid, _ in iterator]
        assert len(rest) == 299


async def test_a_relay_passes_on_what_it_fetches(nursery: trio.Nursery) -> None:
    async with (
        running_client(nursery, "ann", [(X, X_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
        running_client(nursery, "cee") as cee,
    ):
        await connect(host_of(bob), host_of(cee))
        async with trio.open_nursery() as fetching:
            fetching.start_soon(_expect, cee, X, X_DATA)
            await trio.testing.wait_all_tasks_blocked()
            await connect(host_of(ann), host_of(bob))
            assert await bob.get_block(X) == X_DATA


async def _expect(client: BitswapClient, cid: CID, data: bytes) -> None:
    assert await client.get_block(cid, wait=True) == data


async def test_a_block_added_later_reaches_who_waits_for_it(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "ann") as ann, running_client(nursery, "bob") as bob:
        await connect(host_of(ann), host_of(bob))
        await bob.want_block(X)
        await bob.want_block(Y)
        await trio.testing.wait_all_tasks_blocked()
        assert ann.wantlist_for_peer(host_of(bob).get_id()) == [X, Y]
        await ann.add_block(X, X_DATA)
        await ann.block_store.put_block(Y, Y_DATA)
        await ann.notify_new_blocks([Y, Z])
        await trio.testing.wait_all_tasks_blocked()
        assert await bob.block_store.get_block(X) == X_DATA
        assert await bob.block_store.get_block(Y) == Y_DATA
        assert ann.wantlist_for_peer(host_of(bob).get_id()) == []


async def test_a_block_added_here_satisfies_who_waits_here(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "ann") as ann, trio.open_nursery() as fetching:
        fetching.start_soon(_expect, ann, X, X_DATA)
        await trio.testing.wait_all_tasks_blocked()
        session = ann.new_session()
        await session.receive_block(X, X_DATA)


async def test_wants_that_are_taken_back_are_cancelled_there(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "ann") as ann, running_client(nursery, "bob") as bob:
        await connect(host_of(ann), host_of(bob))
        await bob.want_block(X, priority=10)
        await bob.want_block(Y, want_type=WantType.Have)
        await trio.testing.wait_all_tasks_blocked()
        assert len(ann.wantlist_for_peer(host_of(bob).get_id())) == 2
        await bob.cancel_want(X)
        await bob.cancel_want(Y)
        await trio.testing.wait_all_tasks_blocked()
        assert ann.wantlist_for_peer(host_of(bob).get_id()) == []
        assert bob.stat().wantlist == []


async def test_whether_a_block_can_be_had(nursery: trio.Nursery, clock: object) -> None:
    async with (
        running_client(nursery, "ann", [(X, X_DATA)]) as ann,
        running_client(nursery, "bob", [(Y, Y_DATA)]) as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        there = host_of(ann).get_id()
        assert await bob.have_block(X)
        assert await bob.have_block(X, there)
        assert await bob.have_block(Y)
        assert not await bob.have_block(Y, there)
        assert not await bob.have_block(Z)
        assert bob.stat().wantlist == []
        await bob.want_block(Y)
        assert bob.stat().wantlist == []  # it is here


# -- failures say why, and at once ----------------------------------------------------------------


async def test_a_block_that_nobody_has_fails_at_once(nursery: trio.Nursery) -> None:
    async with (
        running_client(nursery, "ann") as ann,
        running_client(nursery, "bob") as bob,
        running_client(nursery, "cee") as cee,
    ):
        await connect(host_of(ann), host_of(bob))
        await connect(host_of(cee), host_of(bob))
        with trio.fail_after(1), pytest.raises(BlockNotFoundError) as caught:
            await bob.get_block(X, timeout=1000)
        no = PeerAnswer.DONT_HAVE
        assert caught.value.peers == {host_of(ann).get_id(): no, host_of(cee).get_id(): no}
        assert caught.value.cid == X


async def test_without_a_peer_a_fetch_fails_at_once(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "bob") as bob:
        with pytest.raises(BlockUnavailableError, match="no peer is connected"):
            await bob.get_block(X)
        with pytest.raises(BlockUnavailableError) as caught:
            await bob.get_block(X, peer_id("ann"))
        assert caught.value.peers == {peer_id("ann"): PeerAnswer.UNREACHABLE}
        with pytest.raises(InvalidCID):
            await bob.get_block("no CID")


async def test_a_peer_that_does_not_speak_bitswap_is_named(nursery: trio.Nursery) -> None:
    silent = ScriptedPeer(nursery, "ann", protocols=[])
    async with running_client(nursery, "bob") as bob:
        await connect(silent.host, host_of(bob))
        with pytest.raises(BlockUnavailableError) as caught:
            await bob.get_block(X)
        assert caught.value.peers == {silent.host.get_id(): PeerAnswer.NOT_SUPPORTED}


async def test_a_silent_peer_runs_into_the_timeout(nursery: trio.Nursery, clock: object) -> None:
    silent = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(silent.host, host_of(bob))
        start = trio.current_time()
        with pytest.raises(BitswapTimeoutError) as caught:
            await bob.get_block(X, timeout=3)
        assert trio.current_time() - start == pytest.approx(3)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.peers == {silent.host.get_id(): PeerAnswer.SILENT}
        with pytest.raises(BitswapTimeoutError):
            await bob.get_blocks([X, Y], timeout=2).__anext__()
        with pytest.raises(BitswapTimeoutError):
            await bob.get_block(X, timeout=2, wait=True)
        await trio.testing.wait_all_tasks_blocked()
        assert [entry.cancel for entry in silent.entries if entry.cid == X] == [
            False, True, False, True, False, True,
        ]  # fmt: skip


async def test_a_fetch_of_several_fails_at_the_first_that_nobody_has(
    nursery: trio.Nursery,
) -> None:
    async with (
        running_client(nursery, "ann", [(X, X_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        iterator = bob.get_blocks([X, Y])
        assert await iterator.__anext__() == (X, X_DATA)
        with pytest.raises(BlockNotFoundError):
            await iterator.__anext__()
        with pytest.raises(StopAsyncIteration):
            await iterator.__anext__()
        await iterator.aclose()


async def test_a_provider_that_dies_fails_the_fetch_and_is_named(nursery: trio.Nursery) -> None:
    content = blocks(100)
    provider = Provider(nursery, "ann", dict(list(content.items())[:10]))
    async with running_client(nursery, "bob") as bob:
        await connect(provider.host, host_of(bob))
        silent = ScriptedPeer(nursery, "cee")
        await connect(silent.host, host_of(bob))
        async with trio.open_nursery() as dying:
            dying.start_soon(_expect_death, bob, content)
            await trio.testing.wait_all_tasks_blocked()
            await disconnect(silent.host, host_of(bob))


async def _expect_death(client: BitswapClient, cids: dict[CID, bytes]) -> None:
    with pytest.raises(BlockUnavailableError) as caught:
        await _fetch_all(client, list(cids))
    assert PeerAnswer.DISCONNECTED in caught.value.peers.values()


async def _fetch_all(client: BitswapClient, cids: Sequence[CID]) -> list[CID]:
    return [cid async for cid, _ in client.get_blocks(cids)]


async def test_when_a_provider_dies_another_one_goes_on(nursery: trio.Nursery) -> None:
    content = blocks(60)
    async with running_client(nursery, "bob") as bob:
        first = Provider(nursery, "ann", content)
        second = Provider(nursery, "cee", content)
        await connect(first.host, host_of(bob))
        await connect(second.host, host_of(bob))
        got = {}
        async for cid, data in bob.get_blocks(content, window=8):
            got[cid] = data
            if len(got) == 20:
                await disconnect(first.host, host_of(bob))
        assert got == content
        for cid, data in content.items():
            assert await bob.block_store.get_block(cid) == data


async def test_a_provider_that_lies_loses_the_block_to_an_honest_one(
    nursery: trio.Nursery, clock: object
) -> None:
    liar = Provider(nursery, "ann", {X: X_DATA}, lies=True)
    async with running_client(nursery, "bob") as bob:
        await connect(liar.host, host_of(bob))
        async with trio.open_nursery() as fetching:
            fetching.start_soon(_expect, bob, X, X_DATA)
            await trio.testing.wait_all_tasks_blocked()
            honest = Provider(nursery, "cee", {X: X_DATA})
            await connect(honest.host, host_of(bob))
        assert trio.current_time() < 2 * DONT_HAVE_TIMEOUT + 1


async def test_a_silent_peer_does_not_hold_up_a_willing_one(nursery: trio.Nursery) -> None:
    silent = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(silent.host, host_of(bob))
        async with trio.open_nursery() as fetching:
            fetching.start_soon(_expect, bob, X, X_DATA)
            await trio.testing.wait_all_tasks_blocked()
            willing = Provider(nursery, "cee", {X: X_DATA})
            await connect(willing.host, host_of(bob))
        await silent.wait_for(2)
        assert [entry.cancel for entry in silent.entries] == [False, True]


async def test_a_provider_that_loses_a_block_passes_it_on(nursery: trio.Nursery) -> None:
    class Forgetful(Provider):
        async def on_message(self, stream: FakeStream, message: Message) -> None:
            await super().on_message(stream, message)
            self.content = {}

    forgetful = Forgetful(nursery, "ann", {X: X_DATA})
    other = Provider(nursery, "cee", {X: X_DATA}, lies=False)
    async with running_client(nursery, "bob") as bob:
        await connect(forgetful.host, host_of(bob))
        await connect(other.host, host_of(bob))
        assert await bob.get_block(X) == X_DATA


# -- what peers send ------------------------------------------------------------------------------


async def test_blocks_nobody_asked_for_cost_no_storage(nursery: trio.Nursery) -> None:
    peer = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        await peer.send(host_of(bob).get_id(), Message(blocks=[(X, X_DATA), (Y, Y_DATA)]))
        await trio.testing.wait_all_tasks_blocked()
        store = bob.block_store
        assert isinstance(store, MemoryBlockStore)
        assert store.size() == 0
        assert bob.stat().unwanted_blocks_received == 2


async def test_a_block_that_comes_again_is_a_duplicate(nursery: trio.Nursery) -> None:
    provider = Provider(nursery, "ann", {X: X_DATA})
    async with running_client(nursery, "bob") as bob:
        await connect(provider.host, host_of(bob))
        await bob.get_block(X)
        for _ in range(10):
            await provider.send(host_of(bob).get_id(), Message(blocks=[(X, X_DATA)]))
        await trio.testing.wait_all_tasks_blocked()
        stat = bob.stat()
        assert (stat.dup_blks_received, stat.dup_data_received) == (10, 10 * len(X_DATA))
        assert stat.unwanted_blocks_received == 0


async def test_a_block_beside_a_dont_have_is_a_block(nursery: trio.Nursery) -> None:
    peer = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        async with trio.open_nursery() as fetching:
            fetching.start_soon(_expect, bob, X, X_DATA)
            await peer.wait_for(1)
            message = Message(blocks=[(X, X_DATA)])
            message.presences[X] = DONT_HAVE
            await peer.send(host_of(bob).get_id(), message)


async def test_the_store_has_a_block_before_anybody_is_told(nursery: trio.Nursery) -> None:
    class SlowStore(MemoryBlockStore):
        puts = 0

        async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
            self.puts += 1
            await trio.testing.wait_all_tasks_blocked()
            await super().put_blocks(blocks)

    store = SlowStore()
    provider = Provider(nursery, "ann", {X: X_DATA})
    async with running_client(nursery, "bob", store=store) as bob:
        await connect(provider.host, host_of(bob))
        async with trio.open_nursery() as fetching:
            for _ in range(3):
                fetching.start_soon(_expect_stored, bob, X)
        assert store.puts == 1
        assert bob.stat().blocks_received == 1


async def _expect_stored(client: BitswapClient, cid: CID) -> None:
    data = await client.get_block(cid)
    assert await client.block_store.get_block(cid) == data


async def test_a_full_disk_fails_the_fetch_and_nothing_else(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class FullStore(MemoryBlockStore):
        async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
            raise BlockStoreError("no space left")

    provider = Provider(nursery, "ann", {X: X_DATA, Y: Y_DATA})
    async with running_client(nursery, "bob", store=FullStore()) as bob:
        await connect(provider.host, host_of(bob))
        for cid in (X, Y):
            with pytest.raises(BitswapError, match="no space left") as caught:
                await bob.get_block(cid)
            assert isinstance(caught.value.__cause__, BlockStoreError)


# -- who waits, and who leaves --------------------------------------------------------------------


async def test_several_tasks_get_one_block_by_one_want(nursery: trio.Nursery) -> None:
    peer = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        sessions = [bob.new_session() for _ in range(2)]
        got: list[bytes] = []

        async def fetch(number: int) -> None:
            with trio.move_on_after(100):
                got.append(await sessions[number % 2].get_block(X))

        async with trio.open_nursery() as fetching:
            for number in range(6):
                fetching.start_soon(fetch, number)
            await peer.wait_for(1)
            await peer.send(host_of(bob).get_id(), Message(blocks=[(X, X_DATA)]))
        assert got == [X_DATA] * 6
        assert peer.wanted() == [X]


async def test_one_that_gives_up_does_not_take_the_block_from_another(
    nursery: trio.Nursery, clock: object
) -> None:
    peer = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        async with trio.open_nursery() as fetching:
            fetching.start_soon(_expect, bob, X, X_DATA)
            with pytest.raises(BitswapTimeoutError):
                await bob.get_block(X, timeout=1)
            with pytest.raises(BitswapTimeoutError):
                await bob.new_session().get_block(X, timeout=1)
            assert not any(entry.cancel for entry in peer.entries)
            await peer.send(host_of(bob).get_id(), Message(blocks=[(X, X_DATA)]))


async def test_a_cancelled_fetch_takes_back_its_wants(nursery: trio.Nursery) -> None:
    peer = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        async with trio.open_nursery() as fetching:
            fetching.start_soon(bob.get_block, X)
            fetching.start_soon(_fetch_all, bob, [Y, Z])
            await peer.wait_for(1)
            await trio.testing.wait_all_tasks_blocked()
            fetching.cancel_scope.cancel()
        gc.collect()
        bob._engine.apply()
        await trio.testing.wait_all_tasks_blocked()
        assert bob.stat().wantlist == []
        assert {entry.cid for entry in peer.entries if entry.cancel} == {X, Y, Z}


async def test_an_iterator_left_early_takes_back_its_wants(nursery: trio.Nursery) -> None:
    provider = Provider(nursery, "ann", {X: X_DATA})
    provider.content[Y] = b""
    provider.lies = False
    async with running_client(nursery, "bob") as bob:
        silent = ScriptedPeer(nursery, "cee")
        await connect(provider.host, host_of(bob))
        await connect(silent.host, host_of(bob))
        async for cid, _ in bob.get_blocks([X, Z]):
            assert cid == X
            break
        gc.collect()
        bob._engine.apply()
        assert bob.stat().wantlist == []


async def test_a_closed_session_tells_who_waits(nursery: trio.Nursery) -> None:
    peer = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(peer.host, host_of(bob))
        session = bob.new_session()
        async with trio.open_nursery() as fetching:
            fetching.start_soon(_expect_closed, session.get_block, X)
            await peer.wait_for(1)
            session.close()
        with pytest.raises(ClientClosedError):
            await session.get_block(X)
        await peer.wait_for(2)
        assert [entry.cancel for entry in peer.entries] == [False, True]


async def _expect_closed(get_block: object, cid: CID) -> None:
    with pytest.raises(ClientClosedError):
        await get_block(cid)  # type: ignore[operator]  # a bound method


async def test_stopping_tells_who_waits_and_it_can_start_again(nursery: trio.Nursery) -> None:
    provider = Provider(nursery, "ann", {Y: Y_DATA})
    host = FakeHost(nursery, "bob")
    bob = BitswapClient(host)  # type: ignore[arg-type]  # a fake
    with pytest.raises(ClientClosedError):
        await bob.get_block(X)
    await bob.start()
    await bob.start()
    await connect(provider.host, host)
    silent = ScriptedPeer(nursery, "cee")
    await connect(silent.host, host)
    async with trio.open_nursery() as fetching:
        fetching.start_soon(_expect_closed, bob.get_block, X)
        await silent.wait_for(1)
        await bob.stop()
    await bob.stop()
    assert host.handlers == {}
    assert not host.network.events.is_used
    with pytest.raises(ClientClosedError):
        await bob.get_block(Y)
    await bob.start()
    assert await bob.get_block(Y, provider.host.get_id()) == Y_DATA
    await bob.stop()


async def test_starting_on_a_host_that_does_not_run_fails(nursery: trio.Nursery) -> None:
    bob = BitswapClient(FakeHost(None, "bob"))  # type: ignore[arg-type]  # a fake
    with pytest.raises(HostException):
        await bob.start()
    bob.set_nursery(nursery)
    await bob.start()
    assert bob.is_running
    await bob.stop()


async def test_the_end_of_its_nursery_ends_the_client(nursery: trio.Nursery) -> None:
    bob = BitswapClient(FakeHost(None, "bob"))  # type: ignore[arg-type]  # a fake
    async with trio.open_nursery() as own:
        bob.set_nursery(own)
        await bob.start()
        own.cancel_scope.cancel()
    assert not bob.is_running


# -- blocks of our own ----------------------------------------------------------------------------


async def test_blocks_that_are_added_are_checked(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "bob") as bob:
        with pytest.raises(InvalidBlockError):
            await bob.add_block(X, Y_DATA)
        with pytest.raises(ValueError, match="not those"):
            await bob.add_block(X.buffer, Y_DATA)
        with pytest.raises(BlockTooLargeError):
            await bob.add_block(X, bytes(MAX_BLOCK_SIZE + 1))
        await bob.add_block(X.to_py_cid(), X_DATA)
        assert await bob.get_block(X) == X_DATA


# -- peers of other versions ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "protocol", [BITSWAP_PROTOCOL_V110, BITSWAP_PROTOCOL_V100, BITSWAP_PROTOCOL_NO_VERSION]
)
async def test_older_versions_are_spoken_both_ways(
    nursery: trio.Nursery, protocol: TProtocol
) -> None:
    v0 = CID.for_block(X_DATA, codec="dag-pb", version=0)
    ann = BitswapClient(FakeHost(nursery, "ann"), protocol_version=protocol)  # type: ignore[arg-type]
    ann.supported_protocols[:] = [protocol]
    async with ann.run(), running_client(nursery, "bob", [(Y, Y_DATA)]) as bob:
        await ann.add_block(v0, X_DATA)
        await connect(host_of(ann), host_of(bob))
        assert await bob.get_block(v0) == X_DATA
        assert await ann.get_block(Y) == Y_DATA
        assert host_of(bob).opened[0].get_protocol() == protocol


async def test_a_peer_that_is_newer_after_reconnecting_is_asked_for_haves(
    nursery: trio.Nursery,
) -> None:
    peer = ScriptedPeer(nursery, "ann", protocols=[BITSWAP_PROTOCOL_V100])
    other = ScriptedPeer(nursery, "cee", protocols=[BITSWAP_PROTOCOL_V100])
    async with running_client(nursery, "bob") as bob:
        for scripted in (peer, other):
            await connect(scripted.host, host_of(bob))
        await bob.want_block(X)
        await trio.testing.wait_all_tasks_blocked()
        kinds = [entry.want_type for entry in (*peer.entries, *other.entries)]
        assert kinds == [WantType.Block]
        await disconnect(peer.host, host_of(bob))
        for protocol in BITSWAP_PROTOCOLS:
            peer.host.set_stream_handler(protocol, peer.on_stream)
        await connect(peer.host, host_of(bob))
        await bob.want_block(Y)
        await trio.testing.wait_all_tasks_blocked()
        assert Entry(Y, 1, False, WantType.Have, True) in peer.entries
