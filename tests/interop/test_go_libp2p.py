"""Streams to and from go-libp2p over Noise: every byte, every end, a thousand streams."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.custom_types import TProtocol
from libp2p.exceptions import StreamEOF, StreamFailure, StreamReset
from libp2p.host.ping import PingService
from tests.support.hosts import running_host

from .child import ChildError
from .files import MIB, random_bytes
from .go_peer import GoPeer, go_client
from .need import need
from .ours import address_of, dial, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from libp2p.abc import IHost, INetStream

    from .go_peer import Mode

ECHO = TProtocol("/echo/1.0.0")
SINK = TProtocol("/sink/1.0.0")
SOURCE = TProtocol("/source/1.0.0")
BAD = TProtocol("/bad/1.0.0")

SIZES = [0, 1, 65_536, 8 * MIB + 3]
"""The last one is many windows long."""

PATTERN = bytes((i * 7 + (i >> 8)) & 0xFF for i in range(65_536))
"""What the Go programs send, over and over; a shift by any number of bytes shows."""


def pattern(size: int) -> bytes:
    """The first bytes of what the Go side sends."""
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


@pytest.fixture(scope="module")
def go() -> Iterator[GoPeer]:
    """A go-libp2p host that offers TLS before Noise."""
    need("libp2p-peer")
    with GoPeer() as peer:
        yield peer


async def echo(stream: INetStream) -> None:
    while data := await _read_some(stream):
        await stream.write(data)
    await stream.close()


async def sink(stream: INetStream) -> None:
    await stream.write(struct.pack(">Q", len(await stream.read())))
    await stream.close()


async def source(stream: INetStream) -> None:
    (count,) = struct.unpack(">Q", await stream.read(8))
    await stream.write(pattern(count))
    await stream.close()


async def fail(stream: INetStream) -> None:
    await stream.read(1)
    await stream.reset(0x2A)


async def _read_some(stream: INetStream) -> bytes:
    try:
        return await stream.read(65_536)
    except StreamEOF:
        return b""


@asynccontextmanager
async def serving_host() -> AsyncIterator[IHost]:
    """A host of ours with the protocols that the Go client speaks."""
    need("libp2p-peer")
    async with running_host() as host:
        for protocol, handler in ((ECHO, echo), (SINK, sink), (SOURCE, source)):
            host.set_stream_handler(protocol, handler)
        yield host


# -- we dial --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_go_echoes_every_byte(go: GoPeer, size: int) -> None:
    """Writing and reading at once, then its end after ours."""
    data = random_bytes(f"echo {size}", size)
    async with running_host() as host, trio.open_nursery() as nursery:
        stream = await host.new_stream(await dial(host, go.addr), [ECHO])

        async def write() -> None:
            await stream.write(data)
            await stream.close_write()

        nursery.start_soon(write)
        assert await stream.read() == data


@pytest.mark.parametrize("size", SIZES)
async def test_go_counts_and_sends_every_byte(go: GoPeer, size: int) -> None:
    """One direction at a time: its sink confirms the number, its source the contents."""
    async with running_host() as host:
        peer_id = await dial(host, go.addr)
        upload = await host.new_stream(peer_id, [SINK])
        await upload.write(bytes(size))
        await upload.close_write()
        assert await upload.read() == struct.pack(">Q", size)
        download = await host.new_stream(peer_id, [SOURCE])
        await download.write(struct.pack(">Q", size))
        await download.close_write()
        assert await download.read() == pattern(size)


async def test_a_thousand_streams_to_go(go: GoPeer) -> None:
    """All open at once over one connection, all answered."""
    async with running_host() as host:
        peer_id = await dial(host, go.addr)
        answered: list[int] = []
        opened: list[INetStream] = []

        async def ask(number: int) -> None:
            stream = await host.new_stream(peer_id, [ECHO])
            opened.append(stream)
            await stream.write(struct.pack(">Q", number))
            (answer,) = struct.unpack(">Q", await stream.read(8))
            answered.append(answer)
            if len(answered) == 1000:  # only now may any of them end
                for each in opened:
                    await each.close()

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(ask, number)
        assert sorted(answered) == list(range(1000))


async def test_we_ping_go(go: GoPeer) -> None:
    """Ten times on one stream."""
    async with running_host() as host:
        times = await PingService(host).ping_seconds(await dial(host, go.addr), 10)
        assert len(times) == 10
        assert 0 < min(times) < 1


async def test_a_reset_by_go_is_a_reset_here(go: GoPeer) -> None:
    """Its source gives up after three of the eight bytes that it needs."""
    async with running_host() as host:
        stream = await host.new_stream(await dial(host, go.addr), [SOURCE])
        await stream.write(b"123")
        await stream.close_write()
        with pytest.raises(StreamReset) as caught:
            await stream.read()
        assert (caught.value.remote, caught.value.error_code) == (True, 0)


async def test_the_code_of_a_reset_by_go_arrives(go: GoPeer) -> None:
    """go-libp2p answers a negotiation whose messages are too long with 0x1001."""
    async with running_host() as host:
        peer_id = await dial(host, go.addr)
        (connection,) = host.get_network().connections[peer_id]
        stream = await connection.new_stream()
        await stream.write(b"\xff\x7f/multistream/1.0.0\n")
        with pytest.raises(StreamReset) as caught:
            await stream.read()
        assert (caught.value.remote, caught.value.error_code) == (True, 0x1001)


# -- go-libp2p dials ------------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", [1, 5])
@pytest.mark.parametrize("mode", ["echo", "sink", "source"])
async def test_go_moves_bytes_through_us(mode: Mode, parallel: int) -> None:
    """The client checks what comes back, byte by byte and number by number."""
    size = 8 * MIB + 3
    async with serving_host() as host:
        found = await in_thread(
            go_client, mode, address_of(host), size=size, parallel=parallel, timeout=30
        )
        assert found.bytes == size


@pytest.mark.parametrize("write_size", [1, 1_000, 300_000])
async def test_go_writes_in_small_and_large_pieces(write_size: int) -> None:
    """Frames of one byte, of the usual size, and longer than a window."""
    size = 10_000 if write_size == 1 else 3 * MIB
    async with serving_host() as host:
        found = await in_thread(
            go_client, "echo", address_of(host), size=size, write_size=write_size, timeout=30
        )
        assert found.bytes == size


async def test_go_pings_and_opens_a_thousand_streams() -> None:
    """Fifty at once, each with an echo; then one connection after the other."""
    async with serving_host() as host:
        addr = address_of(host)
        assert (await in_thread(go_client, "ping", addr, count=10, timeout=30)).median > 0
        opened = await in_thread(go_client, "open", addr, count=1000, parallel=50, timeout=30)
        assert opened.count == 1000
        assert (await in_thread(go_client, "connect", addr, count=10, timeout=30)).count == 10


async def test_the_code_of_our_reset_arrives_at_go() -> None:
    """A handler that resets with 42 is seen as that."""
    async with serving_host() as host:
        host.set_stream_handler(ECHO, fail)
        with pytest.raises(ChildError, match=r"code: 0x2a"):
            await in_thread(go_client, "echo", address_of(host), size=MIB, timeout=30)


async def test_an_unknown_protocol_is_refused_by_both(go: GoPeer) -> None:
    """The connection is as good as before."""
    async with running_host() as host:
        peer_id = await dial(host, go.addr)
        with pytest.raises(StreamFailure, match=BAD):
            await host.new_stream(peer_id, [BAD])
        with pytest.raises(ChildError, match="protocols not supported"):
            await in_thread(go_client, "echo", address_of(host), timeout=30)
        stream = await host.new_stream(peer_id, [BAD, ECHO])
        assert stream.get_protocol() == ECHO
