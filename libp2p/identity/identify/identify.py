"""Identify: asking a peer who it is and what it speaks, and answering the same question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from libp2p.base_types import TProtocol
from libp2p.exceptions import StreamTimeout
from libp2p.identity.identify.announcement import AGENT_VERSION, PROTOCOL_VERSION, Announcement
from libp2p.identity.identify.exchange import IDENTIFY_TIMEOUT, receive_identity, send_identity
from libp2p.identity.identify.message import PeerIdentity, parse_identify_response
from libp2p.identity.identify.store import store_identity
from libp2p.protocol_muxer.multiselect_client import select_one

if TYPE_CHECKING:
    from libp2p.abc import IHost, INetConn, INetStream, StreamHandlerFn

__all__ = [
    "AGENT_VERSION",
    "ID",
    "IDENTIFY_TIMEOUT",
    "PROTOCOL_VERSION",
    "PeerIdentity",
    "identify",
    "identify_handler_for",
    "parse_identify_response",
]

ID: Final = TProtocol("/ipfs/id/1.0.0")


async def identify(host: IHost, connection: INetConn) -> PeerIdentity:
    """
    Ask the peer at the other end of ``connection`` who it is, and store the answer.

    :raises IdentifyError: if the answer is malformed or not this peer's.
    :raises MultiselectClientError: if the peer does not speak identify.
    :raises StreamError: if the stream fails; a `StreamTimeout` if all is not over in five seconds.
    :raises MuxedConnError: if the connection has ended.
    """
    with trio.move_on_after(IDENTIFY_TIMEOUT):
        identity = await _ask(connection)
        store_identity(host.get_peerstore(), identity)
        return identity
    raise StreamTimeout(f"peer did not identify itself within {IDENTIFY_TIMEOUT:.0f} s")


async def _ask(connection: INetConn) -> PeerIdentity:
    stream = await connection.new_stream()
    answered = False
    try:
        stream.set_protocol(await select_one(stream, [ID]))
        identity = await receive_identity(stream)
        answered = True
    finally:
        if not answered:
            await stream.reset()
    await stream.close()
    return identity


def identify_handler_for(host: IHost, use_varint_format: bool = True) -> StreamHandlerFn:
    """
    Return the handler that answers identify for ``host``.

    :param use_varint_format: False sends one bare message, as old versions of py-libp2p expect it.
    """
    announcement = Announcement(host)

    async def handle_identify(stream: INetStream) -> None:
        if use_varint_format:
            message = announcement.encode(stream.muxed_conn)
        else:
            message = announcement.build(stream.muxed_conn).SerializeToString()
        await send_identity(stream, message)
        await stream.close()

    return handle_identify
