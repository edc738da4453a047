"""How a client begins and ends: cancelled starts, faults in what it runs, many that leave."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.errors import BitswapError, BlockUnavailableError, ClientClosedError
from libp2p.bitswap.wire.entry import Entry
from libp2p.bitswap.wire.message import Message
from libp2p.blockstore import MemoryBlockStore
from libp2p.events import PeerConnected
from libp2p.ipld.cid import CID
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.blocks import blocks
from tests.support.fake_host import FakeHost, connect, disconnect

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from libp2p.abc import IHost
    from libp2p.peer.id import ID


def new_client(nursery: trio.Nursery | None, name: str = "bob") -> BitswapClient:
    return BitswapClient(cast("IHost", FakeHost(nursery, name)), MemoryBlockStore())


def is_gone(client: BitswapClient) -> bool:
    """True if nothing of a client is left in its host."""
    host = host_of(client)
    return not client.is_running and not host.handlers and not host.network.events.is_used


@contextmanager
def cancelled_as_it_starts(client: BitswapClient) -> Generator[None, None, None]:
    """Cancel what is done inside when the client's service has been given to the host."""
    host = host_of(client)
    start_service = host.start_service
    with trio.CancelScope() as scope:

        def start(*args: Any) -> None:
            scope.cancel()
            start_service(*args)

        host.start_service = start  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            host.start_service = start_service  # type: ignore[method-assign]


# -- starts that are cancelled (R10) --------------------------------------------------------------


async def test_a_run_that_is_cancelled_while_it_starts_leaves_nothing(
    nursery: trio.Nursery,
) -> None:
    bob = new_client(nursery)
    entered = False
    with cancelled_as_it_starts(bob):
        async with bob.run():
            entered = True
    assert not entered
    await wait_all_tasks_blocked()
    assert is_gone(bob)
    async with bob.run():
        assert bob.is_running


async def test_a_start_that_is_cancelled_leaves_nothing(nursery: trio.Nursery) -> None:
    bob = new_client(nursery)
    with cancelled_as_it_starts(bob):
        await bob.start()
    assert not bob.is_running
    await wait_all_tasks_blocked()
    assert is_gone(bob)
    await bob.stop()
    assert is_gone(bob)
    with pytest.raises(ClientClosedError):
        await bob.get_block(CID.for_block(b"none"))


async def test_two_starts_at_once_are_one(nursery: trio.Nursery) -> None:
    bob = new_client(nursery)
    async with trio.open_nursery() as starting:
        starting.start_soon(bob.start)
        starting.start_soon(bob.start)
    assert host_of(bob).network.events.count_of(PeerConnected) == 1
    await bob.stop()
    await wait_all_tasks_blocked()
    assert is_gone(bob)


async def test_who_starts_as_well_is_not_cancelled_with_another(nursery: trio.Nursery) -> None:
    bob = new_client(nursery)
    async with trio.open_nursery() as starting:
        first, second = trio.Event(), trio.Event()

        async def start(done: trio.Event) -> None:
            await bob.start()
            done.set()

        with cancelled_as_it_starts(bob):
            starting.start_soon(start, second)
            await bob.start()
            first.set()
        await second.wait()
    assert not first.is_set()
    assert bob.is_running
    await bob.stop()


async def test_a_stop_ends_a_start_that_waits(nursery: trio.Nursery) -> None:
    bob = new_client(nursery)

    async def start() -> None:
        with pytest.raises(ClientClosedError):
            await bob.start()

    async with trio.open_nursery() as starting:
        starting.start_soon(start)
        while bob._engine._life is None:
            await trio.lowlevel.checkpoint()
        await bob.stop()
    await wait_all_tasks_blocked()
    assert is_gone(bob)


async def test_a_second_start_that_is_cancelled_does_not_end_the_first(
    nursery: trio.Nursery,
) -> None:
    async with running_client(nursery, "bob") as bob:
        with trio.CancelScope() as scope:
            scope.cancel()
            await bob.start()
        assert bob.is_running


# -- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_nursery", [False, True])
async def test_a_fault_of_the_engine_ends_the_client_and_says_so(
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    with_nursery: bool,
) -> None:
    bob = new_client(nursery)
    if with_nursery:
        bob.set_nursery(nursery)
    await bob.start()
    ann = ScriptedPeer(nursery, "ann")
    await connect(ann.host, host_of(bob))

    def broken(now: float) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(bob._engine.tracker, "tick", broken)
    with pytest.raises(ClientClosedError) as failure:
        await bob.get_block(CID.for_block(b"none"), timeout=60)
    assert isinstance(failure.value.__cause__, KeyError)
    await wait_all_tasks_blocked()
    assert is_gone(bob)
    assert len([r for r in caplog.records if r.exc_info]) == 1
    await bob.stop()


