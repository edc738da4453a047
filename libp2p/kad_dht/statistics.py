"""What a DHT has done, by kind of message, and what it holds (sans-I/O)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libp2p.kad_dht.messages import MessageType

if TYPE_CHECKING:
    from libp2p.kad_dht.lookup import LookupStatistics
    from libp2p.kad_dht.messages import Message


@dataclass(frozen=True, slots=True)
class KindStatistics:
    """
    Counts of one kind of message.

    :param sent: requests of ours.
    :param answered: requests of ours with a usable answer.
    :param failed: requests of ours without one.
    :param served: requests of peers that were handled.
    :param refused: requests of peers that were invalid; their streams were reset.
    """

    sent: int
    answered: int
    failed: int
    served: int
    refused: int


@dataclass(frozen=True, slots=True)
class DHTStatistics:
    """
    The state of a DHT.

    :param mode: ``server`` if peers may ask it, else ``client``.
    :param table: peers in the routing table.
    :param lookups: lookups under way; ``lookups_done`` and ``lookups_failed`` count those that have
        ended since the start.
    :param requests: requests under way.
    :param served_streams: streams that peers keep open to ask.
    :param provider_records: provider records that are kept for others.
    :param values: records by keys that are kept for others.
    :param kinds: counts by kind of message.
    """

    mode: str
    table: int
    lookups: int
    lookups_done: int
    lookups_failed: int
    requests: int
    served_streams: int
    provider_records: int
    values: int
    kinds: Mapping[str, KindStatistics]


@dataclass(frozen=True, slots=True)
class LookupUnderWay:
    """
    A lookup.

    :param kind: what peers are asked, such as ``GET_PROVIDERS``.
    :param key: what is looked up.
    """

    kind: str
    key: bytes
    cost: LookupStatistics


@dataclass(slots=True)
class Counters:
    """Counts since the start; changed by its own methods only."""

    lookups_done: int = 0
    lookups_failed: int = 0
    _sent: Counter[MessageType] = field(default_factory=Counter)
    _answered: Counter[MessageType] = field(default_factory=Counter)
    _failed: Counter[MessageType] = field(default_factory=Counter)
    _served: Counter[MessageType] = field(default_factory=Counter)
    _refused: Counter[MessageType] = field(default_factory=Counter)

    def count_sent(self, kind: MessageType, number: int = 1) -> None:
        """Requests of ours were written."""
        self._sent[kind] += number

    def count_answer(self, answer: Message) -> None:
        """A usable answer has come."""
        self._answered[answer.kind] += 1

    def count_failure(self, kind: MessageType) -> None:
        """A request of ours has failed."""
        self._failed[kind] += 1

    def count_served(self, kind: MessageType) -> None:
        """A peer's request was handled."""
        self._served[kind] += 1

    def count_refused(self, kind: MessageType) -> None:
        """A peer's request was invalid."""
        self._refused[kind] += 1

    def count_lookup(self, *, failed: bool) -> None:
        """A lookup is over; it has failed if no peer answered."""
        if failed:
            self.lookups_failed += 1
        else:
            self.lookups_done += 1

    def kinds(self) -> dict[str, KindStatistics]:
        """Return the counts by kind of message."""
        return {
            kind.name: KindStatistics(
                self._sent[kind],
                self._answered[kind],
                self._failed[kind],
                self._served[kind],
                self._refused[kind],
            )
            for kind in MessageType
        }
