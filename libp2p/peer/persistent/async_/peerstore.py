"""py-libp2p's peer store whose methods have async forms that write before they return."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

import trio

from libp2p.peer.peerstore import PeerStore, known_addresses
from libp2p.peer.persistent.peerstore import PersistentPeerStore
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.datastore.base import Datastore

P = ParamSpec("P")
R = TypeVar("R")


def _in_async(
    method: Callable[Concatenate[PeerStore, P], R],
) -> Callable[Concatenate[AsyncPersistentPeerStore, P], Awaitable[R]]:
    """Return the method after which everything is written, and before which all is loaded."""

    @wraps(method)
    async def in_async(store: AsyncPersistentPeerStore, /, *args: P.args, **kwargs: P.kwargs) -> R:
        await store.load_once()
        result = method(store, *args, **kwargs)
        if store.auto_sync and store.has_changes:
            await store.flush()
        return result

    return in_async


class AsyncPersistentPeerStore(PersistentPeerStore):
    """
    A `PersistentPeerStore` with py-libp2p's async methods: what one returns from is on disk.

    The others work too, so that it may be given to a host.

    :param sync_interval: of py-libp2p; what has been written survives the process at once.
    :param auto_sync: write each change before returning; else `close_async` writes all.
    :raises DatastoreError: in every async method, if the datastore fails.
    """

    def __init__(
        self,
        datastore: Datastore,
        max_records: int = 10000,
        sync_interval: float = 1.0,
        auto_sync: bool = True,
    ) -> None:
        arguments.count(max_records, "max_records", least=1)
        super().__init__(datastore, max_records, max_records)
        self.sync_interval = arguments.seconds(sync_interval, "sync_interval")
        self.auto_sync = auto_sync
        self._loading = trio.Lock()
        self._is_loaded = False

    async def load_once(self) -> None:
        """Load what is stored, at the first call."""
        async with self._loading:
            if not self._is_loaded:
                await self.load()
                self._is_loaded = True

    async def close_async(self) -> None:
        """Write what is not written yet, and close the datastore."""
        await self.flush()
        await self.datastore.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_async()

    get_local_record_async = _in_async(PeerStore.get_local_record)
    set_local_record_async = _in_async(PeerStore.set_local_record)
    peer_info_async = _in_async(PeerStore.peer_info)
    peer_ids_async = _in_async(PeerStore.peer_ids)
    has_peer_async = _in_async(PeerStore.has_peer)
    clear_peerdata_async = _in_async(PeerStore.clear_peerdata)
    valid_peer_ids_async = _in_async(PeerStore.valid_peer_ids)

    get_protocols_async = _in_async(PeerStore.get_protocols)
    add_protocols_async = _in_async(PeerStore.add_protocols)
    set_protocols_async = _in_async(PeerStore.set_protocols)
    remove_protocols_async = _in_async(PeerStore.remove_protocols)
    supports_protocols_async = _in_async(PeerStore.supports_protocols)
    first_supported_protocol_async = _in_async(PeerStore.first_supported_protocol)
    clear_protocol_data_async = _in_async(PeerStore.clear_protocol_data)

    get_async = _in_async(PeerStore.get)
    put_async = _in_async(PeerStore.put)
    clear_metadata_async = _in_async(PeerStore.clear_metadata)

    add_addr_async = _in_async(PeerStore.add_addr)
    add_addrs_async = _in_async(PeerStore.add_addrs)
    addrs_async = _in_async(known_addresses)
    clear_addrs_async = _in_async(PeerStore.clear_addrs)
    peers_with_addrs_async = _in_async(PeerStore.peers_with_addrs)
    addr_stream_async = PeerStore.addr_stream

    consume_peer_record_async = _in_async(PeerStore.consume_peer_record)
    get_peer_record_async = _in_async(PeerStore.get_peer_record)
    maybe_delete_peer_record_async = _in_async(PeerStore.maybe_delete_peer_record)

    add_pubkey_async = _in_async(PeerStore.add_pubkey)
    pubkey_async = _in_async(PeerStore.pubkey)
    add_privkey_async = _in_async(PeerStore.add_privkey)
    privkey_async = _in_async(PeerStore.privkey)
    add_key_pair_async = _in_async(PeerStore.add_key_pair)
    peer_with_keys_async = _in_async(PeerStore.peer_with_keys)
    clear_keydata_async = _in_async(PeerStore.clear_keydata)

    record_latency_async = _in_async(PeerStore.record_latency)
    latency_EWMA_async = _in_async(PeerStore.latency_EWMA)
    clear_metrics_async = _in_async(PeerStore.clear_metrics)
