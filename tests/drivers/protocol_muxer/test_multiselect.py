from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from libp2p.abc import IMultiselectCommunicator, INetStream
from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    LocalProtocolError,
    MultiselectClientError,
    MultiselectCommunicatorError,
    MultiselectError,
    NegotiationError,
    ProtocolNotSupportedError,
    RawConnError,
)
from libp2p.io.abc import ReadWriter
from libp2p.protocol_muxer.multiselect import Multiselect, respond
from libp2p.protocol_muxer.multiselect_client import MultiselectClient, select_one
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.protocol_muxer.negotiation import HEADER, encode_message
from tests.support.channels import MemoryConnection, connection_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

NOISE = TProtocol("/noise")
TLS = TProtocol("/tls/1.0.0")
ECHO = TProtocol("/echo/1.0.0")


async def echo_handler(stream: INetStream) -> None:
    """What a negotiation gives back; never called here."""


async def negotiate(
    dialler: MemoryConnection,
    listener: MemoryConnection,
    proposals: Sequence[TProtocol],
    supported: Sequence[TProtocol],
) -> list[TProtocol]:
    agreed = []

    async def propose() -> None:
        agreed.append(await select_one(dialler, proposals))

    async def answer() -> None:
        agreed.append(await respond(listener, supported))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(propose)
        nursery.start_soon(answer)
    return agreed


# -- select_one and respond -----------------------------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [None, 1, 7])
async def test_both_sides_agree_on_the_first_common_proposal(piece_bytes: int | None) -> None:
    dialler, listener = connection_pair()
    dialler.piece_bytes = listener.piece_bytes = piece_bytes
    agreed = await negotiate(dialler, listener, [TLS, NOISE], [NOISE, ECHO])
    assert agreed == [NOISE, NOISE]
    header = encode_message(HEADER)
    assert dialler.sent == header + encode_message(TLS) + encode_message(NOISE)
    assert listener.sent == header + encode_message("na") + encode_message(NOISE)


async def test_what_follows_the_proposal_is_the_next_protocols() -> None:
    dialler, listener = connection_pair()
    await dialler.send([encode_message(HEADER), encode_message(ECHO), b"request"])
    assert await respond(listener, [ECHO]) == ECHO
    assert await listener.read(100) == b"request"


async def test_what_follows_the_echo_is_the_next_protocols() -> None:
    dialler, listener = connection_pair()
    await listener.send([encode_message(HEADER), encode_message(ECHO), b"greeting"])
    assert await select_one(dialler, [ECHO]) == ECHO
    assert await dialler.read(100) == b"greeting"


async def test_a_peer_that_supports_nothing_is_told_apart() -> None:
    dialler, listener = connection_pair()
    await listener.send([encode_message(HEADER), encode_message("na"), encode_message("na")])
    with pytest.raises(ProtocolNotSupportedError):
        await select_one(dialler, [TLS, NOISE])


@pytest.mark.parametrize("sent", range(len(encode_message(HEADER) + encode_message(ECHO))))
async def test_a_peer_that_hangs_up_early_ends_the_negotiation(sent: int) -> None:
    answer = encode_message(HEADER) + encode_message(ECHO)
    dialler, listener = connection_pair()
    listener.hang_up_after = sent
    await listener.send([answer])
    with pytest.raises(MultiselectClientError, match="hung up"):
        await select_one(dialler, [ECHO])

    dialler, listener = connection_pair()
    dialler.hang_up_after = sent
    await dialler.send([answer])
    with pytest.raises(MultiselectError, match="hung up"):
        await respond(listener, [ECHO])


async def test_a_lost_connection_stays_the_connections_error() -> None:
    dialler, listener = connection_pair()
    listener.hang_up_after, listener.reset = 3, True
    await listener.send([encode_message(HEADER)])
    with pytest.raises(RawConnError):
        await select_one(dialler, [ECHO])


