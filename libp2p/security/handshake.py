"""What every handshake's driver does: move bytes between a connection and the handshake's core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from libp2p.exceptions import HandshakeFailure, IOException, LocalProtocolError
from libp2p.io.abc import RawChannel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libp2p.abc import IRawConnection
    from libp2p.base_types import Buffer
    from libp2p.io.abc import Channel

_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)


class HandshakeCore(Protocol[_Result_co]):
    """One side of a handshake, sans-I/O."""

    def start(self) -> bytes:
        """Return what is sent before anything is received."""
        ...

    def receive(self, buffers: Iterable[Buffer]) -> tuple[bytes, _Result_co | None]:
        """Take in bytes; return bytes to send, and the result once there is one."""
        ...

    def take_leftover(self) -> bytes:
        """Remove and return what came after the handshake."""
        ...


async def complete_handshake(channel: Channel, core: HandshakeCore[_Result], name: str) -> _Result:
    """
    Run ``core`` over ``channel`` to its end; what came after the handshake is put back.

    The deadline is the caller's. After an error, or when cancelled, the channel is of no more use.

    :raises HandshakeFailure: what ``core`` raised, or if the connection ended first.
    """
    try:
        if first := core.start():
            await channel.send((first,))
        while buffers := await channel.receive():
            to_send, result = core.receive(buffers)
            if to_send:
                await channel.send((to_send,))
            if result is not None:
                if leftover := core.take_leftover():
                    channel.unread(leftover)
                return result
    except IOException as error:
        raise HandshakeFailure(f"connection lost in the {name} handshake: {error}") from error
    raise HandshakeFailure(f"peer hung up in the {name} handshake")


def batched(conn: IRawConnection) -> RawChannel:
    """
    Return ``conn`` as the kind that moves batches, which a secure session needs.

    :raises LocalProtocolError: if it has only py-libp2p's ``read`` and ``write``.
    """
    if not isinstance(conn, RawChannel):
        raise LocalProtocolError(f"{type(conn).__name__} is no connection of this library")
    return conn
