"""
What one peer that means harm does to a host, all of it at once, and holds for as long as it is let.

Each part is one function that runs until it is cancelled or hung up on. Nobody opens again what the
host has closed, except for handshakes: these come back a second later.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.bitswap.config import BITSWAP_PROTOCOL_V120, MAX_MESSAGE_SIZE
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.protocol_muxer.negotiation import HEADER, encode_message
from libp2p.security.tls.channel import HANDSHAKE, MAX_PLAINTEXT_BYTES, TlsChannel
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.utils.varint import encode_uvarint
from tests.support.ends import PING, SYN, WINDOW_UPDATE, data_frame, frame
from tests.support.hosts import ECHO, HOLD
from tests.support.raw_dialler import RawDialler, raw_dialler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from libp2p import BasicHost
    from libp2p.base_types import TProtocol
    from libp2p.peer.id import ID

_PIECE: Final = bytes(64 * 1024)

#: A bitswap message of 4 MiB with one block in it, up to where the block begins.
_MESSAGE_START: Final = (
    encode_uvarint(MAX_MESSAGE_SIZE) + b"\x1a" + encode_uvarint(MAX_MESSAGE_SIZE - 5)
)
_MULTISTREAM: Final = encode_message(HEADER)
#: What strangers say before they fall silent.
_HALVES: Final = {
    "silence": b"",
    "half a TLS hello": _MULTISTREAM
    + encode_message("/tls/1.0.0")
    + bytes.fromhex("160301020001 0001fc0303")
    + bytes(20),
    "half a Noise message": _MULTISTREAM + encode_message("/noise") + b"\x00\x20" + bytes(10),
}
#: Tickets of no bytes, which do not exist, and the smallest that do. A client sends neither.
_TICKETS: Final = (b"\x04\x00\x00\x00", b"\x04\x00\x00\x0d" + bytes(13))
_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Plan:
    """
    What one attacker does.

    :param messages: unfinished bitswap messages of 4 MiB.
    :param streams: streams that are opened and then idle.
    :param unread: streams whose window is filled and that nobody reads.
    :param tickets: records full of TLS tickets.
    """

    messages: int = 16
    streams: int = 1000
    unread: int = 8
    tickets: int = 64

    def asdict(self) -> dict[str, Any]:
        return asdict(self)


def opening(stream_id: int, protocol: TProtocol) -> bytes:
    """Open a stream and agree on a protocol without waiting for any answer."""
    proposal = _MULTISTREAM + encode_message(protocol)
    return frame(WINDOW_UPDATE, SYN, stream_id) + data_frame(stream_id, proposal)


def ids(number: int) -> range:
    """Of so many streams of the dialling side."""
    return range(1, 2 * number, 2)


async def unfinished_messages(address: str, plan: Plan, number: int) -> None:
    host = new_host()
    async with host.run(listen_addrs=[]):
        info = info_from_p2p_addr(Multiaddr(address))
        await host.connect(info)
        async with trio.open_nursery() as nursery:
            for _ in range(plan.messages):
                nursery.start_soon(_unfinished_message, host, info.peer_id)


async def _unfinished_message(host: BasicHost, peer_id: ID) -> None:
    with suppress(BaseLibp2pError):
        stream = await host.new_stream(peer_id, [BITSWAP_PROTOCOL_V120])
        await stream.write(_MESSAGE_START)
        left = MAX_MESSAGE_SIZE - len(_MESSAGE_START)
        while left > len(_PIECE):
            await stream.write(_PIECE)
            left -= len(_PIECE)
        await stream.write(_PIECE[: left - 1])
        await stream.read()  # until it is cut off


async def idle_streams(address: str, plan: Plan, number: int) -> None:
    async with _raw(address) as attacker:
        for start in range(0, plan.streams, 100):
            batch = list(ids(plan.streams))[start : start + 100]
            await attacker.send(*(opening(stream_id, ECHO) for stream_id in batch))
        await _drain(attacker)


async def unread_streams(address: str, plan: Plan, number: int) -> None:
    async with _raw(address) as attacker, trio.open_nursery() as nursery:
        nursery.start_soon(_drain, attacker)
        for stream_id in ids(plan.unread):
            agreed = opening(stream_id, HOLD)
            rest = bytes(DEFAULT_WINDOW_SIZE - len(agreed))
            await attacker.send(agreed, data_frame(stream_id, rest))


async def ticket_flood(address: str, plan: Plan, number: int) -> None:
    ticket = _TICKETS[number % len(_TICKETS)]
    content = ticket * (MAX_PLAINTEXT_BYTES // len(ticket)) + bytes((HANDSHAKE,))
    async with _raw(address) as attacker, trio.open_nursery() as nursery:
        nursery.start_soon(_drain, attacker)
        channel = attacker.session._channel
        assert isinstance(channel, TlsChannel)
        for nonce in range(plan.tickets):
            await attacker.session.raw_conn.send([b"".join(channel._send.seal((content,)))])
            await attacker.send(frame(PING, SYN, 0, nonce))


async def _drain(attacker: RawDialler) -> None:
    while await attacker.session.receive():
        pass


def half_open(half: str) -> Callable[[str, Plan, int], Awaitable[None]]:
    async def strange(address: str, plan: Plan, number: int) -> None:
        while True:
            with suppress(OSError):
                await half_opened(address, source_of(number), _HALVES[half])
            await trio.sleep(_AGAIN_SECONDS)

    return strange


def source_of(number: int) -> str:
    """One of many addresses of this machine."""
    return f"127.{1 + number // 200 % 200}.0.{1 + number % 200}"


async def half_opened(address: str, source: str, words: bytes) -> None:
    """Connect from an address, say these words and nothing more, until the host hangs up."""
    port = int(info_from_p2p_addr(Multiaddr(address)).addrs[0].value_for_protocol("tcp"))
    with trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        await sock.bind((source, 0))
        await sock.connect(("127.0.0.1", port))
        if words:
            await sock.send(words)
        while await sock.recv(4096):
            pass


def _raw(address: str) -> AbstractAsyncContextManager[RawDialler]:
    info = info_from_p2p_addr(Multiaddr(address))
    return raw_dialler(info.addrs[0], info.peer_id)


ATTACKS: Final = (
    unfinished_messages,
    idle_streams,
    unread_streams,
    ticket_flood,
    *map(half_open, _HALVES),
)


async def attack(address: str, plan: Plan, number: int) -> None:
    """Do everything at once, until cancelled or cut off everywhere."""

    async def one(part: Callable[[str, Plan, int], Awaitable[None]]) -> None:
        try:
            await part(address, plan, number)
        except* (BaseLibp2pError, OSError):
            pass  # cut off

    async with trio.open_nursery() as nursery:
        for part in ATTACKS:
            nursery.start_soon(one, part)
