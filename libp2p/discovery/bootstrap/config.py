"""How many peers a host wants to be connected to, and how it goes about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libp2p.utils import arguments

#: Kubo's number: with fewer connections, a host asks its bootstrap peers.
MIN_PEERS: Final = 4
#: Seconds until a peer that could not be reached is dialled again, at first; each time twice as
#: many, up to the second number. Kubo tries every 30 s without end; a host that has no network
#: would keep its radio awake.
RETRY_SECONDS: Final = 30.0
MAX_RETRY_SECONDS: Final = 3600.0
#: Seconds for one peer: names, connection and handshake.
CONNECT_TIMEOUT: Final = 15.0
#: Seconds after which the next peer is dialled beside one that has not answered yet. After a move
#: to another network all peers seen before may be mute, and the given ones must have their turn.
HEAD_START_SECONDS: Final = 0.5
#: Peers that are dialled at the same time.
MAX_DIALS: Final = 16
#: Seen peers that are tried at a start: the latest ones. One that answers is enough to find others.
MAX_SEEN_TRIED: Final = 16
#: Peers of all sources together, and entries that may be given.
MAX_PEERS: Final = 1024


@dataclass(frozen=True, slots=True)
class BootstrapConfig:
    """
    Numbers and times of `Bootstrap`, see the constants of `libp2p.discovery.bootstrap.config`.

    :param min_peers: connections below which peers are dialled.
    :param retry: seconds until a peer that did not answer is dialled again; doubled each time.
    :param max_retry: the most that ``retry`` grows to.
    :param connect_timeout: seconds for one peer.
    :param head_start: seconds until the next peer is dialled beside one that has not answered.
    :param max_dials: at the same time.
    :param max_seen: peers of earlier runs that are tried.
    :raises ValueError: or `TypeError`, if one of them cannot be.
    """

    min_peers: int = MIN_PEERS
    retry: float = RETRY_SECONDS
    max_retry: float = MAX_RETRY_SECONDS
    connect_timeout: float = CONNECT_TIMEOUT
    head_start: float = HEAD_START_SECONDS
    max_dials: int = MAX_DIALS
    max_seen: int = MAX_SEEN_TRIED

    def __post_init__(self) -> None:
        arguments.check_numbers(self, least=1, least_of={"max_seen": 0})
