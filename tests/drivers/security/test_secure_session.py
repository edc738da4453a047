"""Encrypted connections over a bounded pipe in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.connection_types import ConnectionType
from libp2p.exceptions import (
    ConnectionClosedError,
    DecryptionFailedException,
    IncompleteReadError,
    LocalProtocolError,
)
from libp2p.io.buffer_pool import LARGE_BUFFER_BYTES, MAX_KEPT_BUFFERS, SMALL_BUFFER_BYTES
from libp2p.security.channel import MAX_RECORDS_AT_ONCE
from libp2p.security.noise.cipher import NoiseCipher
from tests.support.channels import MemoryConnection, connection_pair
from tests.support.identities import ed25519_pair, peer_id_of
from tests.support.memory_session import bounded_pair, numbered, secured_by

if TYPE_CHECKING:
    from libp2p.security.secure_session import SecureSession

KEY_A, KEY_B = bytes(32), bytes([1]) * 32
RECORD = 65_519
BULK = numbered(1_000_000)


def session_pair(
    ends: tuple[MemoryConnection, MemoryConnection],
) -> tuple[SecureSession, SecureSession]:
    dialler, listener = ends
    return (
        secured_by(dialler, NoiseCipher(KEY_A, KEY_B)),
        secured_by(listener, NoiseCipher(KEY_B, KEY_A)),
    )


def sealed(*plaintexts: bytes) -> list[bytes]:
    """The records that the listener's end expects, one for each plaintext, empty ones too."""
    cipher = NoiseCipher(KEY_A, KEY_B)
    records = []
    for plaintext in plaintexts:
        if plaintext:
            records.append(b"".join(cipher.seal([plaintext])))
            continue
        nonce = bytes(4) + cipher._send_nonce.to_bytes(8, "little")
        cipher._send_nonce += 1
        tag = cipher._send.encrypt(nonce, b"", None)
        records.append(len(tag).to_bytes(2, "big") + tag)
    return records


# -- carrying bytes -------------------------------------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [1, 7, 1000, None])
async def test_what_is_written_is_read_whatever_the_pieces(piece_bytes: int | None) -> None:
    ends = connection_pair()
    ends[0].piece_bytes = piece_bytes
    ours, theirs = session_pair(ends)
    data = BULK if piece_bytes is None or piece_bytes > 100 else BULK[:3000]
    await ours.write(data)
    ours.shutdown_write()
    assert await theirs.read() == data
    assert await theirs.receive() == []


async def test_everything_that_one_read_brought_is_handed_up_at_once() -> None:
    ours, theirs = session_pair(connection_pair())
    await ours.write(b"one")
    await ours.send([b"two", b"three"])
    assert await theirs.receive() == [b"one", b"twothree"]


async def test_bulk_is_read_in_large_pieces_and_an_idle_session_has_no_buffer() -> None:
    ours, theirs = session_pair(connection_pair())
    await ours.write(bytes(40 * RECORD))
    most = received = 0
    while received < 40 * RECORD:
        size = len(b"".join(await theirs.receive()))
        most, received = max(most, size), received + size
    assert most == LARGE_BUFFER_BYTES // (RECORD + 18) * RECORD
    assert held_by(theirs) == 0


async def test_of_an_incomplete_record_no_more_is_kept_than_has_come(
    autojump_clock: MockClock,
) -> None:
    ends = connection_pair()
    _, theirs = session_pair(ends)
    (record,) = sealed(bytes(RECORD))
    for start in range(0, len(record), 1000):
        await ends[0].write(record[start : start + 1000])
        with trio.move_on_after(1):
            assert await theirs.receive() == [bytes(RECORD)]
        assert held_by(theirs) in (start + 1000, 0)


def held_by(session: SecureSession) -> int:
    """What a session has read and not handed on."""
    kept = len(session._partial)
    return kept if session._waiting is None else kept + session._waiting.nbytes


async def test_many_floods_of_tiny_records_share_few_large_buffers() -> None:
    flood = b"".join(sealed(*[b"x"] * 50 * MAX_RECORDS_AT_ONCE))
    sessions = []
    for _ in range(40):
        ends = connection_pair()
        await ends[0].write(flood)
        sessions.append(session_pair(ends)[1])
        await sessions[-1].receive()
    large = [session for session in sessions if held_by(session) > SMALL_BUFFER_BYTES]
    assert len(large) == MAX_KEPT_BUFFERS
    assert all(held_by(session) for session in sessions)
    for session in large:
        while held_by(session):
            await session.receive()
    ours, theirs = session_pair(connection_pair())
    await ours.write(bytes(40 * RECORD))
    assert len(b"".join(await theirs.receive())) > SMALL_BUFFER_BYTES


async def test_tiny_records_are_handed_up_some_at_a_time_and_others_run_between() -> None:
    ends = connection_pair()
    _, theirs = session_pair(ends)
    count = 5 * MAX_RECORDS_AT_ONCE
    await ends[0].send(sealed(*[b"x"] * count, b""))
    ends[0].shutdown_write()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        sizes = []
        while pieces := await theirs.receive():
            sizes.append(len(b"".join(pieces)))
        nursery.cancel_scope.cancel()
    assert sum(sizes) == count
    assert max(sizes) == MAX_RECORDS_AT_ONCE
    assert turns >= len(sizes) - 1


async def test_a_reader_that_is_cancelled_between_tiny_records_loses_none() -> None:
    ends = connection_pair()
    _, theirs = session_pair(ends)
    await ends[0].send(sealed(*[b"x"] * 2 * MAX_RECORDS_AT_ONCE))
    received = len(b"".join(await theirs.receive()))
    with trio.CancelScope() as scope:
        scope.cancel()
        await theirs.receive()
    assert scope.cancelled_caught
    received += len(b"".join(await theirs.receive()))
    assert received == 2 * MAX_RECORDS_AT_ONCE


