"""Our TLS against go-libp2p's, both ways round."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.security.tls import PROTOCOL_ID, TLSTransport
from libp2p.security.tls import channel as channel_module
from tests.support.hosts import LOOPBACK

from .go_peer import GoPeer, go_client
from .need import need
from .ours import address_of, dial, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from libp2p.abc import INetStream
    from libp2p.host.basic_host import BasicHost
    from libp2p.network.stream.net_stream import NetStream

    from .go_peer import Mode

SINK, SOURCE, ECHO = (TProtocol(f"/{name}/1.0.0") for name in ("sink", "source", "echo"))
YAMUX = "/yamux/1.0.0"
SIZE = (8 << 20) + 3
MUXERS = pytest.mark.parametrize("muxers", [[YAMUX], []], ids=["early muxer", "multistream"])


async def sink(stream: INetStream) -> None:
    count = 0
    while pieces := await stream.receive():
        count += sum(map(len, pieces))
    await stream.write(count.to_bytes(8))
    await stream.close()


async def source(stream: INetStream) -> None:
    left = int.from_bytes(await stream.read(8))  # Go sends them in one piece
    while left:
        size = min(left, 1 << 16)
        await stream.write(bytes(size))
        left -= size
    await stream.close()


async def echo(stream: INetStream) -> None:
    while pieces := await stream.receive():
        await stream.send(pieces)
    await stream.close()


@asynccontextmanager
async def running_host(muxers: Sequence[str]) -> AsyncIterator[BasicHost]:
    """A host of ours that speaks TLS only."""
    key_pair = create_new_key_pair()
    transport = TLSTransport(key_pair, muxers=muxers)
    host = new_host(key_pair=key_pair, sec_opt={PROTOCOL_ID: transport})
    for protocol, handler in ((SINK, sink), (SOURCE, source), (ECHO, echo)):
        host.set_stream_handler(protocol, handler)
    async with host.run([LOOPBACK]):
        yield host


async def open_stream(host: BasicHost, go: GoPeer, protocol: TProtocol) -> NetStream:
    return await host.new_stream(await dial(host, go.addr), [protocol])


@MUXERS
async def test_we_dial_go(muxers: list[str]) -> None:
    need("libp2p-peer")
    data = Random(1).randbytes(SIZE)
    with GoPeer(security="tls") as go:
        async with running_host(muxers) as host:
            stream = await open_stream(host, go, SINK)
            await stream.write(data)
            await stream.close_write()
            assert int.from_bytes(await stream.read()) == SIZE

            stream = await open_stream(host, go, SOURCE)
            await stream.write(SIZE.to_bytes(8))
            assert len(await stream.read()) == SIZE

            stream = await open_stream(host, go, ECHO)
            assert await echoed(stream, data) == data
            assert stream.muxed_conn.secured_conn.early_muxer == (YAMUX if muxers else None)


async def echoed(stream: NetStream, data: bytes) -> bytes:
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            await stream.write(data)
            await stream.close_write()

        nursery.start_soon(write)
        return await stream.read()


@MUXERS
@pytest.mark.parametrize("mode", ["sink", "source", "echo"])
async def test_go_dials_us(mode: Mode, muxers: list[str]) -> None:
    need("libp2p-peer")
    async with running_host(muxers) as host:
        done = await in_thread(go_client, mode, address_of(host), size=SIZE, security="tls")
        assert done.bytes == SIZE


async def test_go_goes_along_when_keys_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    need("libp2p-peer")
    monkeypatch.setattr(channel_module, "MAX_RECORDS_PER_KEY", 50)
    data = Random(2).randbytes(SIZE)
    with GoPeer(security="tls") as go:
        async with running_host([YAMUX]) as host:
            assert await echoed(await open_stream(host, go, ECHO), data) == data


async def test_another_peer_than_the_dialled_one_is_refused() -> None:
    need("libp2p-peer")
    with GoPeer(security="tls") as go, GoPeer(security="tls") as other:
        wrong = go.addr.replace(go.id, other.id)
        async with running_host([YAMUX]) as host:
            with pytest.raises(BaseLibp2pError, match=f"the peer is {go.id}"):
                await dial(host, wrong)
