"""What TLS has of its own, against go-libp2p: muxers in ALPN, new keys, refusals."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest

from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.security.tls import PROTOCOL_ID, TLSTransport
from libp2p.security.tls import channel as channel_module
from tests.support.hosts import (
    ECHO,
    LOOPBACK,
    echo,
    echoed,
    yamux_of,
)

from .files import MIB, random_bytes
from .go_peer import GoPeer, go_client
from .need import need
from .ours import address_of, dial, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from libp2p.abc import INetStream
    from libp2p.host.basic_host import BasicHost
    from libp2p.network.stream.net_stream import NetStream

YAMUX = "/yamux/1.0.0"
SIZE = 8 * MIB + 3
MUXERS = pytest.mark.parametrize("muxers", [[YAMUX], []], ids=["early muxer", "multistream"])


@pytest.fixture(autouse=True)
def _go_is_there() -> None:
    need("libp2p-peer")


@asynccontextmanager
async def running_host(muxers: Sequence[str]) -> AsyncIterator[BasicHost]:
    """A host of ours that speaks TLS only and offers these muxers within the handshake."""
    key_pair = create_new_key_pair()
    transport = TLSTransport(key_pair, muxers=muxers)
    host = new_host(key_pair=key_pair, sec_opt={PROTOCOL_ID: transport})
    async with host.run([LOOPBACK]):
        yield host


async def open_echo(host: BasicHost, go: GoPeer) -> NetStream:
    return await host.new_stream(await dial(host, go.addr), [ECHO])


def early_muxer(stream: NetStream) -> str | None:
    return yamux_of(stream).secured_conn.early_muxer


@MUXERS
async def test_we_dial_go(muxers: list[str]) -> None:
    data = random_bytes("to go", SIZE)
    with GoPeer(security="tls") as go:
        async with running_host(muxers) as host:
            stream = await open_echo(host, go)
            assert await echoed(stream, data) == data
            assert early_muxer(stream) == (YAMUX if muxers else None)


@MUXERS
async def test_go_dials_us(muxers: list[str]) -> None:
    agreed: list[str | None] = []

    async def note(stream: INetStream) -> None:
        agreed.append(early_muxer(cast("NetStream", stream)))
        await echo(stream)

    async with running_host(muxers) as host:
        host.set_stream_handler(ECHO, note)
        client = partial(go_client, "echo", address_of(host), size=SIZE, security="tls")
        assert (await in_thread(client)).bytes == SIZE
    assert agreed == [YAMUX if muxers else None]


async def test_go_goes_along_when_keys_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MAX_RECORDS_PER_KEY", 50)
    data = random_bytes("many keys", SIZE)
    with GoPeer(security="tls") as go:
        async with running_host([YAMUX]) as host:
            assert await echoed(await open_echo(host, go), data) == data


async def test_another_peer_than_the_dialled_one_is_refused() -> None:
    with GoPeer(security="tls") as go, GoPeer(security="tls") as other:
        wrong = go.addr.replace(go.id, other.id)
        async with running_host([YAMUX]) as host:
            with pytest.raises(BaseLibp2pError, match=f"the peer is {go.id}"):
                await dial(host, wrong)
