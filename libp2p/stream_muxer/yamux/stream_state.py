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


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """
    A stream at one moment; all sizes are bytes of stream data, without headers.

    :param stream_id: its id on the wire.
    :param outbound: True if this side opened it.
    :param reading: how the direction from the peer stands.
    :param writing: how the direction to the peer stands.
    :param receive_window: the window's size now, 256 KiB to 16 MiB: unread bytes, the peer's
        credit, and what has been read and not been returned as credit yet.
    :param receive_credit: what the peer may still send.
    :param unread: what has arrived and was not read.
    :param send_credit: what this side may still send.
    :param bytes_sent: in all, including what waits to be sent.
    :param bytes_received: in all, including what was dropped because reading was closed.
    :param window_growths: how often the receive window has doubled, 0 to 6.
    """

    stream_id: int
    outbound: bool
    reading: Half
    writing: Half
    receive_window: int
    receive_credit: int
    unread: int
    send_credit: int
    bytes_sent: int
    bytes_received: int
    window_growths: int


class StreamHandle(Protocol):
    """The driver's side of a stream."""

    def wake_reader(self) -> None:
        """Let a waiting reader look again."""

    def wake_writer(self) -> None:
        """Let a waiting writer look again."""


class StreamState:
    """
    The pure part of a stream. Its `YamuxSession` alone calls what changes it.

    Credit counts the bytes: a peer has sent what it was granted less what it has left. So the path
    of the data does nothing for the statistics.
    """

    __slots__ = (
        "accepted",
        "acknowledged",
        "handle",
        "inbox",
        "is_counted",
        "lost_to",
        "outbound",
        "peer_finished",
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
        #: What is in the inbox counts for the host's budget.
        self.is_counted = True
        self.receive_window = receive_window
        #: Bytes that this side may still send.
        self.send_credit = DEFAULT_WINDOW_SIZE
        #: Bytes that this side was ever allowed to send.
        self.send_granted = DEFAULT_WINDOW_SIZE
        #: Outbound: the peer's ACK has been received. Inbound: ours has been queued.
        self.acknowledged = False
        #: Inbound: the application has accepted the stream. Outbound streams begin accepted.
        self.accepted = outbound
        #: The driver's object for this stream; only the driver uses it, the session never does.
        self.handle: StreamHandle | None = None
        #: The peer has sent FIN or RST.
        self.peer_finished = False
        self.reset_code = 0
        self.reset_remotely = False
        #: What ended the whole connection, if the stream ended with the connection.
        self.lost_to: BaseException | None = None

    def attach(self, handle: StreamHandle) -> None:
        """Set the driver's side of this stream."""
        self.handle = handle

    def detach(self) -> StreamHandle | None:
        """
        Forget the driver's side and return it: no event of this stream follows.

        The stream and its handle refer to each other. If they still did at the end, unread bytes
        would stay in memory until the next garbage collection.
        """
        handle, self.handle = self.handle, None
        return handle

    @property
    def finished(self) -> bool:
        """True if neither side will send anything more."""
        return self.peer_finished and self.writing is not OPEN

    def accept(self) -> bool:
        """Note that the application accepts the stream; return False if it had before."""
        was_accepted, self.accepted = self.accepted, True
        return not was_accepted

    def acknowledge(self) -> bool:
        """Note the ACK of the side that did not open the stream; return False the second time."""
        was_acknowledged, self.acknowledged = self.acknowledged, True
        return not was_acknowledged

    def stop_counting(self) -> bool:
        """Count the inbox's bytes no longer; return False if they did not count before."""
        was_counted, self.is_counted = self.is_counted, False
        return was_counted

    def charge(self, size: int) -> None:
        """Use ``size`` bytes of the credit for sending."""
        self.send_credit -= size

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
        """Return the error for using ``half``, which is not OPEN."""
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

    def close_write(self) -> None:
        """Write no more; writing was OPEN."""
        self.writing = Half.CLOSED

    def close_read(self) -> None:
        """Read no more, and drop what is unread; reading was OPEN or EOF."""
        self.reading = Half.CLOSED
        self.inbox.clear()

    def finish(self) -> bool:
        """Note the peer's FIN; return True if a reader has to learn of it."""
        self.peer_finished = True
        if self.reading is not OPEN:
            return False
        self.reading = Half.EOF
        return True

    def reset(self, code: int, remote: bool) -> None:
        """
        Abort the halves that are still open; the first code to do so stays.

        Unread data is dropped. But if the peer has sent FIN before its reset, the reset is about
        the other direction, and unread data stays.
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
        """Note that the connection is gone: received data can be read, then reads raise."""
        self._end_halves((OPEN,))
        self.lost_to = cause

    def _end_halves(self, reading: tuple[Half, ...]) -> None:
        if self.reading in reading:
            self.reading = Half.RESET
        if self.writing is OPEN:
            self.writing = Half.RESET
        self.peer_finished = True
