"""
What can be asked of a yamux connection and of its streams while they run (sans-I/O).

Most of it is the state itself. Bytes are counted where credit is: what a peer was granted less
what it has left is what it has sent. So the path of the data pays for none of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.stream_state import Half


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """
    A stream at one moment; all sizes are bytes of stream data, without headers.

    :param stream_id: its id on the wire.
    :param outbound: True if this side opened it.
    :param reading: how the direction from the peer stands.
    :param writing: how the direction to the peer stands.
    :param receive_window: the window's size now, 256 KiB to 16 MiB: unread bytes, the peer's
        credit and what has been read but not told to the peer yet.
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


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """
    A connection at one moment.

    :param rtt: smoothed round-trip time in seconds; None before the first answer to a ping.
    :param least_rtt: the shortest one so far, by which windows grow; None likewise.
    :param inbound_streams: streams that the peer opened and that are not over.
    :param outbound_streams: streams that this side opened and that are not over.
    :param unacknowledged: streams opened here that the peer has not acknowledged.
    :param unaccepted: streams opened by the peer that the application has not taken.
    :param streams_opened: by this side, in all.
    :param streams_accepted: by this side, in all.
    :param streams_refused: inbound ones, for lack of room, in all.
    :param bytes_sent: stream data in all, including ``bytes_queued``.
    :param bytes_received: stream data in all, of streams that were known.
    :param bytes_queued: data with its headers that waits to be encrypted and sent.
    :param receive_budget_used: bytes by which the receive windows have grown, taken together.
    :param receive_budget: bytes by which they may grow.
    :param pongs_dropped: pings left unanswered because 32 answers waited for the socket already.
    :param pongs_unsolicited: answers of the peer to pings that it was not sent.
    """

    rtt: float | None
    least_rtt: float | None
    inbound_streams: int
    outbound_streams: int
    unacknowledged: int
    unaccepted: int
    streams_opened: int
    streams_accepted: int
    streams_refused: int
    bytes_sent: int
    bytes_received: int
    bytes_queued: int
    receive_budget_used: int
    receive_budget: int
    pongs_dropped: int
    pongs_unsolicited: int
