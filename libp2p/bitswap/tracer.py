"""
What a program sees of bitswap at work: `BitswapClient` calls its tracer, if it is given one.

The calls are plain ones in the middle of reading and writing: they must be quick. What they raise
is logged and changes nothing. Without a tracer they cost one test each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from libp2p.bitswap.wire.entry import BlockPresenceType
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.bitswap.want.state import Want
    from libp2p.bitswap.wire.message import Message
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID
    from libp2p.utils.fault_log import FaultLog

logger = get_logger(__name__)


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


class _Counts:
    """What is in a message, in numbers, counted when the line is written."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def __str__(self) -> str:
        message = self._message
        entries = message.entries.values()
        cancels = sum(entry.cancel for entry in entries)
        size = sum(map(len, message.blocks.values()))
        has = sum(kind is BlockPresenceType.Have for kind in message.presences.values())
        counts = (
            (len(entries) - cancels, "wants"),
            (cancels, "cancels"),
            (len(message.blocks), f"blocks of {size} bytes"),
            (has, "times HAVE"),
            (len(message.presences) - has, "times DONT_HAVE"),
        )
        return ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing"


class Tracing:
    """The calls of a client's tracer, for the parts of the client."""

    def __init__(self, faults: FaultLog) -> None:
        self._faults = faults
        self.tracer: Tracer | None = None

    def set_tracer(self, tracer: Tracer | None) -> None:
        """Tell another tracer from now on, or none."""
        self.tracer = tracer

    def received(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Peers have sent messages."""
        if logger.isEnabledFor(logging.DEBUG):
            for message in messages:
                logger.debug("from %s: %s", peer_id, _Counts(message))
        if self.tracer is not None:
            for message in messages:
                self._call(self.tracer.message_received, peer_id, message)

    def sent(self, peer_id: ID, message: Message) -> None:
        """A message has been written."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("to %s: %s", peer_id, _Counts(message))
        if self.tracer is not None:
            self._call(self.tracer.message_sent, peer_id, message)

    def blocks(self, peer_id: ID, blocks: Sequence[tuple[Want, bytes]], now: float) -> None:
        """Blocks have come that were wanted."""
        tracer: object = self.tracer
        if tracer is not None and isinstance(tracer, BlockTracer):
            for want, data in blocks:
                seconds = now - want.wanted_at
                self._call(tracer.block_received, peer_id, want.cid, len(data), seconds)

    def _call(self, tell: Callable[..., object], *args: object) -> None:
        try:
            tell(*args)
        except Exception as error:  # noqa: BLE001 - task's edge: a tracer of the user's may raise anything
            self._faults.note("the tracer", error)
