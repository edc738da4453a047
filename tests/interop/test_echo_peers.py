"""Streams over Noise and yamux to js-libp2p and py-libp2p 0.8.1: every byte comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio

from libp2p.base_types import TProtocol
from libp2p.exceptions import StreamEOF
from tests.support.hosts import running_host

from .bitswap_peer import BitswapPeer, HeliaPeer, UpstreamPeer
from .files import MIB, random_bytes
from .need import need
from .ours import address_of, dial, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libp2p.abc import INetStream

ECHO = TProtocol("/echo/1.0.0")
PEERS = {"js-libp2p": ("helia-peer", HeliaPeer), "py-libp2p 0.8.1": ("py-libp2p", UpstreamPeer)}

sizes = pytest.mark.parametrize("size", [65_536, 256 * 1024, 16 * MIB])
"""Less than a window, a window, and many."""


@pytest.fixture(scope="module", params=PEERS.values(), ids=list(PEERS))
def peer(request: pytest.FixtureRequest) -> Iterator[BitswapPeer]:
    """A peer that serves echo."""
    name, start = cast("tuple[str, type[HeliaPeer] | type[UpstreamPeer]]", request.param)
    need(name)
    with start() as started:
        yield started


async def serve_echo(stream: INetStream) -> None:
    """Send back what comes until the other side closes."""
    try:
        while True:
            await stream.write(await stream.read(65_536))
    except StreamEOF:
        await stream.close()


@sizes
async def test_a_peer_echoes_every_byte(peer: BitswapPeer, size: int) -> None:
    """We dial; writing and reading at once, then its end after ours."""
    data = random_bytes(f"echo {size}", size)
    async with running_host() as host, trio.open_nursery() as nursery:
        stream = await host.new_stream(await dial(host, peer.addr), [ECHO])

        async def write() -> None:
            await stream.write(data)
            await stream.close_write()

        nursery.start_soon(write)
        assert await stream.read() == data


@sizes
async def test_we_echo_every_byte_to_a_peer(peer: BitswapPeer, size: int) -> None:
    """It dials, and compares what comes back."""
    async with running_host() as host:
        host.set_stream_handler(ECHO, serve_echo)
        assert await in_thread(peer.echo, address_of(host), size) == size
