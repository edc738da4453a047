"""Streams as programs written on trio use them: its interface, its checks, TLS, fair turns."""

from __future__ import annotations

import ssl
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from libp2p.base_types import TProtocol
from libp2p.exceptions import ConnectionClosedError
from libp2p.network.stream.net_stream import NetStream
from tests.support.certificates import Recipe, p256_key
from tests.support.hosts import connected_hosts, hold
from tests.support.memory_session import joined, stream_between
from tests.support.watched_host import StepWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from libp2p.abc import INetStream

    Pair = tuple[NetStream, NetStream]
    Make = Callable[[], Awaitable[Pair]]

PAIR = TProtocol("/pair/1")
MOST_SECONDS = 0.010
"""How long a task may keep all others from running."""


@asynccontextmanager
async def over_hosts() -> AsyncIterator[Make]:
    """Pairs of streams between two hosts on loopback: the end of the one that opens comes first."""
    accept, accepted = trio.open_memory_channel[NetStream](1)

    async def hand_over(stream: INetStream) -> None:
        assert isinstance(stream, NetStream)
        await accept.send(stream)

    async with connected_hosts() as (a, b):
        b.set_stream_handler(PAIR, hand_over)

        async def make() -> Pair:
            opened = await a.new_stream(b.get_id(), [PAIR])
            await opened.send(())  # takes the proposal along
            return opened, await accepted.receive()

        yield make


@asynccontextmanager
async def in_memory() -> AsyncIterator[Make]:
    """The same over a connection in memory, which never waits for the kernel."""
    async with joined() as (a, b):

        async def make() -> Pair:
            opened, accepted = await stream_between(a, b)
            return NetStream(opened), NetStream(accepted)

        yield make


@pytest.fixture(params=[over_hosts, in_memory], ids=lambda kind: kind.__name__)
async def make_pair(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    async with request.param() as make:
        yield make


async def clog(pair: Pair) -> Pair:
    """Write in both directions until the windows are used up."""
    for stream in pair:
        with trio.move_on_after(0.05) as scope:
            await stream.send_all(bytes(2 * 1024 * 1024))
        assert scope.cancelled_caught
    return pair


@pytest.mark.slow
async def test_streams_pass_trios_checks(make_pair: Make) -> None:
    async def make_clogged() -> Pair:
        return await clog(await make_pair())

    with trio.fail_after(50):
        await trio.testing.check_half_closeable_stream(make_pair, make_clogged)


async def test_a_lost_connection_breaks_a_stream_and_a_deadline_does_not(make_pair: Make) -> None:
    ours, theirs = await make_pair()
    ours.set_deadline(0.01)
    with pytest.raises(TimeoutError):
        await ours.receive_some()
    ours.set_deadline(0)
    await theirs.send_all(b"still here")
    assert await ours.receive_some() == b"still here"
    ours.muxed_conn.abort()
    for call in (ours.receive_some, ours.wait_send_all_might_not_block):
        with pytest.raises(trio.BrokenResourceError):
            await call()
    assert isinstance(ours.muxed_conn.close_cause, ConnectionClosedError)


async def test_a_peer_that_refuses_the_protocol_breaks_the_stream() -> None:
    async with connected_hosts() as (a, b):
        a.get_peerstore().add_protocols(b.get_id(), ["/never/1"])
        stream = await a.new_stream(b.get_id(), [TProtocol("/never/1")])
        await stream.send_all(b"?")
        with pytest.raises(trio.BrokenResourceError, match="/never/1 was not agreed on"):
            await stream.receive_some()


async def test_tls_runs_over_a_stream(make_pair: Make, tmp_path: Path) -> None:
    """Its certificates have nothing to do with the peers' keys: it is one more layer."""
    recipe = Recipe(with_libp2p=False, now=time.time())
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    certificate.write_bytes(recipe.make().public_bytes(Encoding.PEM))
    key.write_bytes(p256_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for_server.load_cert_chain(certificate, key)
    for_client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for_client.load_verify_locations(certificate)
    for_client.check_hostname = False

    ours, theirs = await make_pair()
    client = trio.SSLStream(ours, for_client, https_compatible=False)
    server = trio.SSLStream(theirs, for_server, server_side=True, https_compatible=False)
    data = bytes(range(256)) * 4096

    async def answer() -> None:
        received = b"".join([piece async for piece in server])
        assert received == data
        await server.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await client.send_all(data)
        await client.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await client.send_all(b"more")


@contextmanager
def watched_steps() -> Iterator[StepWatch]:
    """Watch the steps of the loop that are made within the block, in processor time."""
    watch = StepWatch()
    trio.lowlevel.add_instrument(watch)
    watch.before_task_step(trio.lowlevel.current_task())  # the step that is being made
    try:
        yield watch
    finally:
        trio.lowlevel.remove_instrument(watch)
        watch.stop()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 100, 4096, 65_536])
async def test_an_echo_of_a_greedy_reader_keeps_nobody_from_running(
    make_pair: Make, size: int
) -> None:
    """Most calls of such a loop find data and room: it would go on for as long as they do."""
    ours, theirs = await make_pair()
    block = bytes(16 * 1024)
    rounds = {1: 1, 100: 40}.get(size, 400)

    async def echo() -> None:
        with suppress(EOFError):
            while True:
                await theirs.write(await theirs.read(size))
        await theirs.close_write()

    async def write_all() -> None:
        for _ in range(rounds):
            await ours.write(block)
        await ours.close_write()

    with watched_steps() as watch:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo)
            nursery.start_soon(write_all)
            received = 0
            while buffers := await ours.receive():
                received += sum(map(len, buffers))
    assert received == rounds * len(block)
    assert watch.longest < MOST_SECONDS, watch.where


async def test_opening_streams_in_a_row_keeps_nobody_from_running() -> None:
    async with connected_hosts() as (a, b):
        b.set_stream_handler(PAIR, hold)
        a.get_peerstore().add_protocols(b.get_id(), [PAIR])

        async def open_many() -> None:
            for _ in range(900):
                await a.new_stream(b.get_id(), [PAIR])

        with watched_steps() as watch:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(open_many)
    assert watch.longest < MOST_SECONDS, watch.where
