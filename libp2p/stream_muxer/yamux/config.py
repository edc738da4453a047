"""What a yamux connection allows, how long it waits, and the reasons."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE, MAX_CREDIT, MAX_WINDOW_SIZE
from libp2p.utils import arguments

#: The specification's advice for both sides: opens that the peer has not acknowledged, and
#: streams that our application has not accepted. Beyond, opening waits and accepting refuses.
MAX_UNACKNOWLEDGED: Final = 256
ACCEPT_BACKLOG: Final = 256
#: go-yamux's default; bounds what one connection can make us hold.
MAX_INBOUND_STREAMS: Final = 1000
#: Pongs waiting to be sent; more mean that the peer floods pings without reading.
MAX_PENDING_PONGS: Final = 32
#: Control frames waiting to be sent. A peer that provokes more without reading them is cut off
#: (CVE-2024-32984). A peer that keeps to 256 unacknowledged opens provokes far fewer. Where so many
#: are this side's own, opening a stream waits.
MAX_PENDING_CONTROL: Final = 4096
#: Streams closed here whose peer has not finished; the oldest is reset when there are more.
MAX_LINGERING: Final = 256
#: Data queued per connection, in bytes, before writers wait: enough for the socket to stay busy
#: while a writer is scheduled, little enough that a short stream is not kept waiting.
MAX_SEND_QUEUE_BYTES: Final = 512 * 1024
#: What each connection may queue, in data and in control frames, when too much waits in all
#: connections of a host: enough for each to go on, and for a peer to open as many streams as it may
#: have unacknowledged.
LEAST_SEND_QUEUE_BYTES: Final = 32 * 1024
LEAST_PENDING_CONTROL: Final = 512
#: Growth of all receive windows of one connection together.
CONNECTION_RECEIVE_BUDGET: Final = 64 * 1024 * 1024
#: The round-trip time is measured when the connection starts and then this often, in seconds.
PING_INTERVAL: Final = 30.0
#: A peer that neither answers a ping nor gives another sign of life for this long is gone.
PING_TIMEOUT: Final = 20.0
#: A peer that takes no bytes for this long, in seconds, while there are some for it is gone. On a
#: link with a long queue, and behind a slow reader, seconds without an acknowledgement are usual.
WRITE_PROGRESS_TIMEOUT: Final = 30.0
#: How long a closing connection waits for a peer that takes nothing of what was written before.
CLOSE_PATIENCE: Final = 2.0
#: How long it waits in all for a peer that goes on taking bytes: if it waited longer, a slow peer
#: could hold up the program.
CLOSE_TIMEOUT: Final = 10.0
#: How long the peer's program has to close too, once its kernel has everything. A socket that is
#: closed with unread input resets the connection, and some kernels then drop what their program has
#: not read.
CLOSE_GRACE: Final = 0.1


@dataclass(frozen=True, slots=True)
class YamuxConfig:
    """
    Limits and times of one connection; sizes are in bytes, times in seconds.

    :param max_window: up to which receive windows grow. All of them begin with 256 KiB.
    :param receive_budget: by how much all receive windows together may grow.
    :param max_unacknowledged: streams opened here that the peer has not acknowledged.
    :param accept_backlog: streams opened by the peer that the application has not accepted.
    :param max_inbound_streams: streams opened by the peer, in all.
    :param max_lingering: streams closed here that the peer has not ended.
    :param max_pending_pongs: answers to pings that wait for the socket.
    :param max_pending_control: control frames that wait for the socket.
    :param max_send_queue: data that waits for the socket; writers wait while there is more.
    :param ping_interval: between two measurements of the round-trip time.
    :param ping_timeout: after which a peer that answers no ping and sends nothing is gone.
    :param write_progress_timeout: after which a peer that reads nothing is gone.
    :param close_patience: how long closing waits for a peer that takes nothing.
    :param close_timeout: how long closing waits for a peer that goes on taking what was written.
    :param close_grace: how long closing waits for the peer's end once it has taken everything.
    :raises ValueError: or `TypeError`, if a value is not possible.
    """

    max_window: int = MAX_WINDOW_SIZE
    receive_budget: int = CONNECTION_RECEIVE_BUDGET
    max_unacknowledged: int = MAX_UNACKNOWLEDGED
    accept_backlog: int = ACCEPT_BACKLOG
    max_inbound_streams: int = MAX_INBOUND_STREAMS
    max_lingering: int = MAX_LINGERING
    max_pending_pongs: int = MAX_PENDING_PONGS
    max_pending_control: int = MAX_PENDING_CONTROL
    max_send_queue: int = MAX_SEND_QUEUE_BYTES
    ping_interval: float = PING_INTERVAL
    ping_timeout: float = PING_TIMEOUT
    write_progress_timeout: float = WRITE_PROGRESS_TIMEOUT
    close_patience: float = CLOSE_PATIENCE
    close_timeout: float = CLOSE_TIMEOUT
    close_grace: float = CLOSE_GRACE

    def __post_init__(self) -> None:
        """Check every field; with smaller values than these a connection could not go on."""
        least_of = {
            "max_window": DEFAULT_WINDOW_SIZE,
            "max_unacknowledged": 1,
            "max_pending_pongs": 1,
            "max_pending_control": LEAST_PENDING_CONTROL,
            "max_send_queue": LEAST_SEND_QUEUE_BYTES,
        }
        arguments.check_numbers(self, most=MAX_CREDIT, least_of=least_of)
        for field in fields(self):
            if isinstance(field.default, float) and not getattr(self, field.name):
                raise arguments.out_of_range(field.name, 0, "more than 0 seconds")


DEFAULT_CONFIG: Final = YamuxConfig()
