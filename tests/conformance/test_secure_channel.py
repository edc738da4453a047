"""What every secure channel owes the layers above it; a new one subscribes in `CHANNELS`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pytest
import trio
import trio.testing

from libp2p.exceptions import (
    HandshakeFailure,
    IOException,
    LocalProtocolError,
    PeerIDMismatchesPubkey,
)
from libp2p.security.insecure.transport import InsecureTransport
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.tls.transport import TLSTransport
from tests.support.channels import MemoryConnection, connection_pair
from tests.support.handshakes import shake_hands
from tests.support.identities import ed25519_pair, peer_id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.abc import IRawConnection
    from libp2p.crypto.keys import KeyPair
    from libp2p.security.secure_session import SecureSession

SecureTransport: TypeAlias = NoiseTransport | TLSTransport | InsecureTransport
MakeTransport: TypeAlias = "Callable[[KeyPair], SecureTransport]"

#: More than any record, and no multiple of one.
BULK = bytes(range(256)) * 1000

CHANNELS: dict[str, MakeTransport] = {
    "noise": NoiseTransport,
    "tls": TLSTransport,
    "plaintext": InsecureTransport,
}
CONFIDENTIAL = ["noise", "tls"]


@pytest.fixture(params=CHANNELS)
def make_transport(request: pytest.FixtureRequest) -> MakeTransport:
    return CHANNELS[request.param]


class Ends(NamedTuple):
    """A finished handshake between alice, who dialled, and bob."""

    alice: SecureSession
    bob: SecureSession


async def joined(
    make_transport: MakeTransport, dialler: MemoryConnection, listener: MemoryConnection
) -> Ends:
    alice, bob = make_transport(ed25519_pair("alice")), make_transport(ed25519_pair("bob"))
    return Ends(*await shake_hands(alice, bob, (dialler, listener), peer_id_of("bob")))


async def read_exactly(session: SecureSession, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await session.read(size - len(data))
        assert piece
        data += piece
    return data


# -- the handshake --------------------------------------------------------------------------------


async def test_both_ends_know_each_other(make_transport: MakeTransport) -> None:
    alice, bob = await joined(make_transport, *connection_pair())
    assert (alice.is_initiator, bob.is_initiator) == (True, False)
    assert alice.get_local_peer() == bob.get_remote_peer() == peer_id_of("alice")
    assert bob.get_local_peer() == alice.get_remote_peer() == peer_id_of("bob")
    assert alice.get_remote_public_key() == ed25519_pair("bob").public_key
    assert bob.get_remote_public_key() == ed25519_pair("alice").public_key
    assert alice.get_local_private_key() == ed25519_pair("alice").private_key
    assert alice.early_muxer is None
    assert alice.get_remote_address() == alice.raw_conn.get_remote_address()


@pytest.mark.parametrize("piece_bytes", [1, 3, 100])
async def test_the_handshake_survives_any_split(
    make_transport: MakeTransport, piece_bytes: int
) -> None:
    dialler, listener = connection_pair()
    dialler.piece_bytes = listener.piece_bytes = piece_bytes
    alice, bob = await joined(make_transport, dialler, listener)
    await alice.write(b"hello")
    assert await read_exactly(bob, 5) == b"hello"


async def test_the_handshake_survives_a_peer_that_reads_slowly(
    make_transport: MakeTransport,
) -> None:
    dialler, listener = connection_pair()
    dialler.capacity = listener.capacity = 100
    alice, _ = await joined(make_transport, dialler, listener)
    assert alice.get_remote_peer() == peer_id_of("bob")


async def test_another_peer_than_the_dialled_one_is_refused(
    make_transport: MakeTransport,
) -> None:
    dialler, listener = connection_pair()

    async def listen() -> None:
        # Plaintext's listener has nothing to object to: it learns of it when the dialler leaves.
        with suppress(HandshakeFailure):
            session = await make_transport(ed25519_pair("mallory")).secure_inbound(listener)
            assert await session.receive() == []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        with pytest.raises(PeerIDMismatchesPubkey, match=str(peer_id_of("mallory"))):
            await make_transport(ed25519_pair("alice")).secure_outbound(dialler, peer_id_of("bob"))
        await dialler.close()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("who", ["dialler", "listener"])
async def test_a_hang_up_at_any_byte_is_a_handshake_failure(
    make_transport: MakeTransport, who: str, reset: bool
) -> None:
    complete = connection_pair()
    await joined(make_transport, *complete)
    by_dialler = who == "dialler"
    total = len(complete[0 if by_dialler else 1].sent)
    failures: list[HandshakeFailure] = []

    async def shake(transport: SecureTransport, conn: MemoryConnection, is_dialler: bool) -> None:
        try:
            if is_dialler:
                await transport.secure_outbound(conn, peer_id_of("bob"))
            else:
                await transport.secure_inbound(conn)
        except HandshakeFailure as error:
            if is_dialler != by_dialler:
                failures.append(error)

    cuts = range(total)
    if make_transport is TLSTransport:
        # Its flights are long, and its signatures a few bytes longer or shorter every time.
        cuts = range(0, total - 8, 11)
    alice, bob = make_transport(ed25519_pair("alice")), make_transport(ed25519_pair("bob"))
    for sent in cuts:
        dialler, listener = connection_pair()
        leaving = dialler if by_dialler else listener
        leaving.hang_up_after, leaving.reset = sent, reset
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake, alice, dialler, True)
            nursery.start_soon(shake, bob, listener, False)
    assert len(failures) == len(cuts)
    expected = "connection lost" if reset else "hung up"
    assert all(expected in str(failure) for failure in failures)


@pytest.mark.parametrize("capacity", [None, 0, 3])
async def test_a_silent_peer_is_left_at_the_callers_deadline(
    make_transport: MakeTransport, capacity: int | None, autojump_clock: trio.testing.MockClock
) -> None:
    dialler, _ = connection_pair()
    dialler.capacity = capacity
    transport = make_transport(ed25519_pair("alice"))
    with trio.move_on_after(15) as outbound:
        await transport.secure_outbound(dialler, peer_id_of("bob"))
    _, listener = connection_pair()
    listener.capacity = capacity
    with trio.move_on_after(15) as inbound:
        await transport.secure_inbound(listener)
    assert outbound.cancelled_caught
    assert inbound.cancelled_caught


@pytest.mark.parametrize("garbage", [b"\x00\x00", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100_000])
async def test_garbage_is_a_handshake_failure(
    make_transport: MakeTransport, garbage: bytes
) -> None:
    dialler, listener = connection_pair()
    await dialler.send([garbage])
    await dialler.close()
    with pytest.raises(HandshakeFailure):
        await make_transport(ed25519_pair("bob")).secure_inbound(listener)


async def test_data_right_behind_the_handshake_is_not_lost(make_transport: MakeTransport) -> None:
    dialler, listener = connection_pair()
    received = b""

    async def dial() -> None:
        transport = make_transport(ed25519_pair("alice"))
        session = await transport.secure_outbound(dialler, peer_id_of("bob"))
        await session.write(b"first words" * 1000)

    async def listen() -> None:
        nonlocal received
        session = await make_transport(ed25519_pair("bob")).secure_inbound(listener)
        received = await read_exactly(session, 11_000)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        # The last message of the handshake and the first record wait to be read together.
        nursery.start_soon(listen)
    assert received == b"first words" * 1000


async def test_a_connection_without_batches_is_refused_clearly(
    make_transport: MakeTransport,
) -> None:
    class Foreign:
        """Has not what a secure session needs."""

    foreign: IRawConnection = Foreign()  # type: ignore[assignment]
    with pytest.raises(LocalProtocolError, match="Foreign"):
        await make_transport(ed25519_pair("alice")).secure_inbound(foreign)


# -- the session ----------------------------------------------------------------------------------


async def test_bulk_passes_both_ways_at_once(make_transport: MakeTransport) -> None:
    alice, bob = await joined(make_transport, *connection_pair())
    received = {}

    async def read(name: str, session: SecureSession) -> None:
        received[name] = await read_exactly(session, len(BULK))

    async with trio.open_nursery() as nursery:
        for name, session in (("alice", alice), ("bob", bob)):
            nursery.start_soon(read, name, session)
            nursery.start_soon(session.write, BULK)
    assert received == {"alice": BULK, "bob": BULK}


@pytest.mark.parametrize("name", CONFIDENTIAL)
async def test_nothing_readable_is_on_the_wire(name: str) -> None:
    dialler, listener = connection_pair()
    alice, bob = await joined(CHANNELS[name], dialler, listener)
    await alice.write(b"attack at dawn")
    assert await read_exactly(bob, 14) == b"attack at dawn"
    assert b"attack" not in dialler.sent
    # Nor who dialled, except for who answers.
    assert ed25519_pair("alice").public_key.to_bytes() not in dialler.sent


@pytest.mark.parametrize("name", CONFIDENTIAL)
async def test_a_changed_byte_ends_the_session(name: str) -> None:
    dialler, listener = connection_pair()
    alice, bob = await joined(CHANNELS[name], dialler, listener)
    await alice.write(b"attack at dawn")
    [wire] = await listener.receive()
    listener.unread(bytes(wire[:-1]) + bytes([wire[-1] ^ 1]))
    with pytest.raises(IOException, match="authenticate"):
        await bob.receive()


async def test_the_end_of_the_connection_is_the_end_of_the_session(
    make_transport: MakeTransport,
) -> None:
    alice, bob = await joined(make_transport, *connection_pair())
    await alice.write(b"bye")
    await alice.close()
    assert await bob.read() == b"bye"
    assert await bob.receive() == []


async def test_what_is_unread_comes_first(make_transport: MakeTransport) -> None:
    alice, bob = await joined(make_transport, *connection_pair())
    await alice.write(b"world")
    bob.unread(b"hello ")
    assert await read_exactly(bob, 11) == b"hello world"


async def test_a_cancelled_reader_loses_nothing(
    make_transport: MakeTransport, autojump_clock: trio.testing.MockClock
) -> None:
    alice, bob = await joined(make_transport, *connection_pair())
    with trio.move_on_after(1):
        await bob.receive()
    await alice.write(b"later")
    assert await read_exactly(bob, 5) == b"later"


async def test_a_cancelled_writer_leaves_no_half_record(
    make_transport: MakeTransport, autojump_clock: trio.testing.MockClock
) -> None:
    dialler, listener = connection_pair()
    alice, bob = await joined(make_transport, dialler, listener)
    dialler.capacity = 10
    with trio.move_on_after(1) as scope:
        await alice.write(b"cancelled" * 100)
    assert scope.cancelled_caught
    dialler.capacity = None
    await alice.write(b"and on")
    assert await read_exactly(bob, 906) == b"cancelled" * 100 + b"and on"
