"""
Streams to and from go-libp2p: every byte, every end, a thousand streams.

All of it once over Noise and once over TLS, the only secure channel that either side then has.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, cast

import pytest
import trio

from libp2p.base_types import TProtocol
from libp2p.exceptions import StreamFailure, StreamReset
from libp2p.host.ping import PingService
from tests.support.hosts import ECHO, LOOPBACK, echo, echoed

from .child import ChildError
from .files import MIB, pattern, random_bytes
from .go_peer import GoPeer, go_client
from .need import need
from .ours import address_of, dial, host_with, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from libp2p.abc import IHost, INetStream

    from .go_peer import Measurement, Mode, Security

    GoClient: TypeAlias = Callable[..., Awaitable[Measurement]]

SINK = TProtocol("/sink/1.0.0")
SOURCE = TProtocol("/source/1.0.0")
RESET = TProtocol("/reset/1.0.0")
BAD = TProtocol("/bad/1.0.0")

ALL_AT_ONCE = 1_000
CODES = pytest.mark.parametrize("code", [0x2A, 0xFFFFFFFF])

SIZES = [0, 1, 65_536, 8 * MIB + 3]
"""The last one is many windows long."""


@pytest.fixture(scope="module", params=["noise", "tls"])
def security(request: pytest.FixtureRequest) -> Security:
    """The one secure channel that both sides offer."""
    need("libp2p-peer")
    return cast("Security", request.param)


@pytest.fixture(scope="module")
def go(security: Security) -> Iterator[GoPeer]:
    """A go-libp2p host."""
    with GoPeer(security=security) as peer:
        yield peer


@pytest.fixture
async def host(security: Security) -> AsyncIterator[IHost]:
    """A host of ours with the protocols that the Go client speaks."""
    ours = host_with(security)
    for protocol, handler in ((ECHO, echo), (SINK, sink), (SOURCE, source)):
        ours.set_stream_handler(protocol, handler)
    async with ours.run(listen_addrs=[LOOPBACK]):
        yield ours


@pytest.fixture
def client(host: IHost, security: Security) -> GoClient:
    """Lets a Go host dial ours; called with what `go_client` takes besides."""

    async def run(mode: Mode, **options: int) -> Measurement:
        dialled = partial(go_client, mode, address_of(host), security=security, timeout=30)
        return await in_thread(dialled, **options)

    return run


async def sink(stream: INetStream) -> None:
    await stream.write(struct.pack(">Q", len(await stream.read())))
    await stream.close()


async def source(stream: INetStream) -> None:
    (count,) = struct.unpack(">Q", await stream.read(8))
    await stream.write(pattern(count))
    await stream.close()


# -- we dial --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_go_echoes_every_byte(host: IHost, go: GoPeer, size: int) -> None:
    """Writing and reading at once, then its end after ours."""
    data = random_bytes(f"echo {size}", size)
    stream = await host.new_stream(await dial(host, go.addr), [ECHO])
    assert await echoed(stream, data) == data


@pytest.mark.parametrize("size", SIZES)
async def test_go_counts_and_sends_every_byte(host: IHost, go: GoPeer, size: int) -> None:
    """One direction at a time: its sink confirms the number, its source the contents."""
    peer_id = await dial(host, go.addr)
    upload = await host.new_stream(peer_id, [SINK])
    await upload.write(bytes(size))
    await upload.close_write()
    assert await upload.read() == struct.pack(">Q", size)
    download = await host.new_stream(peer_id, [SOURCE])
    await download.write(struct.pack(">Q", size))
    await download.close_write()
    assert await download.read() == pattern(size)


async def test_a_thousand_streams_to_go_at_once(host: IHost, go: GoPeer) -> None:
    """All are open, and have been answered, before the first one ends."""
    peer_id = await dial(host, go.addr)
    answered: list[int] = []
    all_answered = trio.Event()

    async def ask(number: int) -> None:
        stream = await host.new_stream(peer_id, [ECHO])
        await stream.write(struct.pack(">Q", number))
        (answer,) = struct.unpack(">Q", await stream.read(8))
        answered.append(answer)
        if len(answered) == ALL_AT_ONCE:
            all_answered.set()
        await all_answered.wait()
        await stream.close_write()
        assert await stream.read() == b""

    async with trio.open_nursery() as nursery:
        for number in range(ALL_AT_ONCE):
            nursery.start_soon(ask, number)
    assert sorted(answered) == list(range(ALL_AT_ONCE))


async def test_we_ping_go(host: IHost, go: GoPeer) -> None:
    """Ten times on one stream."""
    times = await PingService(host).ping_microseconds(await dial(host, go.addr), 10)
    assert len(times) == 10
    assert 0 < min(times) < 1e6


async def test_a_reset_by_go_is_a_reset_here(host: IHost, go: GoPeer) -> None:
    """Its source gives up after three of the eight bytes that it needs."""
    stream = await host.new_stream(await dial(host, go.addr), [SOURCE])
    await stream.write(b"123")
    await stream.close_write()
    with pytest.raises(StreamReset) as caught:
        await stream.read()
    assert (caught.value.remote, caught.value.error_code) == (True, 0)


@CODES
async def test_the_code_of_a_reset_by_go_arrives(host: IHost, go: GoPeer, code: int) -> None:
    """Of a stream that we have opened."""
    stream = await host.new_stream(await dial(host, go.addr), [RESET])
    await stream.write(code.to_bytes(4))
    with pytest.raises(StreamReset) as caught:
        await stream.read()
    assert (caught.value.remote, caught.value.error_code) == (True, code)


async def test_the_code_of_go_libp2p_itself_arrives(host: IHost, go: GoPeer) -> None:
    """It answers a negotiation whose messages are too long with 0x1001."""
    peer_id = await dial(host, go.addr)
    (connection,) = host.get_network().connections[peer_id]
    stream = await connection.new_stream()
    await stream.write(b"\xff\x7f/multistream/1.0.0\n")
    with pytest.raises(StreamReset) as caught:
        await stream.read()
    assert (caught.value.remote, caught.value.error_code) == (True, 0x1001)


@CODES
async def test_the_code_of_our_reset_arrives(host: IHost, go: GoPeer, code: int) -> None:
    """Of a stream that we have opened; Go prints the code."""
    stream = await host.new_stream(await dial(host, go.addr), [RESET])
    await stream.write(bytes(4))
    assert await stream.read(1) == bytes(1)
    await stream.reset(code)
    assert await in_thread(go.line) == f"reset {code}"


# -- go-libp2p dials ------------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", [1, 5])
@pytest.mark.parametrize("mode", ["echo", "sink", "source"])
async def test_go_moves_bytes_through_us(client: GoClient, mode: Mode, parallel: int) -> None:
    """The client checks what comes back, byte by byte and number by number."""
    size = 8 * MIB + 3
    assert (await client(mode, size=size, parallel=parallel)).bytes == size


@pytest.mark.parametrize("write_size", [1, 1_000, 300_000])
async def test_go_writes_in_small_and_large_pieces(client: GoClient, write_size: int) -> None:
    """Frames of one byte, of the usual size, and longer than a window."""
    size = 10_000 if write_size == 1 else 3 * MIB
    assert (await client("echo", size=size, write_size=write_size)).bytes == size


async def test_a_thousand_streams_from_go_at_once(host: IHost, client: GoClient) -> None:
    """None is answered before all are open."""
    all_open = trio.Event()
    came: list[INetStream] = []

    async def answer(stream: INetStream) -> None:
        came.append(stream)
        if len(came) == ALL_AT_ONCE:
            all_open.set()
        await all_open.wait()
        await echo(stream)

    host.set_stream_handler(ECHO, answer)
    assert (await client("open", count=ALL_AT_ONCE, parallel=ALL_AT_ONCE)).count == ALL_AT_ONCE


async def test_go_pings_and_comes_back(client: GoClient) -> None:
    """Ten pings; ten connections, one after the other; and as many streams on one as it likes."""
    assert (await client("ping", count=10)).median > 0
    assert (await client("connect", count=10)).count == 10
    assert (await client("open", count=1000, parallel=50)).count == 1000


@CODES
async def test_the_code_of_our_reset_arrives_at_a_client(
    host: IHost, client: GoClient, code: int
) -> None:
    """A handler of ours gives up."""

    async def fail(stream: INetStream) -> None:
        await stream.read(1)
        await stream.reset(code)

    host.set_stream_handler(ECHO, fail)
    with pytest.raises(ChildError, match=rf"code: 0x{code:x}\b"):
        await client("echo", size=MIB)


@CODES
async def test_the_code_of_a_reset_by_a_client_arrives(
    host: IHost, client: GoClient, code: int
) -> None:
    """At a handler of ours that reads."""
    seen: list[tuple[bool, int]] = []

    async def wait_for_reset(stream: INetStream) -> None:
        assert await stream.read(4) == bytes(4)
        await stream.write(bytes(1))
        with pytest.raises(StreamReset) as caught:
            await stream.read()
        seen.append((caught.value.remote, caught.value.error_code))

    host.set_stream_handler(RESET, wait_for_reset)
    await client("reset", code=code)
    assert seen == [(True, code)]


async def test_an_unknown_protocol_is_refused_by_both(
    host: IHost, go: GoPeer, client: GoClient
) -> None:
    """The connection is as good as before."""
    peer_id = await dial(host, go.addr)
    with pytest.raises(StreamFailure, match=BAD):
        await host.new_stream(peer_id, [BAD])
    with pytest.raises(ChildError, match="protocols not supported"):
        await client("reset")
    stream = await host.new_stream(peer_id, [BAD, ECHO])
    assert stream.get_protocol() == ECHO
