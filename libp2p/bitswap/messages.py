"""
py-libp2p's ``create_*`` functions (sans-I/O): protobuf messages for programs that build their own.

The client and the server do not use them; protobuf is imported when one is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from libp2p.bitswap.config import DEFAULT_PRIORITY
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from libp2p.bitswap.pb.bitswap_pb2 import Message
    from libp2p.bitswap.wire.entry import WantType
    from libp2p.ipld.cid import CIDInput


def create_wantlist_entry(
    block_cid: CIDInput,
    priority: int = DEFAULT_PRIORITY,
    cancel: bool = False,
    want_type: int | WantType = 0,
    send_dont_have: bool = False,
) -> Message.Wantlist.Entry:
    """Make one entry of a wantlist; ``want_type`` 1 asks only whether the peer has the block."""
    from libp2p.bitswap.pb.bitswap_pb2 import Message

    return Message.Wantlist.Entry(
        block=CID.of(block_cid).buffer,
        priority=priority,
        cancel=cancel,
        wantType=Message.Wantlist.WantType.Name(int(want_type)),
        sendDontHave=send_dont_have,
    )


def create_wantlist_message(
    entries: Sequence[Message.Wantlist.Entry], full: bool = False
) -> Message:
    """Make a message of wants."""
    return create_message(wantlist_entries=entries, full_wantlist=full)


def create_block_message_v100(blocks: Sequence[bytes]) -> Message:
    """Make a message of blocks as 1.0.0 has them: the data alone."""
    return create_message(blocks_v100=blocks)


def create_block_message_v110(blocks: Sequence[tuple[bytes, bytes]]) -> Message:
    """Make a message of (prefix of the CID, data) pairs."""
    return create_message(blocks_v110=blocks)


def create_block_presence_message(presences: Sequence[tuple[CIDInput, bool]]) -> Message:
    """Make a message that says of each CID whether the block is here."""
    return create_message(block_presences=presences)


def create_message(
    wantlist_entries: Sequence[Message.Wantlist.Entry] | None = None,
    blocks_v100: Sequence[bytes] | None = None,
    blocks_v110: Sequence[tuple[bytes, bytes]] | None = None,
    block_presences: Sequence[tuple[CIDInput, bool]] | None = None,
    pending_bytes: int = 0,
    full_wantlist: bool = False,
) -> Message:
    """Make a message of everything; it always has a wantlist, as some Kubos need one."""
    from libp2p.bitswap.pb.bitswap_pb2 import Message

    message = Message(blocks=blocks_v100 or (), pendingBytes=pending_bytes)
    message.wantlist.full = full_wantlist
    message.wantlist.SetInParent()
    message.wantlist.entries.extend(wantlist_entries or ())
    for prefix, data in blocks_v110 or ():
        message.payload.add(prefix=prefix, data=data)
    for cid, has_block in block_presences or ():
        kind = Message.Have if has_block else Message.DontHave
        message.blockPresences.add(cid=CID.of(cid).buffer, type=kind)
    return message
