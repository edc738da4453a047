"""
A stream of a host, on this side of the bridge.

A trip to trio's thread takes as long as copying a hundred kilobytes. So reading takes all that has
come and keeps what was not asked for, and writing returns while the bytes are still on their way,
as long as they are few.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from outcome import Error

from libp2p.bridge.across import call
from libp2p.exceptions import IncompleteReadError, StreamEOF
from libp2p.io.chunk_queue import ChunkQueue
from libp2p.utils import arguments

if TYPE_CHECKING:
    from outcome import Outcome

    from libp2p.base_types import Buffer
    from libp2p.bridge.side import Side, Signal
    from libp2p.bridge.trio_thread import TrioThread

#: Bytes of one stream that were written here and not yet there, at most; the next write waits.
MAX_UNSENT_BYTES: Final = 1024 * 1024


class StreamEnd:
    """
    This side's end of a `NetStream`, with those of its methods that are not just called over there.

    What fails after a write has returned is raised by the next one, or by `close_write`. `close`
    and `close_write` wait until all that was written is over there; ``reset`` does not.
    """

    def __init__(self, side: Side, thread: TrioThread, stream: Any) -> None:
        self._side = side
        self._thread = thread
        self._stream = stream
        self._received = ChunkQueue()
        self._lock = threading.Lock()  # of the following, which trio's thread changes too
        self._unsent: list[Buffer] = []
        self._unsent_bytes = 0
        self._failure: BaseException | None = None
        self._is_sending = False
        self._waiting: list[Signal] = []

    # -- reading --------------------------------------------------------------------------------

    async def receive(self) -> list[Buffer]:
        """Return what was kept, else all that is there."""
        if len(self._received):
            return self._received.take_all()
        buffers: list[Buffer] = await self._across(self._stream.receive, self._received.extend)
        return buffers

    async def _more(self) -> bool:
        # What has come for a caller who was cancelled is kept for the next one.
        buffers = await self._across(self._stream.receive, self._received.extend)
        self._received.extend(buffers)
        return bool(buffers)

    async def read(self, n: int | None = None) -> bytes:
        """Return 1 to ``n`` bytes, or all up to the end."""
        if n is None or n < 0:
            while await self._more():
                pass
            return self._received.take(len(self._received))
        if n and not len(self._received) and not await self._more():
            raise StreamEOF("the stream has ended")
        return self._received.take(min(n, len(self._received)))

    async def read_exactly(self, n: int) -> bytes:
        """Return exactly ``n`` bytes."""
        arguments.count(n, "n")
        while len(self._received) < n:
            if not await self._more():
                have = len(self._received)
                raise IncompleteReadError(f"the stream has ended after {have} of {n} bytes")
        return self._received.take(n)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return 1 to ``max_bytes`` bytes; none at the end."""
        if not len(self._received):
            receive, keep = self._stream.receive_some, self._received.append
            keep(await self._across(receive, keep))
        most = len(self._received) if max_bytes is None else arguments.count(max_bytes, "max_bytes")
        return self._received.take(min(most, len(self._received)))

    def unread(self, data: Buffer) -> None:
        """Put ``data`` back: it is what the next read returns."""
        self._received.prepend(data)

    # -- writing --------------------------------------------------------------------------------

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """Write ``buffers`` in order; see the class."""
        # The program may change what is not immutable as soon as this returns.
        kept = [part if type(part) is bytes else bytes(arguments.binary(part)) for part in buffers]
        room = None
        with self._lock:
            self._raise_failure()
            self._unsent += kept
            self._unsent_bytes += sum(map(len, kept))
            if not self._is_sending:
                self._is_sending = True
                self._thread.start(self._send_unsent, self._sent)
            if self._unsent_bytes > MAX_UNSENT_BYTES:
                room = self._side.signal()
                self._waiting.append(room)
        if room is not None:
            await room.wait()  # who is cancelled here has written all the same, as in asyncio
            self._raise_failure()

    async def _send_unsent(self) -> None:
        """Send all that is written, in trio's thread, until nothing is left."""
        while True:
            with self._lock:
                buffers, self._unsent = self._unsent, []
                if not buffers:
                    self._is_sending = False
                    return
            await self._stream.send(buffers)
            with self._lock:
                self._unsent_bytes -= sum(map(len, buffers))
                if self._unsent_bytes <= MAX_UNSENT_BYTES // 2:
                    self._wake()

    def _sent(self, result: Outcome[None]) -> None:
        with self._lock:
            if isinstance(result, Error):
                self._failure, self._unsent, self._unsent_bytes = result.error, [], 0
                self._is_sending = False
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for signal in waiting:
            signal.set()

    async def flushed(self) -> None:
        """Wait until all that was written is over there."""
        while True:
            signal = self._side.signal()
            with self._lock:
                if not self._is_sending:
                    break
                self._waiting.append(signal)
            await signal.wait()
        self._raise_failure()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        await self.send((data,))

    async def send_all(self, data: bytes) -> None:
        """Do what `write` does."""
        await self.send((data,))

    async def close_write(self) -> None:
        """Write no more; reading goes on."""
        await self.flushed()
        await self._across(self._stream.close_write)

    async def send_eof(self) -> None:
        """Do what `close_write` does."""
        await self.close_write()

    async def close(self) -> None:
        """Close both directions; what was written is still delivered."""
        await self.flushed()
        await self._across(self._stream.close)

    async def aclose(self) -> None:
        """Do what `close` does."""
        await self.close()

    async def _across(
        self, function: Callable[[], Awaitable[Any]], late: Callable[[Any], object] | None = None
    ) -> Any:
        return await call(self._thread, self._side, function, late)
