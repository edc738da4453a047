"""Who takes part in a random walk: friends of the host, and a user's code that may raise."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from itertools import count
from random import Random
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Final

import trio
from multiaddr import Multiaddr

from libp2p import BasicHost, new_host
from libp2p.abc import INotifee
from libp2p.base_types import TProtocol
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.peer.peerinfo import PeerInfo
from tests.support.blocks import block
from tests.support.hosts import ECHO, HOLD, LOOPBACK, echo, hold, info_of
from tests.support.identities import ed25519_pair, peer_id_of
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from libp2p.abc import INetStream
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

RAISE: Final = TProtocol("/walk/raise")
ANSWER: Final = TProtocol("/walk/answer")
DROP: Final = TProtocol("/walk/drop")
PROTOCOLS: Final = (ECHO, HOLD, RAISE, ANSWER, DROP)

#: Blocks that every friend has, that the host has, and that nobody has.
THEIRS: Final = [block(number, 3000) for number in range(64)]
OURS: Final = [block(1000 + number, 3000) for number in range(64)]
NOBODYS: Final = [block(2000 + number, 3000)[0] for number in range(16)]
STRANGERS: Final = [f"stranger {number}" for number in range(16)]
#: Nobody listens there.
NOWHERE: Final = Multiaddr("/ip4/127.0.0.1/tcp/9")


class Mine(Exception):
    """Raised by the walk's own code, where a user's code may raise."""

    _numbers = count(1)

    def __init__(self) -> None:
        self.number = next(Mine._numbers)
        super().__init__(f"mine, number {self.number}")


class Log(logging.Handler):
    """Keeps what is logged at ERROR, except for what the walk raised itself, once each."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.unexpected: list[str] = []
        self._seen: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Mine):
            if error.number in self._seen:
                self.unexpected.append(f"logged twice: {record.getMessage()}: {error}")
            self._seen.add(error.number)
            return
        trace = "".join(format_exception(error)) if error is not None else ""
        self.unexpected.append(f"{record.name}: {record.getMessage()}\n{trace}"[:3000])


class Whim:
    """Raises, or not, as it is told; what user code at an edge of the host asks."""

    def __init__(self) -> None:
        self.raises = False

    def act(self) -> None:
        if self.raises:
            raise Mine


class Notifee(INotifee):
    """May raise, may take its time."""

    def __init__(self, rng: Random) -> None:
        self._raises = rng.random() < 0.5
        self._seconds = rng.choice((0.0, 0.0, 0.001, 0.05))

    async def _hear(self) -> None:
        await trio.sleep(self._seconds)
        if self._raises:
            raise Mine

    async def connected(self, network: Any, conn: Any) -> None:
        await self._hear()

    async def disconnected(self, network: Any, conn: Any) -> None:
        await self._hear()

    async def opened_stream(self, network: Any, stream: Any) -> None: ...

    async def closed_stream(self, network: Any, stream: Any) -> None: ...

    async def listen(self, network: Any, multiaddr: Any) -> None:
        await self._hear()

    async def listen_close(self, network: Any, multiaddr: Any) -> None: ...


class Router:
    """Names peers that are unknown, or without an address, or raises."""

    def __init__(self, friends: Sequence[Friend]) -> None:
        self._friends = friends
        self.whim = Whim()

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        return self._find()

    async def _find(self) -> AsyncIterator[PeerInfo]:
        self.whim.act()
        yield PeerInfo(peer_id_of(STRANGERS[0]), [])
        yield PeerInfo(peer_id_of(STRANGERS[1]), [NOWHERE])
        for friend in self._friends[:2]:
            yield friend.info
        self.whim.act()


class Tracer:
    """A tracer of bitswap that may raise."""

    def __init__(self) -> None:
        self.whim = Whim()

    def message_received(self, peer_id: ID, message: object) -> None:
        self.whim.act()

    def message_sent(self, peer_id: ID, message: object) -> None:
        self.whim.act()

    def block_received(self, peer_id: ID, cid: CID, size: int, seconds: float) -> None:
        self.whim.act()


class Friend:
    """A peer that has blocks and answers, until it leaves, politely or not."""

    def __init__(self, number: int) -> None:
        self.host = new_host(key_pair=ed25519_pair(f"friend {number}"))
        self.client = BitswapClient(self.host, MemoryBlockStore())
        self.peer_id: ID = self.host.get_id()
        self.proxy: Proxy
        self.scope = trio.CancelScope()
        self.leave = trio.Event()
        self.info = PeerInfo(self.peer_id, [])

    async def live(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        set_handlers(self.host)
        for cid, data in THEIRS:
            await self.client.block_store.put_block(cid, data)
        with self.scope:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self.host.run([LOOPBACK]))
                nursery = await stack.enter_async_context(trio.open_nursery())
                self.proxy = Proxy(info_of(self.host))
                await nursery.start(self.proxy.run)
                self.info = self.proxy.info
                async with self.client.run():
                    task_status.started()
                    await self.leave.wait()
                nursery.cancel_scope.cancel()


async def answer(stream: INetStream) -> None:
    """Answer until `StreamEOF` comes out, as py-libp2p's handlers do."""
    while True:
        await stream.read(1)
        await stream.write(b"an answer")


async def fail(stream: INetStream) -> None:
    await stream.read(1)
    raise Mine


async def drop(stream: INetStream) -> None:
    """Return, and leave the stream as it is."""


def set_handlers(host: BasicHost) -> None:
    for protocol, handler in zip(PROTOCOLS, (echo, hold, fail, answer, drop), strict=True):
        host.set_stream_handler(protocol, handler)