async def test_a_length_of_a_gigabyte_is_refused_by_both_sides() -> None:
    dialler, listener = connection_pair()
    await dialler.send([b"\x80\x80\x80\x80\x04"])
    with pytest.raises(NegotiationError):
        await respond(listener, [ECHO])
    await listener.send([b"\x80\x80\x80\x80\x04"])
    with pytest.raises(NegotiationError):
        await select_one(dialler, [ECHO])


@pytest.mark.parametrize("capacity", [None, 0, 1])
async def test_the_deadline_is_the_callers(
    capacity: int | None, autojump_clock: trio.testing.MockClock
) -> None:
    dialler, listener = connection_pair()
    dialler.capacity = capacity
    with trio.move_on_after(15) as scope:
        await select_one(dialler, [ECHO])
    assert scope.cancelled_caught
    dialler, listener = connection_pair()
    listener.capacity = capacity
    with trio.move_on_after(15) as scope:
        await respond(listener, [ECHO])
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(30)


# -- py-libp2p's classes --------------------------------------------------------------------------


def test_multiselect_is_a_registry_in_order() -> None:
    multiselect = Multiselect({ECHO: echo_handler})
    multiselect.add_handler(NOISE, None)
    assert multiselect.get_protocols() == (ECHO, NOISE)
    assert multiselect.handlers == {ECHO: echo_handler, NOISE: None}
    multiselect.remove_handler(ECHO)
    multiselect.remove_handler(ECHO)
    assert multiselect.get_protocols() == (NOISE,)
    assert Multiselect().get_protocols() == ()


@pytest.mark.parametrize("wrapped", [False, True])
async def test_negotiating_finds_the_handler(wrapped: bool) -> None:
    dialler, listener = connection_pair()
    multiselect = Multiselect({ECHO: echo_handler})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            MultiselectClient().select_one_of,
            [TLS, ECHO],
            MultiselectCommunicator(dialler) if wrapped else dialler,
        )
        found = await multiselect.negotiate(
            MultiselectCommunicator(listener) if wrapped else listener
        )
    assert found == (ECHO, echo_handler)


async def test_a_timeout_is_one_for_the_whole_negotiation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    dialler, listener = connection_pair()
    with pytest.raises(MultiselectError, match="within 5 s"):
        await Multiselect({ECHO: None}).negotiate(listener, negotiate_timeout=5)
    with pytest.raises(MultiselectClientError, match="within 7 s"):
        await MultiselectClient().select_one_of([ECHO], dialler, negotiate_timeout=7)
    assert trio.current_time() == pytest.approx(12)


async def test_a_timeout_that_does_not_pass_changes_nothing() -> None:
    dialler, listener = connection_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(MultiselectClient().select_one_of, [ECHO], dialler, 5)
        assert await Multiselect({ECHO: None}).negotiate(listener, 5) == (ECHO, None)


async def test_the_steps_of_a_negotiation_one_by_one() -> None:
    dialler, listener = connection_pair()
    client, communicator = MultiselectClient(), MultiselectCommunicator(dialler)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(respond, listener, [ECHO])
        await client.handshake(communicator)
        with pytest.raises(ProtocolNotSupportedError):
            await client.try_select(communicator, TLS)
        assert await client.try_select(communicator, ECHO) == ECHO
    await listener.write(b"greeting")
    assert await dialler.read(100) == b"greeting"


async def test_the_handshake_alone() -> None:
    dialler, listener = connection_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(MultiselectClient().handshake, MultiselectCommunicator(dialler))
        await Multiselect().handshake(MultiselectCommunicator(listener))
    for one, other in ((dialler, listener), (listener, dialler)):
        await one.write(b"and nothing is left of it")
        assert await other.read(100) == b"and nothing is left of it"


async def test_steps_refuse_what_does_not_belong_there() -> None:
    dialler, listener = connection_pair()
    await listener.send([encode_message("/multistream/2.0.0"), encode_message(NOISE)])
    client, communicator = MultiselectClient(), MultiselectCommunicator(dialler)
    with pytest.raises(MultiselectClientError, match="peer speaks"):
        await client.handshake(communicator)
    with pytest.raises(MultiselectClientError, match="answered"):
        await client.try_select(communicator, ECHO)
    dialler, listener = connection_pair()
    await dialler.send([encode_message("/multistream/2.0.0")])
    with pytest.raises(MultiselectError, match="peer speaks"):
        await Multiselect().handshake(MultiselectCommunicator(listener))


