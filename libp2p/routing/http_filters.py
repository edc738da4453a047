"""
Which peers and addresses an answer of ``/routing/v1`` has: IPIP-484 (sans-I/O).

https://specs.ipfs.tech/ipips/ipip-0484/. Servers that do not know the filters ignore them, so a
client applies them to what it gets as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidArgument
from libp2p.routing.found import FoundPeer

if TYPE_CHECKING:
    from multiaddr import Multiaddr

#: Names in one filter, and characters of each. The specification allows names of 63.
MAX_FILTER_NAMES: Final = 32
MAX_NAME_CHARACTERS: Final = 63

UNKNOWN: Final = "unknown"


@dataclass(frozen=True)
class Filters:
    """
    Names of protocols that addresses and peers must have; an empty list filters nothing.

    ``addrs`` are names in multiaddrs, such as ``tcp``, ``!quic-v1``, ``unknown``; ``protocols`` are
    transfer protocols, such as ``transport-bitswap``, ``unknown``.

    :raises InvalidArgument: if there are too many, or one is too long.
    """

    addrs: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("addrs", "protocols"):
            values = getattr(self, name)
            if isinstance(values, str):
                raise InvalidArgument(f"filter-{name} must be a list of names")
            names = tuple(sorted({str(value).strip().lower() for value in values} - {""}))
            if len(names) > MAX_FILTER_NAMES:
                raise InvalidArgument(
                    f"filter-{name} has {len(names)} names, at most {MAX_FILTER_NAMES} are possible"
                )
            if any(len(each) > MAX_NAME_CHARACTERS + 1 for each in names):
                raise InvalidArgument(
                    f"a name in filter-{name} is longer than {MAX_NAME_CHARACTERS} characters"
                )
            object.__setattr__(self, name, names)

    @classmethod
    def parse(cls, addrs: str = "", protocols: str = "") -> Filters:
        """
        Read the values of the query parameters ``filter-addrs`` and ``filter-protocols``.

        :raises InvalidArgument: if there are too many names, or one is too long.
        """
        return cls(tuple(addrs.split(",")), tuple(protocols.split(",")))

    def parameters(self) -> dict[str, str]:
        """Return the query parameters; names are sorted, so that caches see one URL for one set."""
        found = {"filter-addrs": ",".join(self.addrs), "filter-protocols": ",".join(self.protocols)}
        return {name: value for name, value in found.items() if value}

    def apply(self, peer: FoundPeer) -> FoundPeer | None:
        """Return a peer with the addresses that pass; None if the peer does not."""
        if not self._passes_protocols(peer.protocols):
            return None
        if not self.addrs:
            return peer
        if not peer.addrs and not peer.urls:
            return peer if UNKNOWN in self.addrs else None
        addrs = [each for each in peer.addrs if self._passes(_names_in(each))]
        urls = [each for each in peer.urls if self._passes({each.partition(":")[0].lower()})]
        if not addrs and not urls:
            return None
        return FoundPeer(peer.peer_id, addrs, peer.protocols, urls)

    def _passes_protocols(self, protocols: Iterable[str]) -> bool:
        names = {name.lower() for name in protocols}
        return (
            not self.protocols
            or (not names and UNKNOWN in self.protocols)
            or not names.isdisjoint(self.protocols)
        )

    def _passes(self, names: set[str]) -> bool:
        unwanted = {name[1:] for name in self.addrs if name.startswith("!")}
        wanted = {name for name in self.addrs if not name.startswith("!")}
        return names.isdisjoint(unwanted) and (not wanted or not names.isdisjoint(wanted))


def _names_in(address: Multiaddr) -> set[str]:
    return {protocol.name for protocol in address.protocols()}
