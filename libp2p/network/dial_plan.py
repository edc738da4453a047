"""
In which order and when to try a peer's addresses (sans-I/O).

Happy eyeballs: the first address is tried at once. Each other address is tried when the address
before it has had a head start or has failed. The first connection wins. No address is left out, for
it may be the only good one of its peer. Addresses that failed lately come last and are not refused,
so that an explicit dial is always a real attempt.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multiaddr import Multiaddr

#: Head start of an address before the next is tried beside it, in seconds (RFC 8305 §5).
PUBLIC_HEAD_START: Final = 0.25
#: The head start of an address in the same network, where no host needs longer to answer.
PRIVATE_HEAD_START: Final = 0.03
#: Back-off of an address after its n-th failure in a row: 5 s + 1 s x n², at most 5 minutes.
BACKOFF_BASE: Final = 5.0
BACKOFF_MAX: Final = 300.0
#: Addresses remembered as failing; the oldest are forgotten first.
MAX_BACKOFFS: Final = 4096


@dataclass(frozen=True, slots=True)
class PlannedDial:
    """Try ``address``, ``head_start`` seconds after the address before it was tried."""

    address: Multiaddr
    head_start: float


@dataclass(slots=True)
class _Failures:
    count: int
    until: float


@dataclass(slots=True)
class DialBackoff:
    """Which addresses failed lately; keys are (peer, address)."""

    _failures: dict[Hashable, _Failures] = field(default_factory=dict)

    def failed(self, key: Hashable, now: float) -> None:
        """Remember a failure."""
        count = self._failures[key].count + 1 if key in self._failures else 1
        pause = min(BACKOFF_BASE + count * count, BACKOFF_MAX)
        self._failures.pop(key, None)
        self._failures[key] = _Failures(count, now + pause)
        if len(self._failures) > MAX_BACKOFFS:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, key: Hashable) -> None:
        """Forget the failures."""
        self._failures.pop(key, None)

    def is_active(self, key: Hashable, now: float) -> bool:
        """True while other addresses should be tried before this one."""
        failures = self._failures.get(key)
        return failures is not None and now < failures.until


def _rank(address: Multiaddr) -> tuple[int, bool, int]:
    """Nearest first, then IPv6 before IPv4, then lower ports: the order of go-libp2p's ranker."""
    parts = str(address).split("/")
    protocol, host = parts[1], parts[2] if len(parts) > 2 else ""
    port = int(parts[4]) if len(parts) > 4 and parts[4].isdecimal() else 0
    if protocol == "memory":
        return 0, False, port
    if protocol not in ("ip4", "ip6"):
        return 2, False, port
    ip = ip_address(host)
    return (0 if ip.is_loopback else 1 if ip.is_private else 2), ip.version == 4, port


def plan_dials(
    addresses: Iterable[Multiaddr], avoid: Iterable[Multiaddr] = ()
) -> list[PlannedDial]:
    """Order ``addresses``, without repetitions, those in ``avoid`` last."""
    late = set(avoid)
    unique = dict.fromkeys(addresses)
    ordered = sorted(unique, key=lambda address: (address in late, *_rank(address)))
    plan: list[PlannedDial] = []
    head_start = 0.0
    for address in ordered:
        plan.append(PlannedDial(address, head_start))
        head_start = PUBLIC_HEAD_START if _rank(address)[0] == 2 else PRIVATE_HEAD_START
    return plan
