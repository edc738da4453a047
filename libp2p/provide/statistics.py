"""The numbers of announcing (records; no logic)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """
    What has been done since the start.

    Owner: libp2p.provide.plan
    """

    keys_announced: int = 0
    keys_missed: int = 0
    keys_given_up: int = 0
    regions_announced: int = 0
    regions_failed: int = 0
    lookups: int = 0
    sends: int = 0
    sends_failed: int = 0
    records_sent: int = 0


@dataclass(frozen=True, slots=True)
class ProvideStats:
    """
    How announcing goes; times are in seconds, points in time are Unix seconds.

    :param keys: multihashes that are announced regularly.
    :param keys_left_out: that the source has beyond the limit.
    :param queued: multihashes that are to be announced once and are not yet.
    :param regions: the key space is divided into so many.
    :param regions_left: due or under way.
    :param keys_left: about so many multihashes are in them.
    :param regions_at_work: under way, on demand ones included.
    :param next_due: when the next region is due; None if none is that is not under way.
    :param lag: how late the region is that is due for longest.
    :param seconds_left: how long what is left will take about; None if that is not known yet.
    :param peers: the network is thought to have so many; None if nothing is known of it.
    :param region_bits: the length of the prefixes that regions are to have.
    :param offline_since: nobody can be asked since then; None if all is well.
    :param keys_read: when the source of keys was read last; None if it was not.
    :param keys_announced: that enough peers have taken, each time that they have.
    :param keys_missed: that too few peers have taken, each time; they are tried again.
    :param keys_given_up: of those that were to be announced once.
    :param regions_announced: in regular work.
    :param regions_failed: of which no key could be announced, each time.
    :param lookups: that were made.
    :param sends: peers that were sent records, each time.
    :param sends_failed: of these, those that did not take all of them.
    :param records_sent: that peers have taken.
    """

    keys: int
    keys_left_out: int
    queued: int
    regions: int
    regions_left: int
    keys_left: int
    regions_at_work: int
    next_due: float | None
    lag: float
    seconds_left: float | None
    peers: int | None
    region_bits: int
    offline_since: float | None
    keys_read: float | None
    keys_announced: int
    keys_missed: int
    keys_given_up: int
    regions_announced: int
    regions_failed: int
    lookups: int
    sends: int
    sends_failed: int
    records_sent: int
