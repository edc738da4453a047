"""The interfaces of a peer store, by py-libp2p's names; re-exported by `libp2p.abc`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import MetadataValue
    from libp2p.crypto.keys import KeyPair, PrivateKey, PublicKey
    from libp2p.peer.envelope import Envelope
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo


class IPeerMetadata(ABC):
    """Named values of a peer."""

    @abstractmethod
    def get(self, peer_id: ID, key: str) -> MetadataValue: ...

    @abstractmethod
    def put(self, peer_id: ID, key: str, val: MetadataValue) -> None: ...

    @abstractmethod
    def clear_metadata(self, peer_id: ID) -> None: ...


class IAddrBook(ABC):
    """Addresses of a peer, each with an expiry."""

    @abstractmethod
    def add_addr(self, peer_id: ID, addr: Multiaddr, ttl: int) -> None: ...

    @abstractmethod
    def add_addrs(self, peer_id: ID, addrs: Sequence[Multiaddr], ttl: int) -> None: ...

    @abstractmethod
    def addrs(self, peer_id: ID) -> list[Multiaddr]: ...

    @abstractmethod
    def clear_addrs(self, peer_id: ID) -> None: ...

    @abstractmethod
    def peers_with_addrs(self) -> list[ID]: ...

    def replace_announced_addrs(self, peer_id: ID, addrs: Sequence[Multiaddr], ttl: int) -> None:
        """Forget what the peer announced of itself before, and store ``addrs`` instead."""
        self.clear_addrs(peer_id)
        self.add_addrs(peer_id, addrs, ttl)


class ICertifiedAddrBook(ABC):
    """Addresses that peers have signed."""

    @abstractmethod
    def consume_peer_record(self, envelope: Envelope, ttl: int) -> bool: ...

    @abstractmethod
    def get_peer_record(self, peer_id: ID) -> Envelope | None: ...

    @abstractmethod
    def maybe_delete_peer_record(self, peer_id: ID) -> None: ...


class IKeyBook(ABC):
    """Keys of a peer."""

    @abstractmethod
    def pubkey(self, peer_id: ID) -> PublicKey: ...

    @abstractmethod
    def privkey(self, peer_id: ID) -> PrivateKey: ...

    @abstractmethod
    def add_pubkey(self, peer_id: ID, pubkey: PublicKey) -> None: ...

    @abstractmethod
    def add_privkey(self, peer_id: ID, privkey: PrivateKey) -> None: ...

    @abstractmethod
    def add_key_pair(self, peer_id: ID, key_pair: KeyPair) -> None: ...

    @abstractmethod
    def peer_with_keys(self) -> list[ID]: ...

    @abstractmethod
    def clear_keydata(self, peer_id: ID) -> None: ...


class IMetrics(ABC):
    """Measured latency of a peer."""

    @abstractmethod
    def record_latency(self, peer_id: ID, RTT: float) -> None: ...

    @abstractmethod
    def latency_EWMA(self, peer_id: ID) -> float: ...

    @abstractmethod
    def clear_metrics(self, peer_id: ID) -> None: ...


class IProtoBook(ABC):
    """Protocols that a peer speaks."""

    @abstractmethod
    def get_protocols(self, peer_id: ID) -> list[str]: ...

    @abstractmethod
    def add_protocols(self, peer_id: ID, protocols: Sequence[str]) -> None: ...

    @abstractmethod
    def set_protocols(self, peer_id: ID, protocols: Sequence[str]) -> None: ...

    @abstractmethod
    def remove_protocols(self, peer_id: ID, protocols: Sequence[str]) -> None: ...

    @abstractmethod
    def supports_protocols(self, peer_id: ID, protocols: Sequence[str]) -> list[str]: ...

    @abstractmethod
    def first_supported_protocol(self, peer_id: ID, protocols: Sequence[str]) -> str: ...

    @abstractmethod
    def clear_protocol_data(self, peer_id: ID) -> None: ...


class IPeerStore(IPeerMetadata, IAddrBook, ICertifiedAddrBook, IKeyBook, IMetrics, IProtoBook):
    """Everything that a host knows of other peers."""

    @abstractmethod
    def get_local_record(self) -> Envelope | None: ...

    @abstractmethod
    def set_local_record(self, envelope: Envelope) -> None: ...

    @abstractmethod
    def peer_info(self, peer_id: ID) -> PeerInfo: ...

    @abstractmethod
    def peer_ids(self) -> list[ID]: ...

    @abstractmethod
    def has_peer(self, peer_id: ID) -> bool: ...

    @abstractmethod
    def clear_peerdata(self, peer_id: ID) -> None: ...

    def protect(self, peer_id: ID) -> None:
        """Keep what is known of a peer, as of a connected one, until `unprotect`; calls nest."""

    def unprotect(self, peer_id: ID) -> None:
        """Let a peer be forgotten again."""

    def note_connection(
        self,
        peer_id: ID,
        dialled: Sequence[Multiaddr] = (),
        announced: Sequence[Multiaddr] = (),
    ) -> None:
        """
        Note that a peer is connected, or was until now.

        :param dialled: the address at which it was dialled, if it was.
        :param announced: those that it gives as its own.
        """

    def seen_peers(self) -> list[PeerInfo]:
        """Return the peers that there was a connection to, the latest one first."""
        return []

    @asynccontextmanager
    async def lasting(self) -> AsyncIterator[None]:
        """
        Keep what is learnt within the block for the next start, if this is a store that does.

        The host enters it when it starts to run.
        """
        yield

    @abstractmethod
    async def start_cleanup_task(self, cleanup_interval: int = 3600) -> None: ...
