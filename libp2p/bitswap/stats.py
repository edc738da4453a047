"""What a bitswap client has done, named as in ``ipfs bitswap stat``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID


@dataclass(slots=True)
class BitswapStat:
    """
    Counts since the client was made; ``wantlist`` and ``peers`` are those of now.

    Owner: libp2p.bitswap.net.message_handler
    Owner: libp2p.bitswap.serve.server
    """

    blocks_received: int = 0
    data_received: int = 0
    """Bytes of all blocks received, wanted or not."""
    dup_blks_received: int = 0
    dup_data_received: int = 0
    unwanted_blocks_received: int = 0
    """Blocks that were never asked for; they are dropped."""
    late_blocks_received: int = 0
    """Blocks that came when nobody wanted them any more; they are dropped."""
    messages_received: int = 0
    blocks_sent: int = 0
    data_sent: int = 0
    wantlist: list[CID] = field(default_factory=list)
    peers: list[ID] = field(default_factory=list)


@dataclass(slots=True)
class SessionStat:
    """
    Counts of one session.

    Owner: libp2p.bitswap.net.waiters
    """

    blocks_received: int = 0
    """Blocks that it wanted, each once."""
    data_received: int = 0
    dup_blks_received: int = 0
    """Those of them that came again."""
    dup_data_received: int = 0
