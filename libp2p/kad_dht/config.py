"""Times and limits of a DHT, and their defaults; `routing_table` and the stores have their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libp2p.utils import arguments

#: One request: connecting, sending it, and its answer. A mute peer costs a lookup so long.
REQUEST_SECONDS: Final = 10.0
#: After so long a lookup asks another peer in place of one that has not answered: a dial over half
#: the world, its handshake and one question take a second.
SLOW_SECONDS: Final = 3.0
#: A whole lookup. On the public network most take some seconds; after a minute what was found is
#: all that will be.
QUERY_SECONDS: Final = 60.0
#: Sending one record to one peer of those found by a lookup, connecting included.
STORE_SECONDS: Final = 30.0

#: Requests under way, of all lookups together: each may be a dial with its handshake.
MAX_REQUESTS: Final = 256
#: Bytes of answers of all peers that have not come whole. An answer has 4 MiB at most; the usual
#: one has 4 KiB.
MAX_UNFINISHED_ANSWERS: Final = 32 * 1024 * 1024
#: Streams that are kept for the next request, of all peers; the one not used for longest is closed.
MAX_KEPT_STREAMS: Final = 128
#: go-libp2p closes a stream on which nothing was asked for a minute, so ours are used for less.
KEPT_STREAM_SECONDS: Final = 45.0

#: Lookups of one DHT at the same time: each holds up to ten requests, and what was found.
MAX_LOOKUPS: Final = 256
#: Addresses of one peer that are dialled of those that an answer names.
MAX_DIALLED_ADDRESSES: Final = 32
#: Addresses of one peer that are read of an answer.
MAX_READ_ADDRESSES: Final = 64
#: Results of one search: it ends with so many, whether its caller has taken them or not. A popular
#: block has more providers than anybody will ask.
MAX_FOUND: Final = 1000
#: Providers that one peer's answer adds to a search. Else a single liar would fill it with peers
#: that do not exist, and end it before an honest peer has answered.
MAX_FOUND_OF_ONE: Final = 40
#: Values of one search, each better than the one before: usually one, two while an update
#: spreads.
MAX_BETTER_VALUES: Final = 32

#: Streams that peers have opened to ask, of all peers. One costs about a kilobyte and no task;
#: beyond, the one on which nothing was asked for longest is reset.
MAX_SERVED_STREAMS: Final = 4096
#: The same of one peer. go-libp2p uses one, py-libp2p one for each request.
MAX_SERVED_STREAMS_PER_PEER: Final = 64
#: A stream on which nothing is asked for so long is closed, as by go-libp2p.
SERVED_STREAM_IDLE_SECONDS: Final = 60.0
#: Bytes of requests of all peers that have not come whole.
MAX_UNFINISHED_REQUESTS: Final = 16 * 1024 * 1024
#: Streams that have a task for a while: their peer asks faster than it reads the answers, or many
#: things at once. Beyond, such a stream is reset.
MAX_SLOW_STREAMS: Final = 256
#: Requests that are answered where they arrive, in the connection's read loop: half a millisecond.
ANSWERS_NOW: Final = 4
#: Bytes that are read of a stream at once; a slow stream holds the requests in so many.
READ_AT_ONCE: Final = 64 * 1024
#: Taking an answer may last so long.
ANSWER_SECONDS: Final = 30.0

#: How often a table with few peers is filled from connected ones, and stale peers are looked for.
UPKEEP_SECONDS: Final = 120.0
#: Pings of stale peers at the same time.
MAX_PINGS: Final = 16

#: Changes of stored records are written together, this long after the first one.
PERSIST_SECONDS: Final = 1.0

#: Provider records in one write (go-libp2p's number).
PROVIDER_BATCH: Final = 256


@dataclass(frozen=True)
class DHTConfig:
    """
    What can be set for a DHT; times are in seconds.

    :param k: peers that keep a record, and that an answer names.
    :param alpha: requests of one lookup at the same time.
    :param beta: the closest peers that have answered when a lookup is over.
    :param disjoint_paths: lookups begin in so many parts that share no peer, against liars.
    :param request_seconds: of one request, connecting included.
    :param slow_seconds: after which a lookup asks another peer besides.
    :param query_seconds: of a whole lookup.
    :param store_seconds: of sending one record to one peer.
    :param upkeep_seconds: between two looks at the routing table.
    :param max_requests: under way, of all lookups.
    :param max_lookups: at the same time.
    :param max_served_streams: inbound streams of all peers.
    :param max_served_streams_per_peer: inbound streams of one peer.
    :param served_idle_seconds: after which an inbound stream is closed.
    :raises ValueError: or `TypeError`, if one of them cannot be.
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
