"""The peers that are met first: those that the settings name, and those seen before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio
from multiaddr import Multiaddr

from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.peerinfo import PeerInfo
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libp2p.abc import IHost
    from libp2p.peer.id import ID

logger = get_logger(__name__)

#: Peers that a peer's settings may name: more than anybody lists, and all are dialled.
MAX_BOOTSTRAP: Final = 1024
#: Dials of bootstrap peers at once.
MAX_DIALS: Final = 16
#: A peer is given up after this time.
DIAL_SECONDS: Final = 15.0


def check_bootstrap(entries: object) -> list[PeerInfo]:
    """
    Read the peers that settings name; a single one need not be in a list.

    :raises ValueError: or `TypeError`, if one of them is no address of a peer.
    """
    expected = "a list of peers, or of addresses that end in /p2p/<peer id>"
    several = [entries] if isinstance(entries, str | Multiaddr | PeerInfo) else entries
    listed = arguments.listed(several, "bootstrap", expected)
    if len(listed) > MAX_BOOTSTRAP:
        raise arguments.out_of_range("len(bootstrap)", len(listed), f"{MAX_BOOTSTRAP} or less")
    return [PeerInfo.of(entry) for entry in listed]


def merged(peers: Iterable[PeerInfo]) -> list[PeerInfo]:
    """Return each peer once, with all its addresses."""
    addresses: dict[ID, dict[Multiaddr, None]] = {}
    for info in peers:
        addresses.setdefault(info.peer_id, {}).update(dict.fromkeys(info.addrs))
    return [PeerInfo(peer_id, list(addrs)) for peer_id, addrs in addresses.items()]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the connection to a bootstrap peer."""

    name: str
    error: str | None
    """None if it is connected."""
    seconds: float


class Bootstrap:
    """Connects to the first peers, all at once."""

    def __init__(self, host: IHost, peers: Sequence[PeerInfo]) -> None:
        self._host = host
        self._peers = peers
        self._turns = trio.CapacityLimiter(MAX_DIALS)
        self._outcomes: list[Outcome] = []
        self._met = trio.Event()
        self._over = trio.Event()

    async def run(self) -> None:
        """Connect; if none can be reached, that is one warning."""
        try:
            async with trio.open_nursery() as nursery:
                for info in self._peers:
                    nursery.start_soon(self._connect, info)
        finally:
            self._met.set()
            self._over.set()
        if self._outcomes and all(outcome.error for outcome in self._outcomes):
            first = self._outcomes[0]
            text = "none of %d bootstrap peers could be reached; %s: %s"
            logger.warning(text, len(self._outcomes), first.name, first.error)

    async def until_met(self) -> None:
        """Wait until a peer is connected, or all have been tried."""
        await self._met.wait()

    async def outcomes(self, seconds: float) -> list[Outcome]:
        """Return what became of each, after ``seconds`` at the latest."""
        with trio.move_on_after(seconds):
            await self._over.wait()
        return list(self._outcomes)

    async def _connect(self, info: PeerInfo) -> None:
        error: str | None = f"no answer within {DIAL_SECONDS:g} s"
        async with self._turns:
            began = trio.current_time()
            with trio.move_on_after(DIAL_SECONDS):
                try:
                    await self._host.connect(info)
                    error = None
                except BaseLibp2pError as failure:
                    error = str(failure)
        self._outcomes.append(Outcome(_name_of(info), error, trio.current_time() - began))
        if error is None:
            self._met.set()


def _name_of(info: PeerInfo) -> str:
    return f"{info.addrs[0]}/p2p/{info.peer_id}" if info.addrs else str(info.peer_id)
