"""py-libp2p's ``swarm.connection_config``: programs change limits of it while a swarm runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.network.config import SwarmConfig
    from libp2p.network.connection_table import ConnectionTable


class LiveConfig:
    """
    A swarm's configuration; three of its limits may be set, and hold from then on.

    :param config: what the swarm was made with.
    :param table: keeps the limits.
    """

    __slots__ = ("_config", "_table")

    def __init__(self, config: SwarmConfig, table: ConnectionTable) -> None:
        self._config = config
        self._table = table

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of a copy, which has no configuration yet
            raise AttributeError(name)
        return getattr(self._config, name)

    @property
    def max_connections(self) -> int:
        """Connections at the same time; there may be descriptors for fewer than were asked for."""
        return self._table.limit

    @max_connections.setter
    def max_connections(self, count: int) -> None:
        self._table.allow(arguments.count(count, "max_connections"))

    @property
    def high_watermark(self) -> int:
        """Connections above which idle ones are closed."""
        return self._table.high

    @high_watermark.setter
    def high_watermark(self, count: int) -> None:
        self._table.allow(high=arguments.count(count, "high_watermark"))

    @property
    def low_watermark(self) -> int:
        """Connections that are left when idle ones have been closed."""
        return self._table.low

    @low_watermark.setter
    def low_watermark(self, count: int) -> None:
        self._table.allow(low=arguments.count(count, "low_watermark"))
