"""Limits on the connections of a network of IP addresses."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from libp2p.exceptions import InvalidArgument
from libp2p.resources import Scope
from libp2p.utils import arguments


class CIDRLimiter:
    """
    Counts connections by networks; each rule is a network and how many it may have.

    An address counts in every network that it is in. What is no address, or None, is in none.

    :raises InvalidArgument: if a network is none.
    """

    def __init__(self, rules: Iterable[tuple[str, int]] | None = None) -> None:
        self._rules: list[tuple[IPv4Network | IPv6Network, Scope]] = []
        for text, limit in rules or ():
            try:
                network = ip_network(text, strict=False)
            except ValueError as error:
                raise InvalidArgument(f"cidr_limits: {error}") from error
            scope = Scope(f"connections of {network}", arguments.count(limit, "a cidr limit"))
            self._rules.append((network, scope))

    def scopes_of(self, endpoint_ip: str | None) -> list[Scope]:
        """Return where a connection of this address counts."""
        try:
            address = ip_address(endpoint_ip or "")
        except ValueError:
            return []
        return [scope for network, scope in self._rules if address in network]

    def allow(self, endpoint_ip: str | None) -> bool:
        """Tell whether there is room for one more connection."""
        return all(scope.room != 0 for scope in self.scopes_of(endpoint_ip))

    def acquire(self, endpoint_ip: str | None) -> bool:
        """Count one more if there is room; return whether there was."""
        if not self.allow(endpoint_ip):
            return False
        for scope in self.scopes_of(endpoint_ip):
            scope.hold(1)
        return True

    def release(self, endpoint_ip: str | None) -> None:
        """Count one less."""
        for scope in self.scopes_of(endpoint_ip):
            scope.release(min(scope.held, 1))
