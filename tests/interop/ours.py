"""Our side of an interop test: hosts in this process, and Go peers driven from threads."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar, Unpack

import trio

from libp2p import NoiseTransport, TLSTransport, create_new_ed25519_key_pair, new_host
from libp2p.base_types import TProtocol
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.tls.transport import PROTOCOL_ID as TLS_ID
from tests.support.hosts import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from libp2p import BasicHost, HostOptions
    from libp2p.abc import IHost, ISecureTransport
    from libp2p.peer.id import ID

    from .kubo import Security

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Let a Go peer do something while our host goes on; a test that fails does not wait for it."""
    return await trio.to_thread.run_sync(partial(call, *args, **kwargs), abandon_on_cancel=True)


def host_with(security: Security, **options: Unpack[HostOptions]) -> BasicHost:
    """A host with these secure channels; "both" is the default host."""
    if security != "both":
        key_pair = create_new_ed25519_key_pair()
        transport: ISecureTransport = (
            NoiseTransport(key_pair) if security == "noise" else TLSTransport(key_pair)
        )
        protocol = TProtocol(NOISE_ID if security == "noise" else TLS_ID)
        options |= {"key_pair": key_pair, "sec_opt": {protocol: transport}}
    return new_host(**options)


@asynccontextmanager
async def running_bitswap(security: Security = "both") -> AsyncIterator[BitswapClient]:
    """Run a host with bitswap that listens on loopback, its blocks in memory."""
    host = host_with(security)
    client = BitswapClient(host, MemoryBlockStore())
    async with host.run(listen_addrs=[LOOPBACK]), client.run():
        yield client


async def dial(host: IHost, addr: str) -> ID:
    """Connect our host to a Go peer; the peer's id."""
    info = info_from_p2p_addr(addr)
    await host.connect(info)
    return info.peer_id


def address_of(host: IHost) -> str:
    """The address that a Go peer dials."""
    return str(host.get_addrs()[0])