async def test_a_hang_up_between_steps() -> None:
    dialler, listener = connection_pair()
    await dialler.close()
    with pytest.raises(MultiselectError, match="hung up"):
        await Multiselect().handshake(MultiselectCommunicator(listener))
    with pytest.raises(MultiselectClientError, match="closed by this side"):
        await MultiselectClient().handshake(MultiselectCommunicator(dialler))


async def test_a_communicator_never_keeps_a_byte_that_follows_a_message() -> None:
    dialler, listener = connection_pair()
    await dialler.send([encode_message(ECHO), encode_message(NOISE), b"data"])
    communicator = MultiselectCommunicator(listener)
    assert await communicator.read() == ECHO
    assert await communicator.read() == NOISE
    assert await listener.read(10) == b"data"


async def test_a_communicator_reports_what_failed_below() -> None:
    dialler, listener = connection_pair()
    communicator = MultiselectCommunicator(dialler)
    listener.hang_up_after, listener.reset = 2, True
    await listener.send([encode_message(ECHO)])
    with pytest.raises(MultiselectCommunicatorError, match="no message could be read"):
        await communicator.read()
    await dialler.close()
    with pytest.raises(MultiselectCommunicatorError, match="was not sent"):
        await communicator.write(ECHO)


# -- what users bring -----------------------------------------------------------------------------


class PlainStream(ReadWriter):
    """A stream that has nothing but py-libp2p's read and write."""

    def __init__(self, connection: MemoryConnection) -> None:
        self._connection = connection

    async def read(self, n: int | None = None) -> bytes:
        return await self._connection.read(n)

    async def write(self, data: bytes) -> None:
        await self._connection.write(data)


async def test_a_stream_that_only_reads_and_writes_is_never_read_too_far() -> None:
    dialler, listener = connection_pair()
    await dialler.send([encode_message(HEADER), encode_message(ECHO), b"request"])
    communicator = MultiselectCommunicator(PlainStream(listener))
    assert await Multiselect({ECHO: echo_handler}).negotiate(communicator) == (ECHO, echo_handler)
    assert await listener.read(100) == b"request"
    await dialler.close()
    with pytest.raises(MultiselectCommunicatorError, match="hung up"):
        await communicator.read()
    with pytest.raises(LocalProtocolError):
        communicator.channel.unread(b"x")


class QueueCommunicator(IMultiselectCommunicator):
    """A communicator of a user's own; None in the queue is a failure."""

    def __init__(self, incoming: Sequence[str | None]) -> None:
        self.incoming = list(incoming)
        self.written: list[str] = []

    async def read(self) -> str:
        await trio.lowlevel.checkpoint()
        message = self.incoming.pop(0)
        if message is None:
            raise MultiselectCommunicatorError("gone")
        return message

    async def write(self, msg_str: str) -> None:
        await trio.lowlevel.checkpoint()
        self.written.append(msg_str)


async def test_a_communicator_of_the_users_own_negotiates_too() -> None:
    asked = QueueCommunicator([HEADER, TLS, ECHO])
    assert await Multiselect({ECHO: None}).negotiate(asked) == (ECHO, None)
    assert asked.written == [HEADER, "na", ECHO]
    asking = QueueCommunicator([HEADER, "na", ECHO])
    assert await MultiselectClient().select_one_of([TLS, ECHO], asking) == ECHO
    assert asking.written == [HEADER, TLS, ECHO]


async def test_its_failures_are_the_negotiations() -> None:
    with pytest.raises(MultiselectError, match="gone"):
        await Multiselect().negotiate(QueueCommunicator([HEADER, None]))
    with pytest.raises(MultiselectClientError, match="gone"):
        await MultiselectClient().select_one_of([ECHO], QueueCommunicator([None]))
