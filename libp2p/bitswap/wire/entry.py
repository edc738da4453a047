"""What can be wanted and answered: want and presence types, one entry of a wantlist (sans-I/O)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from libp2p.bitswap.config import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID


class WantType(IntEnum):
    """What is wanted: the block, or to know whether the peer has it."""

    Block = 0
    Have = 1


class BlockPresenceType(IntEnum):
    """What a peer says about a block that it does not send."""

    Have = 0
    DontHave = 1


class Entry(NamedTuple):
    """One want of a message, or the end of one (``cancel``)."""

    cid: CID
    priority: int = DEFAULT_PRIORITY
    cancel: bool = False
    want_type: WantType = WantType.Block
    send_dont_have: bool = False
