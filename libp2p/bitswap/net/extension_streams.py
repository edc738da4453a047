"""The streams of extensions, which are protocols that a program adds to bitswap."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import trio

from libp2p.bitswap.wire.decode import MessageReader, decode
from libp2p.exceptions import MsgioException, ParseError, StreamError
from libp2p.hostile_input import refused_as
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.base_types import Buffer
    from libp2p.bitswap.net.engine import BitswapEngine
    from libp2p.bitswap.pb.bitswap_pb2 import Message as ProtoMessage
    from libp2p.peer.id import ID

logger = get_logger(__name__)


class Extension(Protocol):
    """Gets the messages of its protocol first; users derive theirs from `IBitswapExtension`."""

    def set_client(self, client: Any) -> None:
        """Take the `BitswapClient` that this extension belongs to."""

    async def process_message(self, peer_id: ID, msg_bytes: bytes, stream: INetStream) -> bool:
        """Take an undecoded message; return True if the client must not act on the message."""

    async def process_wantlist(
        self, wantlist: ProtoMessage.Wantlist, peer_id: ID, stream: INetStream
    ) -> bool:
        """Take the wantlist of a message; return True if the client must not answer the wants."""


class ExtensionStreams:
    """The handler of an extension's protocol, which serves its streams while the client works."""

    def __init__(self, engine: BitswapEngine, extension: Extension) -> None:
        self._engine = engine
        self._extension = extension

    async def __call__(self, stream: INetStream) -> None:
        """Serve a stream until the stream or the client ends."""
        if not self._engine.is_running:
            await stream.reset()
            return
        done = trio.Event()
        self._engine.start_task(self._serve_until, stream, done)
        await done.wait()

    async def _serve_until(self, stream: INetStream, done: trio.Event) -> None:
        whole = False
        try:
            whole = await self._serve(stream)
        finally:
            if not whole:
                with trio.CancelScope(shield=True):
                    await stream.reset()  # never waits
            done.set()

    async def _serve(self, stream: INetStream) -> bool:
        """
        Read a stream until it ends; return False if it has to be reset.

        The bytes of an unfinished message count in the budget of all unfinished messages. A stream
        with an unfinished message is given up after `BitswapConfig.unfinished_seconds` without any
        bytes.
        """
        reader = MessageReader()
        unfinished = self._engine.receiver.unfinished

        def cut() -> None:
            held.release(held.held)
            cut_off.cancel()

        try:
            with (
                trio.CancelScope() as cut_off,
                unfinished.open(str(stream.muxed_conn.peer_id), cut=cut) as held,
            ):
                while buffers := await self._receive(stream, reader):
                    frames = reader.receive_frames(buffers)
                    held.hold(reader.buffered - held.held)
                    for frame in frames:
                        await self._process(b"".join(frame), stream)
                return True
            logger.debug("%r holds too much of unfinished messages", stream)
        except trio.TooSlowError:
            logger.debug("%r does not finish a message", stream)
        except (StreamError, ParseError, MsgioException) as error:
            logger.debug("%r: %s", stream, error)
        except Exception as error:  # noqa: BLE001 - task's edge: an extension of the user's
            self._engine.faults.note("an extension", error)
        return False

    async def _process(self, raw: bytes, stream: INetStream) -> None:
        from libp2p.bitswap.pb.bitswap_pb2 import Message as ProtoMessage

        peer_id = stream.muxed_conn.peer_id
        if await self._extension.process_message(peer_id, raw, stream):
            return
        message = decode([raw])
        if message.entries:
            with refused_as(ParseError, "a bitswap message"):
                wantlist = ProtoMessage.FromString(raw).wantlist
            if await self._extension.process_wantlist(wantlist, peer_id, stream):
                message.entries.clear()
                message.full = False
        self._engine.ensure_link(peer_id)
        await self._engine.handler.receive(peer_id, [message])

    async def _receive(self, stream: INetStream, reader: MessageReader) -> list[Buffer]:
        seconds = inf if reader.at_boundary else self._engine.config.unfinished_seconds
        with trio.fail_after(seconds):
            return await stream.receive()
