"""Both sides of a secure channel's handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import trio

from tests.support.channels import connection_pair

if TYPE_CHECKING:
    from libp2p.abc import IRawConnection
    from libp2p.peer.id import ID

_Session = TypeVar("_Session", covariant=True)
_Made = TypeVar("_Made")


class Secures(Protocol[_Session]):
    """A secure transport, or a choice of them."""

    async def secure_inbound(self, conn: IRawConnection, /) -> _Session: ...

    # Not all of them do without the peer's id.
    async def secure_outbound(self, conn: IRawConnection, peer_id: Any, /) -> _Session: ...


async def shake_hands(
    alice: Secures[_Made],
    bob: Secures[_Made],
    ends: tuple[IRawConnection, IRawConnection] | None = None,
    peer_id: ID | None = None,
) -> tuple[_Made, _Made]:
    """Let ``alice`` dial ``bob``, or ``peer_id``; the session of each."""
    dialler, listener = ends or connection_pair()
    accepted: list[_Made] = []

    async def listen() -> None:
        accepted.append(await bob.secure_inbound(listener))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        dialled = await alice.secure_outbound(dialler, peer_id)
    return dialled, accepted[0]
