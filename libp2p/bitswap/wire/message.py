"""
Bitswap messages, and their way into buffers (sans-I/O), https://specs.ipfs.tech/bitswap-protocol/.

Coded by hand, since blocks are most of the bytes: a block is passed on as the buffer that it is.
`decode` is the way back, `pb/bitswap.proto` has the schema. On the wire a message is its
length as a varint, then

    0a len wantlist      always present, empty or not: Kubo 0.34 and 0.35 crash without it
    1a len block …       prefix of the CID, data       (1.0.0: field 2, the data alone)
    22 len presence …    HAVE or DONT_HAVE
    28 n                 bytes that are still queued for the receiver
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Final, TypeVar

from libp2p.bitswap.config import MAX_MESSAGE_SIZE
from libp2p.bitswap.errors import MessageTooLargeError
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.protocols import Dialect
from libp2p.utils.varint import encode_uvarint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CID

#: Buffers shorter than this are joined: a copy costs less than one more buffer below.
_JOIN_BELOW: Final = 4096

_EMPTY_WANTLIST: Final = b"\x0a\x00"
_FULL: Final = b"\x10\x01"
#: Room for the tag and the length of a wantlist, and `_FULL`.
_WANTLIST_OVERHEAD: Final = 7
_PENDING_OVERHEAD: Final = 6
_OVERHEAD: Final = _WANTLIST_OVERHEAD + _PENDING_OVERHEAD
_MAX_INT32: Final = 2**31 - 1

_T = TypeVar("_T")


class Message:
    """
    One message. The dicts keep one item per CID, merged as every implementation merges them.

    A block beats a presence of the same CID. Of two entries for one CID, a cancel and a wish for
    DONT_HAVE stay, and a want for the block beats one for a HAVE.

    Owner: libp2p.bitswap.wire.decode
    Owner: libp2p.bitswap.net.extension_streams
    """

    __slots__ = ("blocks", "entries", "full", "pending_bytes", "presences", "repeats", "unusable")

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        *,
        full: bool = False,
        blocks: Iterable[tuple[CID, bytes]] = (),
        presences: Iterable[tuple[CID, BlockPresenceType]] = (),
        pending_bytes: int = 0,
    ) -> None:
        self.entries: dict[CID, Entry] = {}
        self.full = full
        """The entries are all wants of the sender, not only changes to them."""
        self.blocks: dict[CID, bytes] = {}
        self.presences: dict[CID, BlockPresenceType] = {}
        self.pending_bytes = pending_bytes
        """Bytes of blocks that the sender has queued for the receiver."""
        self.repeats: dict[CID, int] = {}
        """How often more than once blocks were in it."""
        self.unusable = 0
        """Blocks in it whose CIDs cannot be computed."""
        for entry in entries:
            self.add_entry(entry)
        for cid, data in blocks:
            self.add_block(cid, data)
        for cid, kind in presences:
            self.add_presence(cid, kind)

    def __bool__(self) -> bool:
        """False if it says nothing (pending bytes alone do not count, as in Go)."""
        return bool(self.entries or self.blocks or self.presences or self.full)

    @property
    def parts(self) -> int:
        """How many entries, blocks and presences it has."""
        return len(self.entries) + len(self.blocks) + len(self.presences)

    def answers(self, limit: int) -> Iterator[Message]:
        """Split its blocks and presences into messages of up to ``limit`` of them."""
        unusable = self.unusable
        for blocks in _batches(self.blocks.items(), limit):
            part = Message(pending_bytes=self.pending_bytes)
            part.blocks.update(blocks)
            part.repeats = self.repeats
            part.unusable, unusable = unusable, 0
            yield part
        for presences in _batches(self.presences.items(), limit):
            part = Message(pending_bytes=self.pending_bytes)
            part.presences.update(presences)
            yield part

    def add_entry(self, entry: Entry) -> None:
        """Add a want or a cancel, merged with an earlier one for the same CID."""
        earlier = self.entries.setdefault(entry.cid, entry)
        if earlier is entry:
            return
        same_type = entry.want_type == earlier.want_type
        wants_block = WantType.Block in (entry.want_type, earlier.want_type)
        self.entries[entry.cid] = Entry(
            entry.cid,
            entry.priority if same_type else earlier.priority,
            entry.cancel or earlier.cancel,
            WantType.Block if wants_block else WantType.Have,
            entry.send_dont_have or earlier.send_dont_have,
        )

    def add_block(self, cid: CID, data: bytes) -> None:
        """Add a block; what was said about having it is dropped."""
        if cid in self.blocks:
            self.repeats[cid] = self.repeats.get(cid, 0) + 1
        self.blocks[cid] = data
        if self.presences:
            self.presences.pop(cid, None)

    def add_presence(self, cid: CID, kind: BlockPresenceType) -> None:
        """Add a HAVE or DONT_HAVE, unless the block itself is in the message."""
        if cid not in self.blocks:
            self.presences[cid] = kind

    def frames(
        self, dialect: Dialect = Dialect.V1, limit: int = MAX_MESSAGE_SIZE
    ) -> list[list[Buffer]]:
        """
        Encode it: lists of buffers to be written as they are, more than one if it is too large.

        Blocks come first, then presences, then wants. Data of blocks is not copied unless small.

        :raises MessageTooLargeError: if one block or entry alone is too large.
        """
        items: list[tuple[Buffer, ...]] = []
        if dialect is Dialect.V0:
            for data in self.blocks.values():
                items.append((b"\x12" + encode_uvarint(len(data)), data))
        else:
            for cid, data in self.blocks.items():
                items.append((_block_head(cid.prefix, len(data)), data))
            for cid, kind in self.presences.items():
                items.append((_presence(cid, kind),))
        wants: list[Buffer] = []
        for entry in self.entries.values():
            wants.append(_entry(entry))
        parts: list[Buffer] = []
        for item in items:
            parts += item
        pending = min(max(self.pending_bytes, 0), _MAX_INT32)
        if _OVERHEAD + sum(map(len, parts)) + sum(map(len, wants)) <= limit:
            return [_frame(parts, wants, self.full, pending, limit)]
        groups = _split(items, wants, limit)
        # Only the first wantlist may replace, the others add to it.
        replacing = next((wants for _, wants in groups if wants), groups[-1][1])
        return [
            _frame(
                parts,
                wants,
                self.full and wants is replacing,
                pending if wants is groups[-1][1] else 0,
                limit,
            )
            for parts, wants in groups
        ]


# -- encoding -------------------------------------------------------------------------------------


def _batches(items: Iterable[_T], limit: int) -> Iterator[list[_T]]:
    left = iter(items)
    while batch := list(islice(left, limit)):
        yield batch


@lru_cache(maxsize=64)
def _block_head(prefix: bytes, size: int) -> bytes:
    """Return everything of a block that comes before its data; most blocks of a file are alike."""
    inner = b"".join((b"\x0a", encode_uvarint(len(prefix)), prefix, b"\x12", encode_uvarint(size)))
    return b"".join((b"\x1a", encode_uvarint(len(inner) + size), inner))


def _presence(cid: CID, kind: BlockPresenceType) -> bytes:
    body = b"".join((b"\x0a", encode_uvarint(len(cid.buffer)), cid.buffer))
    if kind is not BlockPresenceType.Have:
        body += b"\x10\x01"
    return b"".join((b"\x22", encode_uvarint(len(body)), body))


def _entry(entry: Entry) -> bytes:
    """Encode one entry; a cancel is the CID and the flag, nothing else, as Go's."""
    cid, priority, cancel, want_type, send_dont_have = entry
    buffer = cid.buffer
    body = b"\x0a" + encode_uvarint(len(buffer)) + buffer
    if cancel:
        body += b"\x18\x01"
    else:
        if priority:
            # A negative int32 travels as 64 bits.
            body += b"\x10" + encode_uvarint(priority & 0xFFFF_FFFF_FFFF_FFFF)
        if want_type is not WantType.Block:
            body += b"\x20\x01"
        if send_dont_have:
            body += b"\x28\x01"
    return b"\x0a" + encode_uvarint(len(body)) + body