async def test_read_returns_up_to_its_limit_and_keeps_the_rest() -> None:
    ours, theirs = session_pair(connection_pair())
    await ours.write(b"abcdef")
    assert await theirs.read(4) == b"abcd"
    theirs.unread(b"<")
    assert await theirs.read(10) == b"<ef"
    ours.shutdown_write()
    assert await theirs.read(10) == b""


async def test_both_directions_are_independent() -> None:
    ours, theirs = session_pair(connection_pair())
    await ours.write(b"question")
    assert await theirs.read(100) == b"question"
    ours.shutdown_write()
    assert await theirs.receive() == []
    await theirs.write(b"answer")
    assert await ours.read(100) == b"answer"


# -- a kernel that takes only a part --------------------------------------------------------------


async def test_what_the_kernel_does_not_take_is_kept_in_order() -> None:
    ours, theirs = session_pair(bounded_pair())
    assert not ours.send_or_keep([BULK])
    with pytest.raises(LocalProtocolError):
        ours.send_or_keep([b"in the middle of it"])
    async with trio.open_nursery() as nursery:

        async def send_rest() -> None:
            while not ours.send_kept():
                await ours.wait_writable()
            await ours.send([b"behind it"])
            ours.shutdown_write()

        nursery.start_soon(send_rest)
        assert await theirs.read() == BULK + b"behind it"


async def test_a_cancelled_write_tears_no_record_and_burns_no_nonce(
    autojump_clock: MockClock,
) -> None:
    ours, theirs = session_pair(bounded_pair())
    with trio.move_on_after(1) as scope:
        await ours.write(BULK)
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:

        async def write_on() -> None:
            await ours.write(b"after that")
            ours.shutdown_write()

        nursery.start_soon(write_on)
        assert await theirs.read() == BULK + b"after that"


async def test_a_write_waits_for_a_peer_that_reads_slowly() -> None:
    ours, theirs = session_pair(bounded_pair())
    async with trio.open_nursery() as nursery:
        written = trio.Event()

        async def write() -> None:
            await ours.write(BULK)
            written.set()

        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        assert not written.is_set()
        received = b""
        while len(received) < len(BULK):
            received += b"".join(await theirs.receive())
        assert received == BULK
        await written.wait()


async def test_a_cancelled_read_loses_nothing(autojump_clock: MockClock) -> None:
    ends = connection_pair()
    _, theirs = session_pair(ends)
    (record,) = sealed(b"in two pieces")
    await ends[0].write(record[:10])
    with trio.move_on_after(1) as scope:
        await theirs.receive()
    assert scope.cancelled_caught
    await ends[0].write(record[10:])
    assert await theirs.receive() == [b"in two pieces"]


# -- ends -----------------------------------------------------------------------------------------


async def test_an_empty_record_is_not_the_end() -> None:
    ends = connection_pair()
    _, theirs = session_pair(ends)
    empty, data, empty_again, more = sealed(b"", b"data", b"", b"more")
    await ends[0].write(empty)
    async with trio.open_nursery() as nursery:
        read: list[bytes] = []

        async def read_once() -> None:
            read.append(await theirs.read(100))

        nursery.start_soon(read_once)
        await wait_all_tasks_blocked()
        assert read == []
        await ends[0].write(data)
    assert read == [b"data"]
    await ends[0].write(empty_again + more)
    assert await theirs.read(100) == b"more"


async def test_a_hang_up_between_records_is_the_end() -> None:
    ends = connection_pair()
    _, theirs = session_pair(ends)
    await ends[0].write(sealed(b"last")[0])
    await ends[0].close()
    assert await theirs.receive() == [b"last"]
    assert await theirs.receive() == []


@pytest.mark.parametrize("cut", [1, 2, 10])
async def test_a_hang_up_inside_a_record_is_an_error(cut: int) -> None:
    ends = connection_pair()
    _, theirs = session_pair(ends)
    await ends[0].write(sealed(b"never complete")[0][:cut])
    await ends[0].close()
    with pytest.raises(IncompleteReadError):
        await theirs.receive()


async def test_a_forged_record_is_an_error_and_nothing_of_it_is_seen() -> None:
    ends = connection_pair()
    _, theirs = session_pair(ends)
    record = bytearray(sealed(b"genuine")[0])
    record[5] ^= 1
    await ends[0].write(bytes(record))
    for _ in range(2):
        with pytest.raises(DecryptionFailedException):
            await theirs.receive()
        await ends[0].write(bytes(record))


@pytest.mark.parametrize("polite", [True, False])
async def test_closing_wakes_a_reader(polite: bool) -> None:
    ours, _ = session_pair(connection_pair())
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(ConnectionClosedError):
                await ours.receive()

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        if polite:
            await ours.close()
        else:
            ours.abort()
    with pytest.raises(ConnectionClosedError):
        await ours.write(b"x")


async def test_it_tells_who_is_at_its_ends() -> None:
    ours, theirs = session_pair(connection_pair())
    assert ours.is_initiator
    assert not theirs.is_initiator
    assert ours.get_local_peer() == peer_id_of("local")
    assert ours.get_remote_peer() == peer_id_of("remote")
    assert ours.get_local_private_key() == ed25519_pair("local").private_key
    assert ours.get_remote_public_key() == ed25519_pair("remote").public_key
    assert ours.get_remote_address() == ours.raw_conn.get_remote_address()
    assert ours.get_transport_addresses() == ours.raw_conn.get_transport_addresses()
    assert ours.get_connection_type() is ConnectionType.DIRECT
    assert ours.early_muxer is None
