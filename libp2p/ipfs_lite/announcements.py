"""
Announces what a peer has, while it is open, by the strategy and interval of its settings.

The state of announcing is written into the datastore from time to time. ``provide stat`` reads it
there while another process has the repo open.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from time import time
from typing import TYPE_CHECKING, Any, Final

import trio

from libp2p.datastore import Change, MemoryDatastore
from libp2p.events import PeerIdentified
from libp2p.exceptions import DatastoreError
from libp2p.ipfs_lite.errors import RepoError
from libp2p.provide.config import SLACK_SECONDS, ProvideConfig
from libp2p.provide.provider import Provider
from libp2p.provide.sources import key_source
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.datastore import Datastore
    from libp2p.host.basic_host import BasicHost
    from libp2p.ipfs_lite.files_root import FilesRoot
    from libp2p.ipfs_lite.local import LocalParts
    from libp2p.ipfs_lite.pin_table import PinKind, PinTable
    from libp2p.ipld.cid import CID
    from libp2p.routing.abc import ContentRouter

logger = get_logger(__name__)

STATE_NAMESPACE: Final = "provide-state"
_STATE_KEY: Final = b"latest"

#: Seconds between two writings of the state. Each is a transaction of a kilobyte.
STATE_SECONDS: Final = 5.0


class _Pinned:
    """The pins of a peer, as `libp2p.provide` wants them."""

    def __init__(self, pins: PinTable) -> None:
        self._pins = pins

    def recursive(self) -> AsyncIterator[Sequence[bytes]]:
        return self._batches("recursive")

    def direct(self) -> AsyncIterator[Sequence[bytes]]:
        return self._batches("direct")

    async def _batches(self, kind: PinKind) -> AsyncIterator[Sequence[bytes]]:
        last = 0
        while rows := await trio.to_thread.run_sync(self._pins.batch, last, kind):
            last = rows[-1][0]
            yield [pin.cid.buffer for _, pin in rows]


class _Tree:
    """The root of the mutable tree, as `libp2p.provide` wants it."""

    def __init__(self, root: FilesRoot) -> None:
        self._root = root

    async def recursive(self) -> AsyncIterator[Sequence[bytes]]:
        root = await trio.to_thread.run_sync(self._root.read)
        yield [] if root is None else [root.buffer]

    async def direct(self) -> AsyncIterator[Sequence[bytes]]:
        yield []


class Announcements:
    """The regular announcements of one peer."""

    def __init__(
        self,
        provider: Provider,
        datastore: Datastore,
        strategy: str,
        pins: PinTable,
    ) -> None:
        self._provider = provider
        self._pins = pins
        self._last_pin = 0
        self._datastore = datastore
        self._strategy = strategy
        self._faults = FaultLog()

    async def add(self, root: CID) -> None:
        """Announce what was added now; with the other blocks it stays announced."""
        await self._provider.provide_once([root])

    async def skip_pins(self) -> None:
        """Let `add_pins` announce only what is pinned from now on."""
        try:
            self._last_pin = await trio.to_thread.run_sync(self._pins.newest)
        except RepoError as error:
            logger.info("what is pinned later may be announced again: %s", error)

    async def add_pins(self) -> None:
        """Announce what was pinned since the last call, by this process or by others."""
        try:
            await self._add_pins()
        except RepoError as error:
            self._faults.note("reading pins to announce", error)

    async def _add_pins(self) -> None:
        while rows := await trio.to_thread.run_sync(self._pins.batch, self._last_pin):
            new = [pin.cid for number, pin in rows if number > self._last_pin]
            self._last_pin = max(self._last_pin, rows[-1][0])
            await self._provider.provide_once(new)

    def state(self) -> dict[str, Any]:
        """Return the state: the fields of `ProvideStats`, the strategy, and Unix seconds."""
        numbers = asdict(self._provider.stats())
        return {"written": time(), "strategy": self._strategy, **numbers}

    async def keep_state(self) -> None:
        """Write the state whenever it has changed."""
        before: dict[str, Any] = {}
        while True:
            state = self.state()
            now = {**state, "written": 0, "lag": 0, "seconds_left": 0}
            if now != before:
                before = now
                await self._write(state)
            await trio.sleep(STATE_SECONDS)  # time: people read it

    async def _write(self, state: dict[str, Any]) -> None:
        change = Change(STATE_NAMESPACE, _STATE_KEY, json.dumps(state).encode())
        try:
            await self._datastore.write([change])
        except DatastoreError as error:
            self._faults.note("the state of announcing", error)


@asynccontextmanager
async def announcing(
    parts: LocalParts, router: ContentRouter, host: BasicHost
) -> AsyncIterator[Announcements]:
    """Announce what a peer has, for the length of the block, as its settings say."""
    config, datastore = parts.config, parts.datastore or MemoryDatastore()
    if not parts.has_identity:
        datastore = MemoryDatastore()  # the process with the repo's key writes the repo's
    interval = config.provide_interval
    settings = ProvideConfig(
        interval_seconds=interval, slack_seconds=min(SLACK_SECONDS, interval / 2)
    )
    source = key_source(config.provide, parts.store, _Pinned(parts.pins), _Tree(parts.files_root))
    provider = Provider(router, source, datastore, settings, peer_id=host.get_id())
    async with provider.run():
        # Before the first peer is there nobody can be told.
        subscription = host.subscribe(lambda event: provider.note_online(), PeerIdentified)
        try:
            async with trio.open_nursery() as nursery:
                announcements = Announcements(provider, datastore, config.provide, parts.pins)
                await announcements.skip_pins()
                nursery.start_soon(announcements.keep_state)
                yield announcements
                nursery.cancel_scope.cancel()
        finally:
            subscription.cancel()


async def stored_state(datastore: Datastore) -> dict[str, Any] | None:
    """
    Return what `Announcements` has written last; None if nothing was announced yet.

    :raises DatastoreError: if it cannot be read.
    """
    entry = await datastore.get(STATE_NAMESPACE, _STATE_KEY)
    if entry is None:
        return None
    state: dict[str, Any] = json.loads(entry.value)
    return state
