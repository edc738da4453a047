"""Transports: what carries the bytes of a connection, and what secures and multiplexes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.utils.lazy import lazy_names

if TYPE_CHECKING:
    from libp2p.abc import ITransport as ITransport
    from libp2p.transport.manager import TransportManager as TransportManager
    from libp2p.transport.tcp.tcp import TCP as TCP
    from libp2p.transport.upgrader import TransportUpgrader as TransportUpgrader

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "libp2p.abc": ["ITransport"],
            ".manager": ["TransportManager"],
            ".tcp.tcp": ["TCP"],
            ".upgrader": ["TransportUpgrader"],
        },
    )
