"""Times and limits of a DHT, and their defaults; `routing_table` and the stores have their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libp2p.utils import arguments

#: Seconds for one request: connecting, sending it, and its answer. A mute peer takes all of them.
REQUEST_SECONDS: Final = 10.0
#: Seconds after which a lookup asks another peer in place of one that has not answered: a dial to
#: the other side of the world, the handshake and one question take a second.
SLOW_SECONDS: Final = 3.0
#: Seconds for a whole lookup. On the public network most lookups take some seconds, and after a
#: minute a lookup finds nothing more.
QUERY_SECONDS: Final = 60.0
#: Seconds for sending one record to one peer that a lookup has found, connecting included.
STORE_SECONDS: Final = 30.0

#: Requests under way, of all lookups together: each may be a dial with its handshake.
MAX_REQUESTS: Final = 256
#: Bytes of incomplete answers of all peers. An answer has 4 MiB at most, and usually 4 KiB.
MAX_UNFINISHED_ANSWERS: Final = 32 * 1024 * 1024
#: Streams to all peers that are kept for the next request; the longest unused one is closed first.
MAX_KEPT_STREAMS: Final = 128
#: Seconds for which an idle stream is kept: go-libp2p closes one after a minute without a request.
KEPT_STREAM_SECONDS: Final = 45.0

#: Lookups of one DHT at the same time: each holds up to ten requests, and what was found.
MAX_LOOKUPS: Final = 256
#: Addresses of one peer that are dialled of those that an answer names.
MAX_DIALLED_ADDRESSES: Final = 32
#: Addresses of one peer that are read of an answer.
MAX_READ_ADDRESSES: Final = 64
#: Results that end a search, whether its caller has taken them or not. A popular block has more
#: providers than anybody will ask.
MAX_FOUND: Final = 1000
#: Providers that one peer's answer adds to a search. If there were no limit, one liar could fill
#: the search with peers that do not exist, and so end it before an honest peer has answered.
MAX_FOUND_OF_ONE: Final = 40
#: Values of one search, each better than the one before: usually there is one, and two while an
#: update spreads.
MAX_BETTER_VALUES: Final = 32

#: Streams that all peers have opened to ask. A stream costs about a kilobyte and no task. With one
#: more, the stream that has been idle longest is reset.
MAX_SERVED_STREAMS: Final = 4096
#: Streams that one peer has opened to ask. go-libp2p uses one, py-libp2p one for each request.
MAX_SERVED_STREAMS_PER_PEER: Final = 64
#: Seconds without a request after which a stream is closed, as by go-libp2p.
SERVED_STREAM_IDLE_SECONDS: Final = 60.0
#: Bytes of incomplete requests of all peers.
MAX_UNFINISHED_REQUESTS: Final = 16 * 1024 * 1024
#: Streams that have a task for a while, because their peer asks faster than it reads the answers,
#: or asks many things at once. A further such stream is reset.
MAX_SLOW_STREAMS: Final = 256
#: Requests that are answered where they arrive, in the connection's read loop: half a millisecond.
ANSWERS_NOW: Final = 4
#: Bytes that are read of a stream at once; a slow stream holds requests of up to so many bytes.
READ_AT_ONCE: Final = 64 * 1024
#: Seconds in which a peer has to take an answer.
ANSWER_SECONDS: Final = 30.0

#: Seconds between two rounds that fill a small table from connected peers and look for stale ones.
UPKEEP_SECONDS: Final = 120.0
#: Pings of stale peers at the same time.
MAX_PINGS: Final = 16

#: Seconds after the first change of a stored record, when all changes since are written together.
PERSIST_SECONDS: Final = 1.0

#: Provider records in one write (go-libp2p's number).
PROVIDER_BATCH: Final = 256


@dataclass(frozen=True)
class DHTConfig:
    """
    The settings of a DHT; times are in seconds.

    :param k: how many peers keep a record, and how many an answer names.
    :param alpha: requests of one lookup at the same time.
    :param beta: how many of the closest peers must have answered before the rest are asked at once.
    :param disjoint_paths: against liars, a lookup begins as so many searches that share no peer.
    :param request_seconds: the time of one request, connecting included.
    :param slow_seconds: the time after which a lookup asks another peer besides a silent one.
    :param query_seconds: the time of a whole lookup.
    :param store_seconds: the time of sending one record to one peer.
    :param upkeep_seconds: the time between two looks at the routing table.
    :param max_requests: requests of all lookups at the same time.
    :param max_lookups: lookups at the same time.
    :param max_served_streams: inbound streams of all peers.
    :param max_served_streams_per_peer: inbound streams of one peer.
    :param served_idle_seconds: the time after which an idle inbound stream is closed.
    :raises ValueError: or `TypeError`, if a value is not possible.
    """

    k: int = 20
    alpha: int = 10
    beta: int = 3
    disjoint_paths: int = 1
    request_seconds: float = REQUEST_SECONDS
    slow_seconds: float = SLOW_SECONDS
    query_seconds: float = QUERY_SECONDS
    store_seconds: float = STORE_SECONDS
    upkeep_seconds: float = UPKEEP_SECONDS
    max_requests: int = MAX_REQUESTS
    max_lookups: int = MAX_LOOKUPS
    max_served_streams: int = MAX_SERVED_STREAMS
    max_served_streams_per_peer: int = MAX_SERVED_STREAMS_PER_PEER
    served_idle_seconds: float = SERVED_STREAM_IDLE_SECONDS

    def __post_init__(self) -> None:
        """Check every field."""
        arguments.check_numbers(self, least=1)


DEFAULT_DHT_CONFIG: Final = DHTConfig()
