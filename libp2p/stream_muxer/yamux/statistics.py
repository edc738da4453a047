"""The statistics of a yamux connection (sans-I/O)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """
    A connection at one moment.

    :param rtt: smoothed round-trip time in seconds; None before the first answer to a ping.
    :param least_rtt: the shortest one so far, by which windows grow; None likewise.
    :param inbound_streams: streams that the peer opened and that are not over.
    :param outbound_streams: streams that this side opened and that are not over.
    :param unacknowledged: streams opened here that the peer has not acknowledged.
    :param unaccepted: streams opened by the peer that the application has not accepted.
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
