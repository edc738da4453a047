"""Bitswap peers for tests: real clients on fake hosts, and peers that follow a script."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import trio

from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.config import BITSWAP_PROTOCOLS
from libp2p.bitswap.wire.decode import MessageReader
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry
from libp2p.bitswap.wire.message import Message
from libp2p.bitswap.wire.protocols import Dialect
from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import BaseLibp2pError
from tests.support.fake_host import FakeHost, FakeStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from libp2p.abc import IHost
    from libp2p.base_types import TProtocol
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID


@asynccontextmanager
async def running_client(
    nursery: trio.Nursery,
    name: str,
    content: Iterable[tuple[CID, bytes]] = (),
    store: BlockStore | None = None,
    **options: Any,
) -> AsyncIterator[BitswapClient]:
    """A client on a fake host of its own; ``options`` are the client's."""
    store = store or MemoryBlockStore()
    for cid, data in content:
        await store.put_block(cid, data)
    host = cast("IHost", FakeHost(nursery, name))
    client = BitswapClient(host, store, **options)
    async with client.run():
        yield client


def host_of(client: BitswapClient) -> FakeHost:
    return cast("FakeHost", client.host)


class ScriptedPeer:
    """
    A peer that does as Go does on the wire, and otherwise what the test says.

    It never reads a stream that it opened, opens a new one for every message, and keeps those that
    are opened to it until they end.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        name: str,
        protocols: Sequence[TProtocol] = tuple(BITSWAP_PROTOCOLS),
    ) -> None:
        self.host = FakeHost(nursery, name)
        self.messages: list[Message] = []
        self.inbound: list[FakeStream] = []
        self._heard = trio.lowlevel.ParkingLot()
        for protocol in protocols:
            self.host.set_stream_handler(protocol, self.on_stream)

    async def on_stream(self, stream: FakeStream) -> None:
        self.inbound.append(stream)
        reader = MessageReader()
        try:
            while buffers := await stream.receive():
                for message in reader.receive(buffers):
                    self.messages.append(message)
                    await self.on_message(stream, message)
                self._heard.unpark_all()
        except BaseLibp2pError:
            return  # the stream or the connection is lost

    async def on_message(self, stream: FakeStream, message: Message) -> None:
        """Nothing; tests that want an answer override it or use `send`."""

    async def wait_for(self, count: int) -> list[Message]:
        """Wait until ``count`` messages have come."""
        while len(self.messages) < count:
            await self._heard.park()
        return self.messages

    @property
    def entries(self) -> list[Entry]:
        return [entry for message in self.messages for entry in message.entries.values()]

    def wanted(self) -> list[CID]:
        return [entry.cid for entry in self.entries if not entry.cancel]

    async def send(self, peer: ID, message: Message) -> FakeStream:
        """Send a message on a stream of its own, as boxo does."""
        stream = await self.host.new_stream(peer, BITSWAP_PROTOCOLS)
        for frame in message.frames(Dialect.of(stream.get_protocol())):
            await stream.send(frame)
        await stream.close_write()
        return stream


class Provider(ScriptedPeer):
    """A scripted peer that has blocks and answers like a bitswap 1.2 server."""

    def __init__(
        self,
        nursery: trio.Nursery,
        name: str,
        content: dict[CID, bytes],
        *,
        lies: bool = False,
        protocols: Sequence[TProtocol] = tuple(BITSWAP_PROTOCOLS),
    ) -> None:
        super().__init__(nursery, name, protocols)
        self.content = content
        self.lies = lies

    async def on_message(self, stream: FakeStream, message: Message) -> None:
        reply = Message()
        for entry in message.entries.values():
            if entry.cancel:
                continue
            data = self.content.get(entry.cid)
            if data is not None and entry.want_type == 0 and not self.lies:
                reply.add_block(entry.cid, data)
            elif data is not None:
                reply.add_presence(entry.cid, BlockPresenceType.Have)
            elif entry.send_dont_have:
                reply.add_presence(entry.cid, BlockPresenceType.DontHave)
        if reply:
            await self.send(stream.remote_peer_id, reply)
