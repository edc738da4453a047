"""Keeps a host connected to a few peers, from which it meets the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

import trio

from libp2p.discovery.bootstrap.config import BootstrapConfig
from libp2p.discovery.bootstrap.schedule import Schedule
from libp2p.discovery.bootstrap.sources import Source, name_of, read_sources
from libp2p.events import PeerConnected, PeerDisconnected
from libp2p.exceptions import BaseLibp2pError, first_few
from libp2p.host.basic_host import BasicHost
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.events import HostEvent
    from libp2p.network.swarm import Swarm
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo

logger = get_logger(__name__)

#: Seconds for which the addresses of bootstrap peers are kept: they are given again at each dial.
BOOTSTRAP_ADDR_TTL: Final = 3600


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a bootstrap peer, or of a source of such peers.

    :param name: its address, or the file, name or URL that was given.
    :param error: why it could not be reached; None if it could.
    :param seconds: how long that took.
    """

    name: str
    error: str | None
    seconds: float


class Bootstrap:
    """
    Connects a host to the peers that it was connected to before, and then to those that are given.

    While the host has fewer than ``min_peers`` connections, to whomever, peers are dialled: first
    those of `IPeerStore.seen_peers`, the latest first, then those of ``peers`` in their order. One
    that does not answer is tried again after 30 s, then 60, and so on up to an hour. When there
    are enough, nothing happens until a connection ends. If nobody at all can be reached, that is
    one warning which says what to do, until somebody is. Run it in a task beside the host::

        bootstrap = Bootstrap(host, ["/dnsaddr/example.org", "peers.txt"])
        nursery.start_soon(bootstrap.run)
        await bootstrap.until_met()

    :param peers: see `libp2p.discovery.bootstrap.sources`; None: only those seen before; an empty
        list: none at all, not even those.
    :param on_found: called with each peer that ``peers`` leads to, when it is first heard of.
    :raises ValueError: or `TypeError`, if an entry cannot be used.
    """

    def __init__(
        self,
        host: BasicHost | Swarm,
        peers: Iterable[object] | str | None = None,
        config: BootstrapConfig | None = None,
        on_found: Callable[[PeerInfo], object] | None = None,
    ) -> None:
        self._network = host.get_network() if isinstance(host, BasicHost) else host
        self._config = config = config or BootstrapConfig()
        self._sources: list[Source] = [] if peers is None else read_sources(peers)
        self._uses_seen = peers is None or bool(self._sources)
        self._schedule = Schedule(self._network.get_peer_id(), config)
        self._on_found = on_found
        self._told: set[ID] = set()
        self._names: dict[ID, str] = {}
        self._source_failures = 0
        self._sources_due = -inf
        self._outcomes: dict[str, Outcome] = {}
        self._dialling: set[ID] = set()
        self._change = trio.Event()
        self._met = trio.Event()
        self._over = trio.Event()
        self._has_warned = False
        self._scope = trio.CancelScope()

    @property
    def bootstrap_addrs(self) -> list[str]:
        """The names of ``peers``: addresses, files, URLs."""
        return [source.name for source in self._sources]

    async def run(self) -> None:
        """Keep the host connected, until cancelled or stopped, or until the host has ended."""
        events = self._network.events
        subscription = events.subscribe(self._on_event, PeerConnected, PeerDisconnected)
        try:
            with self._scope:
                await self._keep()
        finally:
            self._scope = trio.CancelScope()  # for the next run
            subscription.cancel()
            self._over.set()
            self._met.set()

    async def _keep(self) -> None:
        while self._sources or self._uses_seen:
            if not self._has_enough:
                await self._dial_round()
            self._over.set()
            self._met.set()
            await self._until_needed()

    def stop(self) -> None:
        """End `run`, also one that was started and has not begun; connections stay."""
        self._scope.cancel()

    async def until_met(self) -> None:
        """Wait until a peer is connected, or all have been tried."""
        if not self._connected:
            await self._met.wait()

    async def outcomes(self, seconds: float = inf) -> list[Outcome]:
        """Return what became of each peer and source that was tried, at the latest by then."""
        with trio.move_on_after(seconds):
            await self._over.wait()
        return list(self._outcomes.values())

    # -- when -------------------------------------------------------------------------------------

    @property
    def _connected(self) -> set[ID]:
        return {connection.peer_id for connection in self._network.get_connections()}

    @property
    def _has_enough(self) -> bool:
        return len(self._connected) >= self._config.min_peers

    def _on_event(self, event: HostEvent) -> None:
        if isinstance(event, PeerConnected):
            self._has_warned = False
            self._met.set()
        self._change.set()

    async def _until_needed(self) -> None:
        """Wait until there are too few connections and a peer is due."""
        while True:
            self._change = trio.Event()
            due = min(self._schedule.next_due(self._connected), self._sources_due)
            if self._has_enough:
                due = inf
            if due <= trio.current_time():
                return
            with trio.move_on_at(due):
                await self._change.wait()

    # -- one round --------------------------------------------------------------------------------

    async def _dial_round(self) -> None:
        """Dial the peers that are due, some at the same time, until there are enough."""
        self._offer(self._seen(), await self._given())
        slots = trio.Semaphore(self._config.max_dials)
        tried = False
        async with trio.open_nursery() as nursery:
            while not self._has_enough:
                await slots.acquire()
                busy = self._connected | self._dialling
                peer_id = self._schedule.next_peer(trio.current_time(), busy)
                if peer_id is None or self._has_enough:
                    break
                tried = True
                self._dialling.add(peer_id)
                settled = trio.Event()
                nursery.start_soon(self._dial, peer_id, slots, settled, nursery.cancel_scope)
                with trio.move_on_after(self._config.head_start):
                    await settled.wait()
        if (tried or self._outcomes) and not self._connected:
            self._warn()

    def _seen(self) -> list[PeerInfo]:
        seen = self._network.peerstore.seen_peers() if self._uses_seen else []
        return seen[: self._config.max_seen]

    async def _given(self) -> list[PeerInfo]:
        """Return the peers of all sources, which are asked at the same time."""
        found: dict[int, list[PeerInfo]] = {}

        async def ask(position: int, source: Source) -> None:
            began = trio.current_time()
            try:
                found[position] = await source.peers(self._network.resolver)
            except BaseLibp2pError as error:
                self._note(source.name, str(error), began)
            else:
                self._outcomes.pop(source.name, None)

        async with trio.open_nursery() as nursery:
            for position, source in enumerate(self._sources):
                nursery.start_soon(ask, position, source)
        self._source_failures = self._source_failures + 1 if len(found) < len(self._sources) else 0
        wait = min(
            self._config.retry * 2 ** min(self._source_failures - 1, 32), self._config.max_retry
        )
        self._sources_due = trio.current_time() + wait if self._source_failures else inf
        return [info for position in sorted(found) for info in found[position]]

    def _offer(self, seen: list[PeerInfo], given: list[PeerInfo]) -> None:
        """Put the peers into the schedule, with the names that they are known by."""
        self._schedule.offer([*seen, *given])
        names = {info.peer_id: f"{info.peer_id}, seen before" for info in seen}
        names.update((info.peer_id, name_of(info)) for info in given)
        self._names = {peer_id: names[peer_id] for peer_id in self._schedule.peers()}
        kept = {*self._names.values(), *(source.name for source in self._sources)}
        self._outcomes = {name: one for name, one in self._outcomes.items() if name in kept}
        for info in given:
            if info.peer_id not in self._told and info.peer_id in self._names:
                self._told.add(info.peer_id)
                if self._on_found is not None:
                    self._on_found(info)

    async def _dial(
        self, peer_id: ID, slots: trio.Semaphore, settled: trio.Event, scope: trio.CancelScope
    ) -> None:
        began = trio.current_time()
        name = self._names.get(peer_id, str(peer_id))
        error: str | None = f"no answer within {self._config.connect_timeout:g} s"
        try:
            with trio.move_on_after(self._config.connect_timeout):
                error = await self._connect(peer_id)
            if error is None:
                self._schedule.succeeded(peer_id, trio.current_time())
            else:
                self._schedule.failed(peer_id, trio.current_time())
                logger.debug("bootstrap peer %s: %s", name, error)
            self._note(name, error, began)
        finally:
            self._dialling.discard(peer_id)
            settled.set()
            slots.release()
        if self._has_enough:
            scope.cancel()

    async def _connect(self, peer_id: ID) -> str | None:
        """Connect to a peer; return why that failed."""
        failures: list[Exception] = []
        with fault_barrier(failures.append):
            addresses = list(self._schedule.addresses_of(peer_id))
            # Of names that the user gave every address counts, wherever it leads.
            addresses += await self._network.look_up(peer_id, addresses)
            self._network.peerstore.add_addrs(peer_id, addresses, BOOTSTRAP_ADDR_TTL)
            await self._network.dial_peer(peer_id)
        return str(failures[0]) if failures else None

    def _note(self, name: str, error: str | None, began: float) -> None:
        self._outcomes[name] = Outcome(name, error, trio.current_time() - began)

    def _warn(self) -> None:
        """Say once that nobody could be reached, until somebody is."""
        failed = [f"{o.name}: {o.error}" for o in self._outcomes.values() if o.error]
        if self._has_warned or not failed:
            return
        self._has_warned = True
        logger.warning(
            "none of %d bootstrap peers can be reached, so this host knows nobody: look at its "
            "network, or give it other peers; it keeps trying. %s",
            max(len(self._schedule), len(failed)),
            first_few(failed, 3, "; "),
        )
