"""multistream-select: two sides agree on a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.utils.lazy import lazy_names

if TYPE_CHECKING:
    from libp2p.protocol_muxer.generic_selector import (
        GenericMultistreamSelector as GenericMultistreamSelector,
    )

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            ".generic_selector": ["GenericMultistreamSelector"],
        },
    )
