"""A ledger with the store that a driver would have, and entries of wantlists in few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libp2p.bitswap.serve.ledger import Ledger, LedgerLimits, Reply
from libp2p.bitswap.wire.entry import Entry, WantType
from tests.support.blocks import block

if TYPE_CHECKING:
    from libp2p.bitswap.wire.message import Message
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

SMALL, SMALL_DATA = block(1, 1024)
LARGE, LARGE_DATA = block(2, 1025)
ABSENT, _ = block(3)


def want(cid: CID, priority: int = 1, *, dont_have: bool = False) -> Entry:
    return Entry(cid, priority, False, WantType.Block, dont_have)


def want_have(cid: CID, priority: int = 1, *, dont_have: bool = False) -> Entry:
    return Entry(cid, priority, False, WantType.Have, dont_have)


def cancel(cid: CID) -> Entry:
    return Entry(cid, cancel=True)


class Server:
    """A ledger with the store that a driver would have."""

    def __init__(
        self,
        content: dict[CID, bytes] | None = None,
        parts: dict[str, Any] | None = None,
        **limits: int,
    ) -> None:
        self.ledger = Ledger(LedgerLimits(**limits), **(parts or {}))
        self.content = dict(content or {SMALL: SMALL_DATA, LARGE: LARGE_DATA})

    def look_up(self, peer: ID) -> int:
        wants = self.ledger.look_ups(peer, 100_000)
        for found in wants:
            data = self.content.get(found.cid)
            self.ledger.resolve(found, None if data is None else len(data))
        return len(wants)

    def take(self, peer: ID, target: int = 256 * 1024) -> tuple[Reply, Message] | None:
        self.look_up(peer)
        reply = self.ledger.next_reply(peer, target)
        if reply is None:
            return None
        return reply, reply.fill([self.content.get(w.cid) for w in reply.wants])

    def answer(self, peer: ID, *entries: Entry, full: bool = False) -> Message | None:
        """What is sent for a message, if that works."""
        if entries or full:
            self.ledger.receive(peer, entries, full)
        taken = self.take(peer)
        if taken is None:
            return None
        self.ledger.sent(taken[0])
        return taken[1]

    def wanted(self, peer: ID) -> list[CID]:
        return [entry.cid for entry in self.ledger.wantlist(peer)]
