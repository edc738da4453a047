"""
What one yamux stream is (sans-I/O): two independent halves, an inbox, two windows.

The reading half and the writing half end separately::

    reading:  OPEN --FIN received--> EOF          writing:  OPEN --FIN sent--> CLOSED
              OPEN --closed here---> CLOSED                 OPEN --RST-------> RESET
              OPEN --RST-----------> RESET
              EOF  --closed here---> CLOSED
              EOF  --RST sent------> RESET

A stream is finished, and leaves its session's table, when the peer will send nothing more (EOF or
RESET) and neither shall we. Which frames cause which transition is `session`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

from libp2p.exceptions import MuxedStreamClosed, MuxedStreamError, MuxedStreamReset
from libp2p.io.chunk_queue import ChunkQueue
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE, add_credit
from libp2p.stream_muxer.yamux.statistics import StreamStatistics

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.flow_control import ReceiveWindow


class Half(Enum):
    """How one direction of a stream stands."""

    OPEN = auto()
    EOF = auto()  # reading only: the peer sent FIN; what is in the inbox can still be read
    CLOSED = auto()  # closed by this side
    RESET = auto()


#: Most is asked of open streams; looked up in its enum, a member takes five times as long.
OPEN: Final = Half.OPEN


@dataclass(slots=True)
class StreamReadable:
    """Something changed for a reader: data after none, the end, or a reset."""

    stream: StreamState


class StreamHandle(Protocol):
    """The driver's side of a stream."""

    def wake_reader(self) -> None:
        """Let a waiting reader look again."""

    def wake_writer(self) -> None:
        """Let a waiting writer look again."""


class StreamState:
    """The pure part of a stream; changed by its `YamuxSession` alone."""

    __slots__ = (
        "accepted",
        "acknowledged",
        "handle",
        "inbox",
        "is_counted",
        "lost_to",
        "outbound",
        "peer_finished",
        "readable",
        "reading",
        "receive_window",
        "reset_code",
        "reset_remotely",
        "send_credit",
        "send_granted",
        "stream_id",
        "writing",
    )

    def __init__(self, stream_id: int, outbound: bool, receive_window: ReceiveWindow) -> None:
        self.stream_id = stream_id
        self.outbound = outbound
        self.reading = OPEN
        self.writing = OPEN
        self.inbox = ChunkQueue()
        #: What is in the inbox counts for the host's budget; changed by `Holdings` alone.
        self.is_counted = True
        self.receive_window = receive_window
        #: Bytes that this side may still send.
        self.send_credit = DEFAULT_WINDOW_SIZE
        #: All that it was ever allowed to send.
        self.send_granted = DEFAULT_WINDOW_SIZE
        #: Outbound: the peer's ACK has come. Inbound: ours has been queued.
        self.acknowledged = False
        #: Inbound: the application has taken the stream. Outbound streams begin accepted.
        self.accepted = outbound
        #: The most frequent event; made once. The session drops it with the stream: it refers back,
        #: and would keep unread bytes until a garbage collection.
        self.readable = StreamReadable(self)
        #: Whom the driver wakes for this stream; the core never touches it.
        self.handle: StreamHandle | None = None
        #: The peer has sent FIN or RST.
        self.peer_finished = False
        self.reset_code = 0
        self.reset_remotely = False
        #: What ended the whole connection, if that is what ended the stream.
        self.lost_to: BaseException | None = None

    @property
    def finished(self) -> bool:
        """True if neither side will send anything more."""
        return self.peer_finished and self.writing is not OPEN

    def grant(self, delta: int) -> None:
        """
        Take in credit from the peer.

        :raises RemoteProtocolError: if it adds up to more than 32 bits.
        """
        self.send_credit = add_credit(self.send_credit, delta)
        self.send_granted += delta

    def statistics(self) -> StreamStatistics:
        """Return how the stream stands."""
        window = self.receive_window
        return StreamStatistics(
            stream_id=self.stream_id,
            outbound=self.outbound,
            reading=self.reading,
            writing=self.writing,
            receive_window=window.size,
            receive_credit=window.credit,
            unread=len(self.inbox),
            send_credit=self.send_credit,
            bytes_sent=self.send_granted - self.send_credit,
            bytes_received=window.received,
            window_growths=window.growths,
        )

    def error(self, half: Half) -> MuxedStreamError:
        """Return the error that a caller gets who uses ``half`` although it is not OPEN."""
        if half is not Half.RESET:
            return MuxedStreamClosed(f"stream {self.stream_id} is closed")
        if self.lost_to is not None:
            lost = MuxedStreamReset(
                f"stream {self.stream_id} ended with its connection: {self.lost_to}"
            )
            lost.__cause__ = self.lost_to
            return lost
        who = "the peer" if self.reset_remotely else "this side"
        return MuxedStreamReset(
            f"stream {self.stream_id} was reset by {who}", self.reset_code, self.reset_remotely
        )

    def reset(self, code: int, remote: bool) -> None:
        """
        Abort the halves that are still open; the first code to do so is the one that is told.

        What is unread is dropped, unless the peer had finished it: its reset then concerns the
        other direction.
        """
        if Half.RESET not in (self.reading, self.writing):
            self.reset_code = code
            self.reset_remotely = remote
        if self.reading is Half.EOF and remote:
            self._end_halves(())
        else:
            self.inbox.clear()
            self._end_halves((OPEN, Half.EOF))

    def lose(self, cause: BaseException) -> None:
        """The connection is gone. What had arrived can still be read, then comes the error."""
        self._end_halves((OPEN,))
        self.lost_to = cause

    def _end_halves(self, reading: tuple[Half, ...]) -> None:
        if self.reading in reading:
            self.reading = Half.RESET
        if self.writing is OPEN:
            self.writing = Half.RESET
        self.peer_finished = True
