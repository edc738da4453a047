"""What every raw connection owes the layers above it; a new one subscribes in `KINDS`."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from multiaddr import Multiaddr

from libp2p.exceptions import ConnectionClosedError, RawConnError
from libp2p.transport.memory.memory_connection import connection_pair
from libp2p.transport.raw_connection import RECEIVE_BYTES
from tests.support.memory_session import numbered
from tests.support.sockets import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from libp2p.transport.raw_connection import RawConnection

#: More than the buffers of both ends of a connection hold.
BULK = numbered(16_000_000)


@asynccontextmanager
async def over_tcp() -> AsyncIterator[tuple[RawConnection, RawConnection]]:
    async with connected() as ends:
        yield ends


@asynccontextmanager
async def in_memory() -> AsyncIterator[tuple[RawConnection, RawConnection]]:
    yield connection_pair(Multiaddr("/memory/1"), Multiaddr("/memory/2"))


KINDS = {"tcp": over_tcp, "memory": in_memory}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def joined(kind: str) -> AbstractAsyncContextManager[tuple[RawConnection, RawConnection]]:
    """The dialler's and the listener's end of a connection."""
    return KINDS[kind]()


async def read_into(connection: RawConnection, buffer: bytearray) -> int:
    while True:
        await connection.wait_readable()
        if (count := connection.receive_into(memoryview(buffer))) is not None:
            return count


async def test_the_ends_know_which_of_them_dialled(kind: str) -> None:
    async with joined(kind) as (ours, theirs):
        assert ours.is_initiator
        assert not theirs.is_initiator


async def test_a_part_is_taken_and_nothing_is_lost(kind: str) -> None:
    async with joined(kind) as (ours, theirs), trio.open_nursery() as nursery:
        rest = ours.send_some([BULK[:1_000_000], b"", BULK[1_000_000:]])
        assert 0 < sum(map(len, rest)) < len(BULK)

        async def send_rest() -> None:
            await ours.send(rest)
            ours.shutdown_write()

        nursery.start_soon(send_rest)
        assert await theirs.read() == BULK


async def test_writing_waits_for_a_reader_that_is_slow(kind: str) -> None:
    async with joined(kind) as (ours, theirs), trio.open_nursery() as nursery:
        done = trio.Event()

        async def send() -> None:
            await ours.write(BULK)
            done.set()

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        received = 0
        while received < len(BULK):
            received += sum(map(len, await theirs.receive()))
        await done.wait()


async def test_both_ends_may_write_at_once(kind: str) -> None:
    async with joined(kind) as (ours, theirs), trio.open_nursery() as nursery:
        received: list[bytes] = []

        async def read_all(end: RawConnection) -> None:
            received.append(await end.read())

        async def write_all(end: RawConnection) -> None:
            await end.write(BULK)
            end.shutdown_write()

        for end in (ours, theirs):
            nursery.start_soon(read_all, end)
            nursery.start_soon(write_all, end)
    assert received == [BULK, BULK]


async def test_no_bytes_are_read_without_waiting_for_any(kind: str) -> None:
    async with joined(kind) as (ours, theirs):
        with trio.fail_after(5):
            assert await theirs.read(0) == b""
        await ours.write(b"abc")
        assert await theirs.read(3) == b"abc"


async def test_bytes_put_back_are_read_again_first(kind: str) -> None:
    async with joined(kind) as (ours, theirs):
        await ours.write(b"abc")
        data = await theirs.read(2)
        assert data == b"ab"
        theirs.unread(data)
        assert await theirs.read(10) == b"abc"
        theirs.unread(b"def")
        buffer = bytearray(2)
        assert await read_into(theirs, buffer) == 2
        assert buffer == b"de"
        assert await theirs.receive() == [b"f"]


async def test_a_read_that_fills_its_buffer_is_followed_by_the_rest(kind: str) -> None:
    async with joined(kind) as (ours, theirs):
        await ours.write(BULK[: 3 * RECEIVE_BYTES])
        ours.shutdown_write()
        buffer = bytearray(RECEIVE_BYTES)
        received = b""
        while count := await read_into(theirs, buffer):
            received += buffer[:count]
        assert received == BULK[: 3 * RECEIVE_BYTES]


async def test_a_read_that_just_fills_its_buffer_waits_for_more(kind: str) -> None:
    async with joined(kind) as (ours, theirs), trio.open_nursery() as nursery:
        buffer = bytearray(10)
        await ours.write(b"just these")
        assert await read_into(theirs, buffer) == 10

        async def write_later() -> None:
            await trio.testing.wait_all_tasks_blocked()
            await ours.write(b"more")

        nursery.start_soon(write_later)
        assert await theirs.receive() == [b"more"]


async def test_closing_with_unread_input_does_not_reset_what_the_peer_has_to_read(
    kind: str,
) -> None:
    async with joined(kind) as (ours, theirs):
        await theirs.write(bytes(100_000))
        await ours.wait_readable()
        await ours.write(b"farewell")
        await ours.close()
        assert await theirs.read() == b"farewell"


async def test_it_is_known_what_has_reached_the_peer(kind: str) -> None:
    async with joined(kind) as (ours, theirs):
        rest = ours.send_some([BULK])
        taken = len(BULK) - sum(map(len, rest))
        assert 0 < ours.delivered_bytes() + ours.undelivered_bytes() == taken
        if kind != "tcp" or sys.platform == "linux":  # others do not tell
            assert ours.undelivered_bytes() > 0
        received = 0
        while received < taken:
            received += len(b"".join(await theirs.receive()))
        with trio.fail_after(5):
            while ours.undelivered_bytes():
                await trio.lowlevel.checkpoint()
        assert ours.delivered_bytes() == taken
        ours.abort()
        assert (ours.delivered_bytes(), ours.undelivered_bytes()) == (taken, 0)


async def test_a_reset_after_the_end_is_told() -> None:
    async with joined("tcp") as (ours, theirs):
        assert not ours.is_reset()
        theirs.abort()
        ours.send_some([b"nobody reads this"])
        with trio.fail_after(5):
            while not ours.is_reset():
                await trio.lowlevel.checkpoint()
        assert ours.is_reset()
        assert await ours.receive() == []
        ours.abort()
        assert ours.is_reset()


async def test_half_closing_leaves_the_other_direction_open(kind: str) -> None:
    async with joined(kind) as (ours, theirs):
        ours.shutdown_write()
        assert await theirs.receive() == []
        assert await theirs.read() == b""
        await theirs.write(b"still here")
        assert await ours.read(100) == b"still here"


async def test_what_was_written_before_closing_is_delivered(kind: str) -> None:
    async with joined(kind) as (ours, theirs):
        await ours.write(b"farewell")
        await ours.close()
        assert await theirs.read() == b"farewell"


@pytest.mark.parametrize("act", ["receive", "send"])
async def test_closing_wakes_a_task_that_waits_for_the_connection(kind: str, act: str) -> None:
    async with joined(kind) as (ours, _theirs), trio.open_nursery() as nursery:
        woken = trio.Event()

        async def wait() -> None:
            with pytest.raises(ConnectionClosedError):
                await (ours.receive() if act == "receive" else ours.send([BULK]))
            woken.set()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await ours.close()
        with trio.fail_after(5):
            await woken.wait()


async def test_a_closed_connection_says_so(kind: str) -> None:
    async with joined(kind) as (ours, _):
        await ours.close()
        await ours.close()
        ours.shutdown_write()
        with pytest.raises(ConnectionClosedError):
            await ours.receive()
        with pytest.raises(ConnectionClosedError):
            await ours.write(b"x")
        with pytest.raises(ConnectionClosedError):
            await ours.wait_writable()


async def test_writing_to_a_peer_that_has_gone_fails(kind: str) -> None:
    async with joined(kind) as (ours, theirs):
        theirs.abort()
        with suppress(RawConnError):  # TCP may take it before it knows
            await ours.write(b"to nobody")
        with pytest.raises(RawConnError):
            await ours.write(BULK)
        ours.abort()


async def test_a_writer_that_waits_for_a_reader_learns_that_it_has_gone(kind: str) -> None:
    async with joined(kind) as (ours, theirs), trio.open_nursery() as nursery:
        failed = trio.Event()

        async def write() -> None:
            with pytest.raises(RawConnError):
                await ours.write(BULK)
            failed.set()

        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        theirs.abort()
        with trio.fail_after(5):
            await failed.wait()