def _split(
    items: Iterable[tuple[Buffer, ...]], wants: Iterable[Buffer], limit: int
) -> list[tuple[list[Buffer], list[Buffer]]]:
    """Divide what is in a message into messages of at most ``limit`` bytes."""
    groups: list[tuple[list[Buffer], list[Buffer]]] = [([], [])]
    used = len(_EMPTY_WANTLIST)
    for is_want, pieces in chain(
        zip(repeat(False), items), zip(repeat(True), zip(wants, strict=True))
    ):
        size = sum(map(len, pieces))
        needed = size + _WANTLIST_OVERHEAD if is_want else size
        if used + needed > limit and any(groups[-1]):
            groups.append(([], []))
            used = len(_EMPTY_WANTLIST)
        if used + needed > limit:
            raise MessageTooLargeError(f"{size} bytes do not fit into a message of {limit}")
        groups[-1][is_want].extend(pieces)
        used += size
    return groups


def _frame(
    parts: list[Buffer], wants: list[Buffer], full: bool, pending: int, limit: int
) -> list[Buffer]:
    head = _EMPTY_WANTLIST
    if wants or full:
        wantlist = b"".join((*wants, _FULL) if full else wants)
        head = b"".join((b"\x0a", encode_uvarint(len(wantlist)), wantlist))
    tail = b""
    size = len(head) + sum(map(len, parts))
    # The largest block leaves no room for it; the receiver takes absence for zero.
    if pending and size + _PENDING_OVERHEAD <= limit:
        tail = b"\x28" + encode_uvarint(pending)
    buffers = (encode_uvarint(size + len(tail)), head, *parts, tail)
    return [b"".join(buffers)] if size < _JOIN_BELOW else _gather(buffers)


def _gather(buffers: Iterable[Buffer]) -> list[Buffer]:
    """Join runs of small buffers, leave large ones alone."""
    gathered: list[Buffer] = []
    run: list[Buffer] = []
    for buffer in buffers:
        if len(buffer) < _JOIN_BELOW:
            run.append(buffer)
            continue
        gathered.append(b"".join(run))  # never empty: a large block has its head in front
        run.clear()
        gathered.append(buffer)
    if any(run):
        gathered.append(b"".join(run))
    return gathered
