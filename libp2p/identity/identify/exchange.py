"""Reading an identify message from a stream, under its deadline; shared by identify and push."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from libp2p.exceptions import StreamTimeout
from libp2p.identity.identify.announcement import scope_of_connection
from libp2p.identity.identify.message import IdentifyReader, read_identity

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.identity.identify.message import PeerIdentity

#: Seconds for a whole exchange, as go and js have it: nothing else starts before it is over.
IDENTIFY_TIMEOUT: Final = 5.0


async def receive_identity(stream: INetStream) -> PeerIdentity:
    """
    Read ``stream`` to its end and check what the peer says.

    :raises IdentifyError: if it is malformed or not this peer's.
    :raises StreamError: if the stream fails.
    """
    reader = IdentifyReader()
    while buffers := await stream.receive():
        reader.receive(buffers)
    connection = stream.muxed_conn
    return read_identity(reader.finish(), connection.peer_id, scope_of_connection(connection))


async def send_identity(stream: INetStream, message: bytes) -> None:
    """Write ``message`` and end the writing side: the peer reads until there."""
    with trio.move_on_after(IDENTIFY_TIMEOUT) as scope:
        await stream.send([message])
        await stream.close_write()
    if scope.cancelled_caught:
        raise StreamTimeout("peer did not take the identify message in time")
