"""Times and bounds of publishing and resolving names, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from libp2p.records.ipns_record import DEFAULT_LIFETIME, DEFAULT_TTL
from libp2p.utils import arguments

#: A name that stands for a name, and so on: as many as in Kubo, more is nobody's intention.
MAX_DEPTH: Final = 32
#: Records of one search, of which each costs a check of a signature: a router could send for ever.
MAX_RECORDS_PER_SEARCH: Final = 256
#: Names whose paths are kept until their time to live is over, less than 1 KiB each.
MAX_CACHED_NAMES: Final = 4096

#: Seconds between announcements of a record. DHT servers keep it for 48 hours; those that leave in
#: between are replaced soon enough. Kubo has the same.
REPUBLISH_INTERVAL: Final = 4 * 3600.0
#: Seconds from the start to the first announcement: connections to others are made meanwhile.
FIRST_REPUBLISH_SECONDS: Final = 60.0
#: Seconds until a failed announcement is repeated.
REPUBLISH_RETRY_SECONDS: Final = 300.0
#: Records that are announced at the same time; each is a lookup and twenty messages.
MAX_ANNOUNCEMENTS: Final = 8

#: Seconds after which the best record that was found counts.
SEARCH_SECONDS: Final = 60.0
#: Seconds for the search for an earlier record of one's own name, before it is published.
PREVIOUS_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class PublisherConfig:
    """
    How names are published.

    :param lifetime: seconds that a record is valid.
    :param ttl: seconds for which others may keep the value in their caches.
    :param republish_interval: seconds between announcements of each record.
    :param first_republish: seconds from the start to the first of them.
    :param republish_retry: seconds until those that failed are repeated.
    :param previous_timeout: seconds for the search for an earlier record of a name.
    """

    lifetime: float = DEFAULT_LIFETIME
    ttl: float = DEFAULT_TTL
    republish_interval: float = REPUBLISH_INTERVAL
    first_republish: float = FIRST_REPUBLISH_SECONDS
    republish_retry: float = REPUBLISH_RETRY_SECONDS
    previous_timeout: float = PREVIOUS_SECONDS

    def __post_init__(self) -> None:
        arguments.check_numbers(self)
        if not self.republish_interval or not self.republish_retry:
            raise arguments.out_of_range("republish_interval", 0, "more than 0 seconds")


@dataclass(frozen=True, slots=True)
class ResolverConfig:
    """
    How names are resolved.

    :param timeout: seconds after which the best record that was found counts.
    :param max_depth: names that may stand for one another in a chain.
    :param max_cached: names whose paths are kept; 0 keeps none.
    :param max_ttl: seconds that a path is kept at most, whatever its owner says.
    """

    timeout: float = SEARCH_SECONDS
    max_depth: int = MAX_DEPTH
    max_cached: int = MAX_CACHED_NAMES
    max_ttl: float = inf

    def __post_init__(self) -> None:
        arguments.check_numbers(self, least_of={"max_depth": 1})
