"""The facts known of one peer (sans-I/O); `now` is a reading of the peer store's clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import PeerDataError

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import MetadataValue
    from libp2p.crypto.keys import PrivateKey, PublicKey

#: go-libp2p's limits on what one peer can make us remember.
MAX_ADDRESSES_PER_PEER: Final = 500
MAX_PROTOCOLS_PER_PEER: Final = 1024

#: Weight of the newest latency in the moving average.
LATENCY_EWMA_SMOOTHING: Final = 0.1


@dataclass(slots=True)
class KnownAddress:
    """An address with its expiry; ``announced`` if it is the peer's own statement."""

    expires_at: float
    announced: bool

    def hear_again(self, expires_at: float, announced: bool) -> None:
        """Extend the expiry; it is never shortened."""
        self.expires_at = max(self.expires_at, expires_at)
        self.announced |= announced


class PeerData:
    """Addresses, protocols, keys, metadata and latency of one peer."""

    __slots__ = (
        "_addresses",
        "_latency",
        "_private_key",
        "_protocols",
        "_public_key",
        "is_permanent",
        "metadata",
    )

    def __init__(self) -> None:
        self.metadata: dict[str, MetadataValue] = {}
        self._addresses: dict[Multiaddr, KnownAddress] = {}
        self._protocols: dict[str, None] = {}  # a set that keeps its order
        self._public_key: PublicKey | None = None
        self._private_key: PrivateKey | None = None
        self._latency = 0.0
        self.is_permanent = False
        """Whether an address was to be remembered for good; for others to read."""

    # -- addresses --------------------------------------------------------------------------------

    def add_addrs(
        self, addrs: Iterable[Multiaddr], expires_at: float = inf, announced: bool = False
    ) -> list[Multiaddr]:
        """Remember ``addrs`` and return those that were not known; expiries are only extended."""
        new: list[Multiaddr] = []
        for address in addrs:
            self.is_permanent |= expires_at == inf
            known = self._addresses.get(address)
            if known is None:
                self._addresses[address] = KnownAddress(expires_at, announced)
                new.append(address)
            else:
                known.hear_again(expires_at, announced)
        self._keep_longest_lived()
        return new

    def replace_announced(self, addrs: Sequence[Multiaddr], expires_at: float) -> list[Multiaddr]:
        """Put ``addrs`` in the place of what the peer announced before; return the new ones."""
        self._addresses = {
            address: known
            for address, known in self._addresses.items()
            if address in addrs or not known.announced
        }
        self.is_permanent = any(known.expires_at == inf for known in self._addresses.values())
        return self.add_addrs(addrs, expires_at, announced=True)

    def get_addrs(self, now: float = -inf) -> list[Multiaddr]:
        """Return the addresses that have not expired; all without ``now``."""
        return [address for address, known in self._addresses.items() if known.expires_at > now]

    def known_addrs(self) -> dict[Multiaddr, KnownAddress]:
        """Return all addresses, valid or not, each with its expiry; for others to read."""
        return self._addresses

    def is_expired(self, now: float) -> bool:
        """Return whether there were addresses and none is valid any more."""
        return bool(self._addresses) and self.expires_at() <= now

    def expires_at(self) -> float:
        """Return when the last address expires; -inf if there is none."""
        if self.is_permanent:
            return inf
        return max((known.expires_at for known in self._addresses.values()), default=-inf)

    @property
    def address_count(self) -> int:
        """How many addresses are remembered, valid or not."""
        return len(self._addresses)

    def clear_addrs(self) -> None:
        """Forget all addresses."""
        self._addresses.clear()
        self.is_permanent = False

    def drop_expired(self, now: float) -> None:
        """Forget the addresses that have expired, but for the last one."""
        valid = {a: known for a, known in self._addresses.items() if known.expires_at > now}
        if valid:
            self._addresses = valid

    def _keep_longest_lived(self) -> None:
        # Hearsay expires soon; addresses from the peer itself or from the user do not.
        if len(self._addresses) > MAX_ADDRESSES_PER_PEER:
            by_expiry = sorted(self._addresses.items(), key=lambda item: -item[1].expires_at)
            self._addresses = dict(by_expiry[:MAX_ADDRESSES_PER_PEER])

    # -- protocols --------------------------------------------------------------------------------

    def get_protocols(self) -> list[str]:
        """Return the protocols that the peer speaks."""
        return list(self._protocols)

    def add_protocols(self, protocols: Iterable[str]) -> None:
        """Remember ``protocols``, up to the limit."""
        for protocol in protocols:
            if len(self._protocols) == MAX_PROTOCOLS_PER_PEER:
                break
            self._protocols[protocol] = None

    def set_protocols(self, protocols: Iterable[str]) -> None:
        """Remember ``protocols`` and forget all others."""
        self._protocols = {}
        self.add_protocols(protocols)

    def remove_protocols(self, protocols: Iterable[str]) -> None:
        """Forget ``protocols``."""
        for protocol in protocols:
            self._protocols.pop(protocol, None)

    def supports_protocols(self, protocols: Iterable[str]) -> list[str]:
        """Return those of ``protocols`` that the peer speaks, in their order."""
        return [protocol for protocol in protocols if protocol in self._protocols]

    def first_supported_protocol(self, protocols: Iterable[str]) -> str:
        """Return the first of ``protocols`` that the peer speaks, or an empty string."""
        return next(iter(self.supports_protocols(protocols)), "")

    def clear_protocol_data(self) -> None:
        """Forget all protocols."""
        self._protocols = {}

    # -- keys -------------------------------------------------------------------------------------

    @property
    def has_keys(self) -> bool:
        """True if a key of the peer is known."""
        return self._public_key is not None or self._private_key is not None

    @property
    def public_key(self) -> PublicKey | None:
        """The public key, if it is known."""
        return self._public_key

    @property
    def is_own(self) -> bool:
        """True if the peer is an identity of this process."""
        return self._private_key is not None

    @property
    def pubkey(self) -> PublicKey | None:
        """The public key, if it is known; py-libp2p's name."""
        return self._public_key

    @pubkey.setter
    def pubkey(self, key: PublicKey | None) -> None:
        self._public_key = key

    @property
    def privkey(self) -> PrivateKey | None:
        """The private key, if the peer is of this process; py-libp2p's name."""
        return self._private_key

    @privkey.setter
    def privkey(self, key: PrivateKey | None) -> None:
        self._private_key = key

    def add_pubkey(self, pubkey: PublicKey) -> None:
        """Remember the public key."""
        self._public_key = pubkey

    def get_pubkey(self) -> PublicKey:
        """:raises PeerDataError: if it is not known."""
        if self._public_key is None:
            raise PeerDataError("public key not found")
        return self._public_key

    def add_privkey(self, privkey: PrivateKey) -> None:
        """Remember the private key."""
        self._private_key = privkey

    def get_privkey(self) -> PrivateKey:
        """:raises PeerDataError: if it is not known."""
        if self._private_key is None:
            raise PeerDataError("private key not found")
        return self._private_key

    def clear_keydata(self) -> None:
        """Forget both keys."""
        self._public_key = self._private_key = None

    # -- metadata and latency ---------------------------------------------------------------------

    def put_metadata(self, key: str, val: MetadataValue) -> None:
        """Remember ``val`` under ``key``; :raises TypeError: if it is no plain value."""
        if not isinstance(val, str | int | float | None):
            raise TypeError(
                f"MetadataValue must be str, int, float, bool, or None, not {type(val).__name__}"
            )
        self.metadata[key] = val

    def get_metadata(self, key: str) -> MetadataValue:
        """:raises PeerDataError: if there is nothing under ``key``."""
        if key not in self.metadata:
            raise PeerDataError("key not found")
        return self.metadata[key]

    def clear_metadata(self) -> None:
        """Forget all metadata."""
        self.metadata = {}

    def record_latency(self, new_latency: float) -> None:
        """Take a measured round trip into the moving average."""
        if self._latency == 0:
            self._latency = new_latency
        else:
            self._latency += LATENCY_EWMA_SMOOTHING * (new_latency - self._latency)

    def latency_EWMA(self) -> float:
        """Return the moving average of the measured round trips; 0 if there was none."""
        return self._latency

    def clear_metrics(self) -> None:
        """Forget the latency."""
        self._latency = 0.0
