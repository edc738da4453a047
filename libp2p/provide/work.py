"""Pieces of work, and what has come of them (records; no logic)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libp2p.provide.region import Region


@dataclass(frozen=True, slots=True)
class Job:
    """
    Multihashes to announce together.

    :param region: of the regular work; None if they are announced once.
    :param attempts: that have failed before, if they are announced once.
    """

    multihashes: tuple[bytes, ...]
    region: Region | None = None
    attempts: int = 0

    @property
    def is_periodic(self) -> bool:
        """Regular work."""
        return self.region is not None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What has come of a job.

    :param announced: multihashes that enough peers have taken.
    :param missed: those that too few have taken.
    :param is_offline: nobody could be asked, so nothing was tried.
    :param is_unheard: there are peers, but none has taken a record: this host may have no address.
    :param lookups: that were made.
    :param records: that peers have taken.
    :param sends: peers that were sent records.
    :param failed_sends: of these, those that did not take all of them.
    :param peers: seen while exploring.
    :param share: the part of the key space that was explored; 0 if nothing was.
    """

    announced: tuple[bytes, ...] = ()
    missed: tuple[bytes, ...] = ()
    is_offline: bool = False
    is_unheard: bool = False
    lookups: int = 0
    records: int = 0
    sends: int = 0
    failed_sends: int = 0
    peers: int = 0
    share: float = 0.0
