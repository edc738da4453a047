"""
py-libp2p's types of messages and wantlists, for programs that build messages themselves (sans-I/O).

The client and the server work with `libp2p.bitswap.wire` instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libp2p.bitswap.config import DEFAULT_PRIORITY
from libp2p.bitswap.wire.entry import BlockPresenceType, WantType
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from libp2p.bitswap.pb.bitswap_pb2 import Message as ProtoMessage
    from libp2p.ipld.cid import CIDInput

__all__ = [
    "BitswapMessage",
    "BlockPresence",
    "BlockPresenceType",
    "WantType",
    "Wantlist",
    "WantlistEntry",
]


@dataclass
class WantlistEntry:
    """One want, its CID in binary form."""

    cid: bytes
    priority: int = DEFAULT_PRIORITY
    cancel: bool = False
    want_type: WantType = WantType.Block
    send_dont_have: bool = False

    @classmethod
    def from_cid(
        cls,
        cid: CIDInput,
        priority: int = DEFAULT_PRIORITY,
        cancel: bool = False,
        want_type: WantType = WantType.Block,
        send_dont_have: bool = False,
    ) -> WantlistEntry:
        return cls(CID.of(cid).buffer, priority, cancel, want_type, send_dont_have)


@dataclass
class Wantlist:
    """Wants, all of them or (not ``full``) changes to earlier ones."""

    entries: list[WantlistEntry] = field(default_factory=list)
    full: bool = False

    def add(
        self,
        cid: CIDInput,
        priority: int = DEFAULT_PRIORITY,
        want_type: WantType = WantType.Block,
        send_dont_have: bool = False,
    ) -> None:
        entry = WantlistEntry.from_cid(cid, priority, False, want_type, send_dont_have)
        self.entries.append(entry)

    def cancel(self, cid: CIDInput) -> None:
        self.entries.append(WantlistEntry.from_cid(cid, cancel=True))

    def contains(self, cid: CIDInput) -> bool:
        wanted = CID.of(cid).buffer
        return any(entry.cid == wanted and not entry.cancel for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)


@dataclass
class BlockPresence:
    """HAVE or DONT_HAVE for one CID."""

    cid: bytes
    type: BlockPresenceType

    @classmethod
    def have(cls, cid: CIDInput) -> BlockPresence:
        return cls(CID.of(cid).buffer, BlockPresenceType.Have)

    @classmethod
    def dont_have(cls, cid: CIDInput) -> BlockPresence:
        return cls(CID.of(cid).buffer, BlockPresenceType.DontHave)


@dataclass
class BitswapMessage:
    """A message as py-libp2p's programs build it; ``blocks`` are (binary CID, data)."""

    wantlist: Wantlist | None = None
    blocks: list[tuple[bytes, bytes]] = field(default_factory=list)
    block_presences: list[BlockPresence] = field(default_factory=list)
    pending_bytes: int = 0

    @property
    def is_want(self) -> bool:
        return bool(self.wantlist)

    @property
    def has_blocks(self) -> bool:
        return bool(self.blocks)

    @property
    def has_presences(self) -> bool:
        return bool(self.block_presences)

    def add_want(
        self,
        cid: CIDInput,
        priority: int = DEFAULT_PRIORITY,
        want_type: WantType = WantType.Block,
        send_dont_have: bool = False,
    ) -> None:
        self._wants().add(cid, priority, want_type, send_dont_have)

    def cancel_want(self, cid: CIDInput) -> None:
        self._wants().cancel(cid)

    def add_block(self, cid: CIDInput, data: bytes) -> None:
        self.blocks.append((CID.of(cid).buffer, data))

    def add_have(self, cid: CIDInput) -> None:
        self.block_presences.append(BlockPresence.have(cid))

    def add_dont_have(self, cid: CIDInput) -> None:
        self.block_presences.append(BlockPresence.dont_have(cid))

    def _wants(self) -> Wantlist:
        if self.wantlist is None:
            self.wantlist = Wantlist()
        return self.wantlist

    def to_proto(self) -> ProtoMessage:
        """Give the protobuf message; it always has a wantlist, as some Kubos need one."""
        from libp2p.bitswap.pb.bitswap_pb2 import Message as ProtoMessage

        proto = ProtoMessage(pendingBytes=self.pending_bytes)
        proto.wantlist.SetInParent()
        proto.wantlist.full = self.wantlist is not None and self.wantlist.full
        for entry in self.wantlist.entries if self.wantlist else ():
            proto.wantlist.entries.add(
                block=entry.cid,
                priority=entry.priority,
                cancel=entry.cancel,
                wantType=int(entry.want_type),
                sendDontHave=entry.send_dont_have,
            )
        for cid, data in self.blocks:
            proto.payload.add(prefix=CID.of(cid).prefix, data=data)
        for presence in self.block_presences:
            proto.blockPresences.add(cid=presence.cid, type=int(presence.type))
        return proto

    @classmethod
    def from_proto(cls, proto: ProtoMessage) -> BitswapMessage:
        """
        Take a protobuf message; blocks of 1.0.0 get CIDs of version 0.

        :raises InvalidCID: if the prefix of a block is malformed.
        :raises HashNotSupported: if it names a hash that cannot be computed.
        """
        message = cls(pending_bytes=proto.pendingBytes)
        if proto.HasField("wantlist"):
            message.wantlist = Wantlist(
                [
                    WantlistEntry(
                        entry.block,
                        entry.priority,
                        entry.cancel,
                        WantType.Have if int(entry.wantType) == WantType.Have else WantType.Block,
                        entry.sendDontHave,
                    )
                    for entry in proto.wantlist.entries
                ],
                proto.wantlist.full,
            )
        prefixed = [(b"", data) for data in proto.blocks]
        prefixed += [(block.prefix, block.data) for block in proto.payload]
        message.blocks = [
            (CID.from_prefix_and_data(prefix, data).buffer, data) for prefix, data in prefixed
        ]
        message.block_presences = [
            BlockPresence(presence.cid, BlockPresenceType(presence.type))
            for presence in proto.blockPresences
            if int(presence.type) in (0, 1)  # a later version may have more
        ]
        return message
