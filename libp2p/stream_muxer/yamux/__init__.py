"""yamux: many streams on one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.utils.lazy import lazy_names

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.yamux import Yamux as Yamux

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            ".yamux": ["Yamux"],
        },
    )
