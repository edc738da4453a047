"""Announces blocks, and finds the peers that have announced a block."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING

from libp2p.exceptions import RoutingError
from libp2p.kad_dht.config import MAX_FOUND_OF_ONE, PROVIDER_BATCH
from libp2p.kad_dht.messages import (
    Connection,
    Message,
    MessageType,
    PeerEntry,
    bounded_addresses,
)
from libp2p.kad_dht.search import Search

if TYPE_CHECKING:
    from libp2p.kad_dht.engine import Engine
    from libp2p.kad_dht.provider_store import ProviderStore
    from libp2p.kad_dht.search import Found
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo


class Providers:
    """Provider records of the network; keys are multihashes."""

    def __init__(
        self,
        engine: Engine,
        store: ProviderStore,
        now: Callable[[], float],
        on_stored: Callable[[], object],
    ) -> None:
        """
        :param now: Unix seconds.
        :param on_stored: called when a record was stored here.
        """
        self._engine = engine
        self._store = store
        self._now = now
        self._on_stored = on_stored

    # -- announcing ---------------------------------------------------------------------------

    async def provide(self, key: bytes, announce: bool) -> bool:
        """
        Announce that this host has a block; return whether a peer was sent the record.

        :raises RoutingError: if nobody could be asked, or this host has no address to announce.
        """
        engine = self._engine
        entry = self._own_entry()
        self._store.add(key, entry, engine.own, self._now())
        self._on_stored()
        if not announce:
            return False
        if not entry.addrs:
            raise RoutingError("this host has no address at which others could fetch the block")
        closest = await engine.closest_to(key)
        message = _announcement(key, entry)
        sent = await engine.send_to_all(
            closest, lambda peer: engine.requests.tell(peer.peer_id, [message], peer.addrs)
        )
        return sent > 0

    async def send_records(self, peer: ID, keys: Sequence[bytes]) -> int:
        """
        Send a peer the records of many blocks on one stream; return their number.

        :raises RequestFailed: if they could not be sent.
        :raises RoutingError: if this host has no address to announce.
        """
        entry = self._own_entry()
        if not entry.addrs:
            raise RoutingError("this host has no address at which others could fetch the blocks")
        for first in range(0, len(keys), PROVIDER_BATCH):
            batch = keys[first : first + PROVIDER_BATCH]
            await self._engine.requests.tell(peer, [_announcement(key, entry) for key in batch])
        return len(keys)

    def _own_entry(self) -> PeerEntry:
        addrs = tuple(addr.to_bytes() for addr in self._engine.own_addresses())
        return PeerEntry(self._engine.own, addrs, Connection.CAN_CONNECT)

    def add_here(self, key: bytes, provider: PeerInfo) -> bool:
        """Note, here only, that a peer has a block; return whether there was room for that."""
        peer = provider.peer_id
        addrs = bounded_addresses(peer, (address.to_bytes() for address in provider.addrs))
        is_kept = self._store.add(key, PeerEntry(peer, addrs), peer, self._now())
        self._on_stored()
        return is_kept

    def local(self, key: bytes) -> list[PeerInfo]:
        """Return the providers that are recorded here."""
        return list(map(self._engine.info_of, self._store.providers(key, self._now())))

    # -- searching ----------------------------------------------------------------------------

    async def find(self, key: bytes, count: int) -> AsyncGenerator[PeerInfo, None]:
        """
        Yield the peers that have announced a block, as they are found.

        :param count: the most providers to yield.
        :raises RoutingError: if nobody is known here and nobody could be asked.
        """
        async with aclosing(self._search(key, count).results(self._engine.start)) as entries:
            async for entry in entries:
                # A generator: an answer may have a thousand providers with twenty addresses each.
                yield self._engine.info_of(entry)

    def _search(self, key: bytes, count: int) -> Search[PeerEntry]:
        seen: set[ID] = set()

        async def find(found: Found[PeerEntry]) -> None:
            def report(entries: Iterable[PeerEntry]) -> bool:
                """Return whether there are enough."""
                for entry in entries:
                    if entry.peer_id in seen:
                        continue
                    seen.add(entry.peer_id)
                    if not found(entry):
                        return True
                return False

            if report(self._store.providers(key, self._now())):
                return
            request = Message(MessageType.GET_PROVIDERS, key)
            try:
                await self._engine.look_up(
                    request, lambda _, answer: report(islice(answer.providers, MAX_FOUND_OF_ONE))
                )
            except RoutingError:
                if not seen:
                    raise

        return Search(find, count)


def _announcement(key: bytes, entry: PeerEntry) -> Message:
    return Message(MessageType.ADD_PROVIDER, key, providers=(entry,))
