"""py-libp2p's constants of the DHT, and times as records have them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from libp2p.base_types import TProtocol
from libp2p.kad_dht.config import REQUEST_SECONDS
from libp2p.kad_dht.lookup import ALPHA, BETA
from libp2p.kad_dht.messages import MAX_MESSAGE_BYTES, MAX_VALUE_BYTES
from libp2p.kad_dht.routing_table import (
    BUCKET_SIZE,
    MAX_PEERS_PER_GROUP_IN_BUCKET,
    STALE_SECONDS,
)

__all__ = [
    "ALPHA",
    "BETA",
    "BUCKET_SIZE",
    "DEFAULT_TTL",
    "MAXIMUM_BUCKETS",
    "MAX_DHT_MESSAGE_SIZE",
    "MAX_PEERS_PER_SUBNET",
    "MAX_RECORD_AGE",
    "MAX_RECORD_SIZE",
    "PROTOCOL_ID",
    "PROTOCOL_PREFIX",
    "QUERY_TIMEOUT",
    "STALE_PEER_THRESHOLD",
    "TTL",
    "format_time_rfc3339",
    "parse_time_received",
]

#: What the protocol's name begins with in the IPFS network, and the whole name.
PROTOCOL_PREFIX: Final = TProtocol("/ipfs")
PROTOCOL_ID: Final = TProtocol("/ipfs/kad/1.0.0")

QUERY_TIMEOUT: Final = int(REQUEST_SECONDS)
MAXIMUM_BUCKETS: Final = 256
#: py-libp2p's names of limits that stand in `messages` and `routing_table`.
MAX_DHT_MESSAGE_SIZE: Final = MAX_MESSAGE_BYTES
MAX_RECORD_SIZE: Final = MAX_VALUE_BYTES
MAX_PEERS_PER_SUBNET: Final = MAX_PEERS_PER_GROUP_IN_BUCKET
STALE_PEER_THRESHOLD: Final = int(STALE_SECONDS)
#: Seconds that a record is kept for others; a publisher sends it again before.
MAX_RECORD_AGE: Final = 48 * 60 * 60
TTL: Final = 24 * 60 * 60
DEFAULT_TTL: Final = TTL


def format_time_rfc3339(dt: datetime | None = None) -> str:
    """Return a time, by default now, as records have it: RFC 3339 with nanoseconds, in UTC."""
    moment = datetime.now(UTC) if dt is None else dt
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06}000Z"


def parse_time_received(time_str: str) -> float | None:
    """Return the Unix seconds of a record's time, RFC 3339 or a number; None for other text."""
    try:
        moment = datetime.fromisoformat(time_str)
    except ValueError:
        try:
            return float(time_str)
        except ValueError:
            return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
