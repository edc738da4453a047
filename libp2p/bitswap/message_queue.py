"""
py-libp2p's `BitswapMessageQueue`: messages to one peer that a program makes itself.

The engine does not use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import trio

from libp2p.bitswap.common.stream_ends import end_stream, reset_stream
from libp2p.bitswap.config import DEFAULT_PRIORITY, send_deadline
from libp2p.bitswap.wire.entry import BlockPresenceType, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.bitswap.wire.protocols import Dialect
from libp2p.exceptions import BaseLibp2pError
from libp2p.ipld.cid import CID
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.base_types import TProtocol
    from libp2p.bitswap.net.engine import BitswapEngine
    from libp2p.bitswap.net.waiters import SessionState
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID

logger = get_logger(__name__)


class BitswapMessageQueue:
    """
    Made by `BitswapClient.get_or_create_message_queue`.

    Wants and cancels go the way of all others, through the want tracker: so the block that comes is
    stored. Presences and blocks go out as they are, on a stream of their own, together with all
    that is queued until it is open.
    """

    def __init__(self, engine: BitswapEngine, peer_id: ID) -> None:
        self.peer_id = peer_id
        self.host = engine.host
        self.supported_protocols = engine.supported_protocols
        self.negotiated_protocol: TProtocol | None = None
        """The protocol of the latest message of presences and blocks."""
        self._engine = engine
        self._haves: SessionState | None = None
        self._message = Message()
        self._is_writing = False

    def start(self, nursery: trio.Nursery) -> None:
        """Write what is queued; the client's tasks do so anyway."""
        nursery.start_soon(self._write)

    async def stop(self) -> None:
        """Drop what is queued."""
        self._message = Message()
        await trio.lowlevel.checkpoint()

    def add_wants(
        self,
        cids: Iterable[CIDInput],
        want_infos: Mapping[CIDInput, Mapping[str, int]] | None = None,
        full_wantlist: bool = False,
    ) -> None:
        """
        Ask the peer for blocks.

        :param want_infos: a dict for each CID: its ``priority``, its ``want_type``.
        :param full_wantlist: accepted for compatibility; what else is wanted stays wanted.
        :raises ClientClosedError: if the client does not work.
        """
        for given in cids:
            info = (want_infos or {}).get(given, {})
            session = self._engine.session_with(self.peer_id)
            if info.get("want_type", WantType.Block) == WantType.Have:
                session = self._presences()
            priority = info.get("priority", DEFAULT_PRIORITY)
            self._engine.want(session, [CID.of(given)], priority)

    def add_cancels(self, cids: Iterable[CIDInput]) -> None:
        """Take back what was asked of the peer."""
        for key in (CID.of(cid).multihash for cid in cids):
            for session in (self._engine.session_with(self.peer_id), self._presences()):
                self._engine.tracker.unwant(session.id, key)
        self._engine.apply()

    def _presences(self) -> SessionState:
        if self._haves is None:
            self._haves = self._engine.open_session([self.peer_id], presence_only=True)
        return self._haves

    def add_presences(self, presences: Iterable[tuple[CIDInput, bool]]) -> None:
        """Tell the peer of each CID whether the block is here."""
        for cid, is_here in presences:
            kind = BlockPresenceType.Have if is_here else BlockPresenceType.DontHave
            self._message.add_presence(CID.of(cid), kind)
        self._wake()

    def add_blocks_v100(self, blocks: Iterable[bytes]) -> None:
        """Send blocks, named by CIDs of version 0."""
        self.add_blocks_v110((b"", data) for data in blocks)

    def add_blocks_v110(self, blocks: Iterable[tuple[bytes, bytes]]) -> None:
        """
        Send blocks, each with the prefix of its CID.

        :raises InvalidCID: if a prefix is malformed.
        """
        for prefix, data in blocks:
            self._message.add_block(CID.from_prefix_and_data(prefix, data), data)
        self._wake()

    async def flush(self) -> None:
        """
        Write the presences and blocks that are queued.

        :raises BaseLibp2pError: if the peer cannot be reached, or the stream is lost.
        :raises TooSlowError: if it takes too long.
        """
        message, self._message = self._message, Message()
        if not message:
            return
        with trio.fail_after(send_deadline(sum(map(len, message.blocks.values())))):
            stream = await self.host.new_stream(self.peer_id, self.supported_protocols)
            self.negotiated_protocol = stream.get_protocol()
            written = False
            try:
                for frame in message.frames(Dialect.of(self.negotiated_protocol)):
                    await stream.send(frame)
                written = True
            finally:
                if not written:
                    await reset_stream(stream)
        await end_stream(stream)
        self._engine.tracing.sent(self.peer_id, message)

    def _wake(self) -> None:
        if not self._is_writing:
            self._engine.start_task(self._write)

    async def _write(self) -> None:
        if self._is_writing:
            return
        self._is_writing = True
        try:
            while self._message:
                await self.flush()
        except (BaseLibp2pError, trio.TooSlowError) as error:
            logger.debug("messages to %s failed: %s", self.peer_id, error)
        finally:
            self._is_writing = False
