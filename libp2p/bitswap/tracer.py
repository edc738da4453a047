"""
What a program sees of bitswap at work: `BitswapClient` calls its tracer, if it is given one.

The calls are plain ones in the middle of reading and writing: they must be quick and must not
raise. Without a tracer they cost one test each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.bitswap.messages import Message
    from libp2p.bitswap.want_state import Want
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID


class Tracer(Protocol):
    """Is told of every message; it must not change them."""

    def message_received(self, peer_id: ID, message: Message) -> None:
        """A peer has sent a message; its blocks are verified, and not stored yet."""

    def message_sent(self, peer_id: ID, message: Message) -> None:
        """A message has been written to a peer's stream, all of it."""


@runtime_checkable
class BlockTracer(Protocol):
    """A `Tracer` with this method, too, is told where each wanted block came from."""

    def block_received(self, peer_id: ID, cid: CID, size: int, seconds: float) -> None:
        """
        A peer has sent a block that was wanted.

        :param size: its length in bytes.
        :param seconds: how long it had been wanted.
        """


def trace_blocks(
    tracer: Tracer, peer_id: ID, blocks: Sequence[tuple[Want, bytes]], now: float
) -> None:
    """Tell a tracer of blocks that were wanted, if it wants to know."""
    if isinstance(tracer, BlockTracer):
        for want, data in blocks:
            tracer.block_received(peer_id, want.cid, len(data), now - want.wanted_at)
