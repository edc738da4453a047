"""
Perf: the client uploads, then downloads as much as it asked for at the start.

https://github.com/libp2p/specs/blob/master/perf/perf.md

The answering side is off until `PerfService.start`: any peer can make it send 2^64 bytes.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libp2p.base_types import TProtocol
from libp2p.exceptions import PerfError
from libp2p.io.utils import read_exactly
from libp2p.network.connection.stream_handlers import STREAM_LIMIT_EXCEEDED
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.perf.types import PerfInit, PerfOutput
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IHost, INetStream
    from libp2p.peer.id import ID

PROTOCOL_NAME: Final = "/perf/1.0.0"
WRITE_BLOCK_SIZE: Final = 64 * 1024
#: The client's first bytes: how many it wants back, u64 big-endian.
SIZE_BYTES: Final = 8
#: Seconds between two reports of `PerfService.measure_performance`.
REPORT_INTERVAL: Final = 1.0
#: Streams served at a time: each can keep a whole link busy.
SERVED_STREAMS: Final = 8

logger = get_logger(__name__)


@dataclass(frozen=True)
class PerfResult:
    """What a measurement found."""

    upload_bytes: int
    upload_seconds: float
    """From the first byte written until the peer, having read all, began to answer."""
    download_bytes: int
    download_seconds: float
    """From then to the end of the answer."""

    @property
    def upload_rate(self) -> float:
        """Bytes per second."""
        return self.upload_bytes / self.upload_seconds if self.upload_seconds else 0.0

    @property
    def download_rate(self) -> float:
        """Bytes per second."""
        return self.download_bytes / self.download_seconds if self.download_seconds else 0.0


class PerfService:
    """Measures peers of a host; serves their measurements between `start` and `stop`."""

    def __init__(
        self,
        host: IHost,
        init: PerfInit | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        options = init or PerfInit()
        self._host = host
        self._protocol = TProtocol(options.get("protocol_name", PROTOCOL_NAME))
        self._block = memoryview(bytes(options.get("write_block_size", WRITE_BLOCK_SIZE)))
        if not self._block:
            raise ValueError("blocks need at least one byte")
        self._clock = clock
        self._started = False
        self._served = 0

    # -- the answering side -------------------------------------------------------------------

    async def start(self) -> None:
        """Serve measurements of others from now on."""
        if not self._started:
            self._host.set_stream_handler(self._protocol, self._serve)
            self._started = True

    async def stop(self) -> None:
        """Serve no new measurements; those under way go on."""
        if self._started:
            self._host.remove_stream_handler(self._protocol)
            self._started = False

    def is_started(self) -> bool:
        """Tell whether measurements of others are served."""
        return self._started

    async def _serve(self, stream: INetStream) -> None:
        """
        Read to the end, then send as many bytes as were asked for.

        :raises StreamError: if the stream fails before; nothing is sent then.
        """
        if self._served >= SERVED_STREAMS:
            logger.debug("perf is busy: %s is refused", stream.muxed_conn.peer_id)
            await stream.reset(STREAM_LIMIT_EXCEEDED)
            return
        self._served += 1
        try:
            wanted = int.from_bytes(await read_exactly(stream, SIZE_BYTES), "big")
            while await stream.receive():
                pass
            while wanted:
                size = min(wanted, len(self._block))
                await stream.send((self._block[:size],))
                wanted -= size
            await stream.close()
        finally:
            self._served -= 1

    # -- the asking side ----------------------------------------------------------------------

    async def measure(self, peer_id: ID, send_bytes: int, receive_bytes: int) -> PerfResult:
        """
        Upload ``send_bytes`` to a connected peer, then download ``receive_bytes``.

        :raises StreamFailure: if the peer cannot be reached or does not serve perf.
        :raises StreamError: if the stream fails.
        :raises PerfError: if the peer sends back another number of bytes.
        """
        run = _Run(self._clock, send_bytes, receive_bytes)
        async with aclosing(self._reports(peer_id, run)) as reports:
            async for _ in reports:
                pass
        return run.result()

    async def measure_performance(
        self, multiaddr: Multiaddr, send_bytes: int, recv_bytes: int
    ) -> AsyncIterator[PerfOutput]:
        """
        Connect to a full address and measure; yield a report each second and one on the whole.

        :raises ConnectionFailure: if no connection comes about; else see `measure`.
        """
        info = info_from_p2p_addr(multiaddr)
        await self._host.connect(info)
        run = _Run(self._clock, send_bytes, recv_bytes)
        async with aclosing(self._reports(info.peer_id, run)) as reports:
            async for report in reports:
                yield report
        yield PerfOutput(
            type="final",
            time_seconds=run.ended_at - run.began_at,
            upload_bytes=run.uploaded,
            download_bytes=run.downloaded,
        )

    async def _reports(self, peer_id: ID, run: _Run) -> AsyncGenerator[PerfOutput, None]:
        """Do a run; yield a report each second."""
        async with await self._host.new_stream(peer_id, [self._protocol]) as stream:
            run.begin()
            await stream.write(run.receive_bytes.to_bytes(SIZE_BYTES, "big"))
            while size := min(run.send_bytes - run.uploaded, len(self._block)):
                await stream.send((self._block[:size],))
                if report := run.progress(uploaded=size):
                    yield report
            await stream.close_write()
            while buffers := await stream.receive():
                if report := run.progress(downloaded=sum(map(len, buffers))):
                    yield report
            run.end()


class _Run:
    """The counts and times of one measurement."""

    def __init__(self, clock: Callable[[], float], send_bytes: int, receive_bytes: int) -> None:
        self.send_bytes = arguments.count(send_bytes, "send_bytes")
        most = 2 ** (8 * SIZE_BYTES) - 1
        self.receive_bytes = arguments.count(receive_bytes, "receive_bytes", 0, most)
        self.uploaded = 0
        self.downloaded = 0
        self.began_at = 0.0
        self.ended_at = 0.0
        self._clock = clock
        self._answered_at: float | None = None
        self._reported_at = 0.0
        self._reported = (0, 0)

    def begin(self) -> None:
        self.began_at = self._reported_at = self._clock()

    def progress(self, uploaded: int = 0, downloaded: int = 0) -> PerfOutput | None:
        """
        Count bytes; return a report if one is due.

        :raises PerfError: if that is more than was asked for.
        """
        self.uploaded += uploaded
        self.downloaded += downloaded
        now = self._clock()
        if downloaded and self._answered_at is None:
            self._answered_at = now
        if self.downloaded > self.receive_bytes:
            raise PerfError(f"more than {self.receive_bytes} bytes came back")
        if now - self._reported_at < REPORT_INTERVAL:
            return None
        report = PerfOutput(
            type="intermediary",
            time_seconds=now - self._reported_at,
            upload_bytes=self.uploaded - self._reported[0],
            download_bytes=self.downloaded - self._reported[1],
        )
        self._reported_at, self._reported = now, (self.uploaded, self.downloaded)
        return report

    def end(self) -> None:
        """
        Note that the answer has ended.

        :raises PerfError: if it was too short.
        """
        if self.downloaded != self.receive_bytes:
            raise PerfError(
                f"{self.downloaded} of {self.receive_bytes} bytes came back before the end"
            )
        self.ended_at = self._clock()

    def result(self) -> PerfResult:
        """Return the result, after the end."""
        answered_at = self.ended_at if self._answered_at is None else self._answered_at
        return PerfResult(
            upload_bytes=self.uploaded,
            upload_seconds=answered_at - self.began_at,
            download_bytes=self.downloaded,
            download_seconds=self.ended_at - answered_at,
        )
