"""
What a ``/dnsaddr`` address stands for (sans-I/O).

``/dnsaddr/example.org/p2p/12D3…`` stands for the addresses in the TXT records of
``_dnsaddr.example.org`` that end in ``/p2p/12D3…``. Each record is the text ``dnsaddr=`` and an
address, which may be a ``/dnsaddr`` again.

https://github.com/multiformats/multiaddr/blob/master/protocols/DNSADDR.md
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from libp2p.dns.config import MAX_TEXTS
from libp2p.exceptions import InvalidAddrError
from libp2p.peer.addresses import DNSADDR, address_from_text, address_from_wire, split_address

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.dns.config import DnsConfig
    from libp2p.peer.addresses import Component

_RECORD: Final = "dnsaddr="

#: What an address ends in, component by component.
_Suffix: TypeAlias = tuple[bytes, ...]


def is_dnsaddr(address: Multiaddr) -> bool:
    """Return whether an address is a ``/dnsaddr``."""
    components = split_address(address.to_bytes())
    return bool(components) and components[0].code == DNSADDR


class Expansion:
    """
    The addresses that one ``/dnsaddr`` stands for, as answers come.

    Whoever drives it looks up the TXT records of `next_names` and hands them in, until there are
    no more. Every name is asked once, so that a circle ends.

    :raises InvalidAddrError: if ``address`` is no ``/dnsaddr``.
    """

    def __init__(self, address: Multiaddr, config: DnsConfig) -> None:
        self.addresses: list[Multiaddr] = []
        self.failures: list[str] = []
        self._config = config
        self._known: dict[Multiaddr, None] = {}
        self._answers: dict[str, list[str]] = {}
        self._waiting: dict[str, list[tuple[_Suffix, int]]] = {}
        self._asked: set[str] = set()
        self._failed: set[str] = set()
        self._entered: set[tuple[str, _Suffix]] = set()
        if not is_dnsaddr(address):
            raise InvalidAddrError(f"{address} is no /dnsaddr address")
        self._enter(_parts(address), 1)

    @property
    def is_full(self) -> bool:
        """True if there are as many addresses as one may stand for."""
        return len(self.addresses) >= self._config.max_addresses

    def next_names(self) -> list[str]:
        """Return the names whose TXT records are needed and were not asked for yet."""
        if self.is_full:
            return []
        free = self._config.max_look_ups - len(self._asked)
        names = [name for name in self._waiting if name not in self._asked]
        if len(names) > free:
            self._fail(f"more than {self._config.max_look_ups} names would have to be looked up")
        self._asked.update(names[:free])
        return names[:free]

    def on_answer(self, name: str, texts: Iterable[str]) -> None:
        """Take in the TXT records of a name."""
        records = [text for text in list(texts)[:MAX_TEXTS] if text.startswith(_RECORD)]
        self._answers[name] = records
        if not records:
            self._fail(f"{name} has no dnsaddr= record")
        for suffix, depth in self._waiting.pop(name, ()):
            self._match(records, suffix, depth)

    def on_failure(self, name: str, reason: str) -> None:
        """Note that a name could not be looked up."""
        self._waiting.pop(name, None)
        self._failed.add(name)
        self._fail(reason)

    def _match(self, records: list[str], suffix: _Suffix, depth: int) -> None:
        """Take in the records that end in ``suffix``."""
        for record in records:
            try:
                address = address_from_text(record.removeprefix(_RECORD))
                address = address_from_wire(address.to_bytes())
            except InvalidAddrError:
                continue  # of a protocol that is not known here, perhaps
            parts = _parts(address)
            leads_on = parts[0].code == DNSADDR
            tail = _raw(parts[1:] if leads_on else parts)
            if tail[len(tail) - len(suffix) :] != suffix or self.is_full:
                continue
            if leads_on:
                self._enter(parts, depth + 1)
            elif address not in self._known:
                self._known[address] = None
                self.addresses.append(address)

    def _enter(self, parts: tuple[Component, ...], depth: int) -> None:
        """Note that a ``/dnsaddr`` has to be looked up."""
        name = f"_dnsaddr.{parts[0].value.decode().rstrip('.').lower()}"
        suffix = _raw(parts[1:])
        if (name, suffix) in self._entered:
            return
        self._entered.add((name, suffix))
        if depth > self._config.max_depth:
            self._fail(f"{name} is more than {self._config.max_depth} steps away")
        elif name in self._answers:
            self._match(self._answers[name], suffix, depth)
        elif name not in self._failed:
            self._waiting.setdefault(name, []).append((suffix, depth))

    def _fail(self, reason: str) -> None:
        if reason not in self.failures and len(self.failures) < self._config.max_look_ups:
            self.failures.append(reason)


def _parts(address: Multiaddr) -> tuple[Component, ...]:
    return split_address(address_from_wire(address.to_bytes()).to_bytes())


def _raw(parts: tuple[Component, ...]) -> _Suffix:
    return tuple(part.raw for part in parts)
