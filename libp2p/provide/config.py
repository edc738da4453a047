"""Times and limits of announcing, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libp2p.exceptions import InvalidArgument
from libp2p.utils import arguments

#: What has been announced is announced again after this time: records expire after 48 hours, so
#: that one failed attempt loses nothing. The number of go-libp2p and Kubo.
INTERVAL_SECONDS: Final = 22 * 3600.0
#: A region may be announced so much later than that, so that it returns to its time of the day
#: when it was announced earlier than usual.
SLACK_SECONDS: Final = 3600.0
#: Peers that each record is sent to: the bucket size of the network.
REPLICATION: Final = 20

#: Multihashes that a peer announces regularly: 128 MiB of digests. Beyond, what a source of keys
#: has more is left out, and the statistics say so.
MAX_KEYS: Final = 4_194_304
#: Multihashes that wait to be announced once, 10 MiB; `Provider.provide_once` waits for room.
MAX_QUEUED: Final = 65_536
#: Multihashes of one region that are announced in one go: they are objects then, and 16 regions
#: at once take 10 MiB. Regions with more keys are divided.
MAX_REGION_KEYS: Final = 2048
#: Multihashes that are worked on in one step of the event loop: some milliseconds.
STEP_KEYS: Final = 256
#: Regions of the key space that the time is known of when they were announced last; each takes half
#: a KiB. 65,536 regions are enough for four million peers.
MAX_REGIONS: Final = 65_536

#: Regions that are worked on at once (Kubo's number).
MAX_WORKERS: Final = 16
#: Of these, so many are kept for what is announced once, and so many for the regular work: neither
#: has to wait until the other has finished.
ON_DEMAND_WORKERS: Final = 4
PERIODIC_WORKERS: Final = 4
#: Peers that are sent records at once, by all workers.
MAX_SENDS: Final = 64
#: Records in one write (go-libp2p-kad-dht's number).
RECORDS_PER_WRITE: Final = 256

#: One lookup; those of the DHT end by themselves before.
LOOKUP_SECONDS: Final = 120.0
#: Connecting to a peer and one write; each further one may take as long again.
SEND_SECONDS: Final = 30.0
#: A key that only a router without a sweep announces: a lookup, and writes to 20 peers.
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
#: If the network has become so many times as large, it is another one: everything is announced
#: anew. A DHT that had found the peers of its LAN only has found those of the world.
GROWTH: Final = 10

#: A key counts as announced if so many of its peers have taken the record, or this part of them if
#: it has fewer than 20: any of them is enough to be found, and the others may come and go.
LEAST_HOLDERS: Final = 8
HOLDERS_SHARE: Final = 0.4

#: The source of keys is read again after this time, for what it has got without saying so. A
#: million blocks in files take some minutes to list.
REFRESH_SECONDS: Final = 6 * 3600.0
#: Changes of the state that could not be written yet. Beyond, the oldest are dropped: what they say
#: is announced twice after a restart.
MAX_UNWRITTEN: Final = 65_536
#: The wall clock is looked at so often: a machine that sleeps stops the other one.
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
