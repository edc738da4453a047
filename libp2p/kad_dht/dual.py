"""The two DHTs of an IPFS peer, the public network's and the local network's, used as one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import RoutingError, first_few
from libp2p.kad_dht.config import MAX_BETTER_VALUES, MAX_FOUND
from libp2p.kad_dht.engine import running
from libp2p.kad_dht.errors import NoPeersError
from libp2p.kad_dht.filters import DHTNetwork
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.search import Search, all_of, last_of
from libp2p.utils.background import background_tasks
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.host.basic_host import BasicHost
    from libp2p.kad_dht.keys import ProviderKey
    from libp2p.kad_dht.search import Found
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo
    from libp2p.records.validator import Validator


class DualDHT:
    """
    Asks both DHTs at the same time; stores in the public one, or in the local one if that is empty.

    :param wan: the DHT of the public network. `of_host` makes both.
    :param lan: the DHT of the local network.
    """

    def __init__(self, wan: KadDHT, lan: KadDHT) -> None:
        self.wan = wan
        self.lan = lan
        self._nursery: trio.Nursery | None = None

    @classmethod
    def of_host(cls, host: BasicHost, mode: DHTMode = DHTMode.AUTO, **options: object) -> DualDHT:
        """
        Make the two DHTs of a host.

        :param mode: the mode of both DHTs. As in the IPFS network, ``AUTO`` is always a server in
            the local network.
        :param options: further parameters of `KadDHT`, for both.
        """
        wan = KadDHT(host, mode, network=DHTNetwork.WAN, **options)  # type: ignore[arg-type]
        lan = KadDHT(host, mode, lan=True, **options)  # type: ignore[arg-type]
        return cls(wan, lan)

    def __repr__(self) -> str:
        return shown(self, lambda: f"{self.wan!r} {self.lan!r}")

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run both for the length of the block."""
        async with AsyncExitStack() as stack:
            for dht in (self.wan, self.lan):
                await stack.enter_async_context(dht.run())
            async with background_tasks() as nursery:
                self._nursery = nursery
                try:
                    yield
                finally:
                    self._nursery = None

    @property
    def _for_records(self) -> KadDHT:
        return self.wan if self.wan.has_peers or not self.lan.has_peers else self.lan

    def _start(self, task: Callable[[], Awaitable[None]]) -> None:
        running(self._nursery).start_soon(task)

    async def _each(self, ask: Callable[[KadDHT], Awaitable[object]]) -> None:
        """
        Ask both at the same time.

        :raises RoutingError: if neither could be asked.
        """
        failures: list[RoutingError] = []

        async def one(dht: KadDHT) -> None:
            try:
                await ask(dht)
            except RoutingError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, self.wan)
            nursery.start_soon(one, self.lan)
        if len(failures) < len((self.wan, self.lan)):
            return
        if all(isinstance(failure, NoPeersError) for failure in failures):
            raise failures[0]
        raise RoutingError(first_few(map(str, failures), separator="; "))

    # -- content ------------------------------------------------------------------------------

    async def provide(self, key: ProviderKey, announce: bool = True) -> bool:
        """Do as `KadDHT.provide`."""
        return await self._for_records.provide(key, announce)

    def find_provider_iter(
        self, cid: ProviderKey, count: int = 0
    ) -> AsyncGenerator[PeerInfo, None]:
        """Do as `KadDHT.find_provider_iter` in both, and yield each provider once."""
        seen: set[ID] = set()

        async def find(found: Found[PeerInfo]) -> None:
            with trio.CancelScope() as scope:

                async def ask(dht: KadDHT) -> None:
                    async with aclosing(dht.find_provider_iter(cid, count)) as providers:
                        async for info in providers:
                            if info.peer_id not in seen:
                                seen.add(info.peer_id)
                                if not found(info):
                                    scope.cancel()

                await self._each(ask)

        return Search(find, count or MAX_FOUND).results(self._start)

    async def find_providers(self, key: ProviderKey, count: int = 20) -> list[PeerInfo]:
        """Do as `KadDHT.find_providers` in both."""
        return await all_of(self.find_provider_iter(key, count))

    async def send_provider_records(self, peer: ID, multihashes: Sequence[bytes]) -> int:
        """Do as `KadDHT.send_provider_records`."""
        return await self._for_records.send_provider_records(peer, multihashes)

    # -- peers --------------------------------------------------------------------------------

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """Do as `KadDHT.find_peer` in both; the first answer counts."""
        results: list[PeerInfo] = []
        with trio.CancelScope() as scope:

            async def ask(dht: KadDHT) -> None:
                info = await dht.find_peer(peer_id)
                if info is not None:
                    results.append(info)
                    scope.cancel()

            await self._each(ask)
        return results[0] if results else None

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]:
        """Do as `KadDHT.get_closest_peers`."""
        return await self._for_records.get_closest_peers(key)

    # -- values -------------------------------------------------------------------------------

    async def put_value(self, key: str | bytes, value: bytes) -> None:
        """Do as `KadDHT.put_value`."""
        await self._for_records.put_value(key, value)

    def search_value(self, key: str | bytes, quorum: int = 0) -> AsyncGenerator[bytes, None]:
        """Do as `KadDHT.search_value` in both; yield what is better than the one before."""
        validator = self.wan.validator

        async def find(found: Found[bytes]) -> None:
            best: bytes | None = None

            async def ask(dht: KadDHT) -> None:
                nonlocal best
                async with aclosing(dht.search_value(key, quorum)) as values:
                    async for value in values:
                        if value != best and (
                            best is None or validator.select(key, [best, value]) == 1
                        ):
                            best = value
                            found(value)

            await self._each(ask)

        return Search(find, MAX_BETTER_VALUES).results(self._start)

    async def get_value(self, key: str | bytes, quorum: int = 0) -> bytes | None:
        """Do as `KadDHT.get_value` in both, and return the better value."""
        return await last_of(self.search_value(key, quorum))

    def register_validator(self, namespace: str, validator: Validator) -> None:
        """Do as `KadDHT.register_validator` for both."""
        for dht in (self.wan, self.lan):
            dht.register_validator(namespace, validator)
