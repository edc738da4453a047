"""Connections to peers and the streams on them; the swarm is in `libp2p.network.swarm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.utils.lazy import lazy_names

if TYPE_CHECKING:
    from libp2p.network.auto_connector import AutoConnector as AutoConnector
    from libp2p.network.connection_pruner import ConnectionPruner as ConnectionPruner
    from libp2p.network.tag_store import CommonTags as CommonTags
    from libp2p.network.tag_store import TagInfo as TagInfo
    from libp2p.network.tag_store import TagStore as TagStore
    from libp2p.network.tag_store import upsert_add as upsert_add
    from libp2p.network.tag_store import upsert_bounded as upsert_bounded
    from libp2p.network.tag_store import upsert_set as upsert_set

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            ".auto_connector": ["AutoConnector"],
            ".connection_pruner": ["ConnectionPruner"],
            ".tag_store": [
                "CommonTags",
                "TagInfo",
                "TagStore",
                "upsert_add",
                "upsert_bounded",
                "upsert_set",
            ],
        },
    )
