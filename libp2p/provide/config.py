"""Times and limits of announcing, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libp2p.exceptions import InvalidArgument
from libp2p.utils import arguments

#: A key is announced again after this time. Its records expire after 48 hours, so one failed
#: attempt loses nothing. The number is that of go-libp2p and Kubo.
INTERVAL_SECONDS: Final = 22 * 3600.0
#: Seconds by which a region may be announced later than its interval says. So a region that was
#: announced early once returns to its time of the day.
SLACK_SECONDS: Final = 3600.0
#: Peers that each record is sent to: the bucket size of the network.
REPLICATION: Final = 20

#: Multihashes that a peer announces regularly: 128 MiB of digests. The others that a source of keys
#: has are left out, and the statistics count them.
MAX_KEYS: Final = 4_194_304
#: Multihashes that wait to be announced once, 10 MiB; `Provider.provide_once` waits for room.
MAX_QUEUED: Final = 65_536
#: Multihashes of one region that are announced in one job. A job holds them as objects: 16 jobs at
#: once take 10 MiB. A region with more keys is divided.
MAX_REGION_KEYS: Final = 2048
#: Multihashes that are worked on in one step of the event loop: some milliseconds.
STEP_KEYS: Final = 256
#: Regions of the key space for which the provider remembers when they were announced last. Each
#: takes half a KiB. 65,536 regions are enough for four million peers.
MAX_REGIONS: Final = 65_536

#: Regions that are worked on at once (Kubo's number).
MAX_WORKERS: Final = 16
#: Workers that are kept for announcing once, and workers that are kept for the regular work:
#: neither kind of work has to wait until the other has finished.
ON_DEMAND_WORKERS: Final = 4
PERIODIC_WORKERS: Final = 4
#: Peers that are sent records at once, by all workers.
MAX_SENDS: Final = 64
#: Records in one write (go-libp2p-kad-dht's number).
RECORDS_PER_WRITE: Final = 256

#: Seconds for one lookup. The lookups of `libp2p.kad_dht` end earlier by themselves.
LOOKUP_SECONDS: Final = 120.0
#: Seconds for connecting to a peer and one write; each further write may take as long again.
SEND_SECONDS: Final = 30.0
#: Seconds in which a router without a sweep announces one key: a lookup, and writes to 20 peers.
PROVIDE_SECONDS: Final = 180.0

#: A region or a key that could not be announced is tried again after this time, twice as long each
#: time, up to the second number.
RETRY_SECONDS: Final = 60.0
MAX_RETRY_SECONDS: Final = 1800.0
#: A key that was to be announced once is given up after so many attempts, three hours.
MAX_ATTEMPTS: Final = 10
#: While nobody can be asked, one lookup is tried after this time, twice as long each time, up to
#: the second number; and at once if a peer connects.
PROBE_SECONDS: Final = 15.0
MAX_PROBE_SECONDS: Final = 600.0

#: The size of the network is looked at again after this time, twice as long each time, up to the
#: second number. It takes four lookups.
MEASURE_SECONDS: Final = 60.0
MAX_MEASURE_SECONDS: Final = 24 * 3600.0
#: A network that has grown by this factor counts as another network, in which all keys are
#: announced anew. It happens when a DHT that knew only the peers of its LAN finds those of the
#: world.
GROWTH: Final = 10

#: A key counts as announced when this number of its peers have taken the record; a key with fewer
#: than 20 peers, when this share has. One of them is enough for others to find the provider.
LEAST_HOLDERS: Final = 8
HOLDERS_SHARE: Final = 0.4

#: The source of keys is read again after this time, because nobody tells when it has new keys.
#: Listing a million blocks in files takes some minutes.
REFRESH_SECONDS: Final = 6 * 3600.0
#: Changes of the state that could not be written yet. When there are more, the oldest are dropped:
#: their keys are announced twice after a restart.
MAX_UNWRITTEN: Final = 65_536
#: Seconds between two looks at the wall clock. It goes on while the machine sleeps; trio's does
#: not.
CLOCK_SECONDS: Final = 600.0


@dataclass(frozen=True)
class ProvideConfig:
    """
    How often and how fast a peer announces what it has; times are in seconds.

    :param interval_seconds: after which everything is announced again; 0 announces only what is
        asked for.
    :param slack_seconds: by which a region may be later than that.
    :param replication: peers that each record is sent to.
    :param max_keys: multihashes that are announced regularly.
    :param max_queued: multihashes that wait to be announced once.
    :param max_workers: regions that are worked on at once.
    :param on_demand_workers: of these, those that regular work leaves free.
    :param periodic_workers: of these, those that work on demand leaves free.
    :param max_sends: peers that are sent records at once.
    :param lookup_seconds: that a lookup may take.
    :param send_seconds: that a connection and one write to a peer may take.
    :param provide_seconds: that a router without a sweep may take for one key.
    :param refresh_seconds: after which the source of keys is read again.
    :raises ValueError: or `TypeError`, if one of them cannot be.
    """

    interval_seconds: float = INTERVAL_SECONDS
    slack_seconds: float = SLACK_SECONDS
    replication: int = REPLICATION
    max_keys: int = MAX_KEYS
    max_queued: int = MAX_QUEUED
    max_workers: int = MAX_WORKERS
    on_demand_workers: int = ON_DEMAND_WORKERS
    periodic_workers: int = PERIODIC_WORKERS
    max_sends: int = MAX_SENDS
    lookup_seconds: float = LOOKUP_SECONDS
    send_seconds: float = SEND_SECONDS
    provide_seconds: float = PROVIDE_SECONDS
    refresh_seconds: float = REFRESH_SECONDS

    def __post_init__(self) -> None:
        """Check every field, and that the workers are enough."""
        arguments.check_numbers(
            self, least=1, least_of={"on_demand_workers": 0, "periodic_workers": 0}
        )
        if self.on_demand_workers + self.periodic_workers > self.max_workers:
            raise InvalidArgument(
                "on_demand_workers and periodic_workers must be max_workers together or less"
            )
        if self.on_demand_workers == self.max_workers or self.periodic_workers == self.max_workers:
            raise InvalidArgument("each kind of work must be left a worker")
        if self.slack_seconds > self.interval_seconds:
            raise InvalidArgument("slack_seconds must be interval_seconds or less")


DEFAULT_CONFIG: Final = ProvideConfig()