async def test_a_fault_in_what_one_peer_is_told_costs_that_peer(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    content = blocks(2, 50)
    async with running_client(nursery, "bob", content.items()) as bob:
        ann, eve = Provider(nursery, "ann", {}), ScriptedPeer(nursery, "eve")
        for peer in (ann, eve):
            await connect(peer.host, host_of(bob))
        real = bob.host.new_stream

        async def new_stream(peer_id: ID, *args: object, **options: object) -> object:
            if peer_id == eve.host.get_id():
                raise LookupError("a fault")
            return await real(peer_id, *args, **options)  # type: ignore[arg-type]

        bob.host.new_stream = new_stream  # type: ignore[method-assign, assignment]
        missing = CID.for_block(b"nobody has it")
        with pytest.raises(BlockUnavailableError):
            await bob.get_block(missing, timeout=60)
        wants = Message()
        for cid in content:
            wants.add_entry(Entry(cid))
        await eve.send(host_of(bob).get_id(), wants)
        await ann.send(host_of(bob).get_id(), wants)
        await ann.wait_for(2)
        assert bob.is_running
        assert [r for r in caplog.records if r.exc_info]


async def test_a_peer_that_cannot_be_reached_is_an_error_at_once(nursery: trio.Nursery) -> None:
    stranger = FakeHost(nursery, "stranger").get_id()
    async with running_client(nursery, "bob") as bob:
        with trio.fail_after(1):
            with pytest.raises(BitswapError, match="could not be reached"):
                await bob.get_block(CID.for_block(b"none"), stranger)
            assert not await bob.have_block(CID.for_block(b"none"), stranger)
            with pytest.raises(BitswapError):
                async with bob.get_blocks([CID.for_block(b"none")], stranger) as found:
                    [_ async for _ in found]


async def test_local_blocks_are_listed_by_a_client_that_is_stopped() -> None:
    """R18."""
    bob = new_client(None)
    content = blocks(3, 50)
    for cid, data in content.items():
        await bob.block_store.put_block(cid, data)
    assert {cid: data async for cid, data in bob.get_blocks(content)} == content


async def test_waiters_of_one_block_get_errors_of_their_own(nursery: trio.Nursery) -> None:
    """R20: else the traceback of each grows by the frames of the others."""
    ann = ScriptedPeer(nursery, "ann")
    errors: list[BaseException] = []
    async with running_client(nursery, "bob") as bob:
        await connect(ann.host, host_of(bob))

        async def get() -> None:
            with pytest.raises(BlockUnavailableError) as failure:
                await bob.get_block(CID.for_block(b"none"))
            errors.append(failure.value)

        async with trio.open_nursery() as getting:
            for _ in range(3):
                getting.start_soon(get)
            await wait_all_tasks_blocked()
            await disconnect(ann.host, host_of(bob))
    assert len({id(error) for error in errors}) == 3
    assert len({str(error) for error in errors}) == 1
    depths = [_depth(error) for error in errors]
    assert depths[0] == depths[1] == depths[2]


def _depth(error: BaseException) -> int:
    depth, frame = 0, error.__traceback__
    while frame is not None:
        depth, frame = depth + 1, frame.tb_next
    return depth


# -- many at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancel", "drop"])
async def test_many_iterators_that_are_dropped_at_once_end_nothing_else(
    nursery: trio.Nursery, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    ann = ScriptedPeer(nursery, "ann")
    async with running_client(nursery, "bob") as bob:
        await connect(ann.host, host_of(bob))

        async def take_all(number: int) -> None:
            wanted = [CID.for_block(b"%d of %d" % (n, number)) for n in range(20)]
            async for _ in bob.get_blocks(wanted):
                raise AssertionError("nobody has it")

        iterators = []
        if end == "drop":
            for number in range(350):
                iterator = bob.get_blocks([CID.for_block(b"%d" % number)])
                with trio.move_on_after(0):
                    await iterator.__anext__()
                iterators.append(iterator)
            del iterator
            iterators.clear()
            gc.collect()
        else:
            async with trio.open_nursery() as taking:
                for number in range(350):
                    taking.start_soon(take_all, number)
                await wait_all_tasks_blocked()
                taking.cancel_scope.cancel()
        bob._engine.apply()
        await wait_all_tasks_blocked()
        assert bob.is_running
        assert bob.get_wantlist() == []
        assert not caplog.records
        content = blocks(1, 50)
        provider = Provider(nursery, "carol", content)
        await connect(provider.host, host_of(bob))
        for cid, data in content.items():
            assert await bob.get_block(cid) == data


async def test_an_iterable_of_cids_that_raises_ends_its_fetch(nursery: trio.Nursery) -> None:
    content = blocks(3, 50)

    class Cids:
        """Raises once, and would go on."""

        def __init__(self) -> None:
            self.left = [*content, None, *content]

        def __iter__(self) -> Iterator[CID]:
            return self

        def __next__(self) -> CID:
            if not self.left:
                raise StopIteration
            if (cid := self.left.pop(0)) is None:
                raise KeyError("not now")
            return cid

    async with running_client(nursery, "bob", content.items()) as bob:
        found = bob.get_blocks(Cids())
        with pytest.raises(KeyError):
            [_ async for _ in found]
        assert [_ async for _ in found] == []
        with pytest.raises(KeyError):
            bob.new_session(host_of(bob).get_id() for _ in Cids())
        assert bob.get_wantlist() == []
