"""A want tracker with a clock, and shorthand for what happens to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.bitswap.want.receive_rate import ReceiveRate
from libp2p.bitswap.want.tracker import Search, Unavailable, WantTracker
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.peer.id import ID
from tests.support.peer_status import peer_status

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from tests.support.peer_status import PeerStatus

HAVE, DONT_HAVE = BlockPresenceType.Have, BlockPresenceType.DontHave
WANT_BLOCK, WANT_HAVE, CANCEL = "block", "have", "cancel"
BLOCK_SIZE = 2000

ANN, BOB, CEE, DEE = (ID(b"\x00\x03" + name) for name in (b"ann", b"bob", b"cee", b"dee"))


def peer_ids(count: int) -> list[ID]:
    """Many peers."""
    return [ID(b"\x00\x02" + number.to_bytes(2, "big")) for number in range(count)]


def told(entry: Entry) -> tuple[str, CID]:
    """What an entry says."""
    if entry.cancel:
        return CANCEL, entry.cid
    assert entry.send_dont_have
    return (WANT_HAVE if entry.want_type is WantType.Have else WANT_BLOCK), entry.cid


class Client:
    """The tracker, driven as the driver does, and its default session."""

    def __init__(
        self,
        *peers: ID,
        searches: bool = False,
        local: bool = False,
        max_wants: int = 1024,
        block_size: int = BLOCK_SIZE,
    ) -> None:
        self.tracker = WantTracker()
        self.tracker._peers.max_wants = max_wants
        self.tracker._peers.block_size = block_size
        self.block_size = block_size
        self.now = 100.0
        self.session = self.tracker.open_session(searches=searches)
        for peer in peers:
            self.tracker.add_peer(peer, local=local)

    # -- time -----------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass, as a driver does that is never late."""
        until = self.now + seconds
        while (deadline := self.tracker.timers.next) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.tracker.tick(self.now)
        self.now = until

    # -- this side ------------------------------------------------------------------------------

    def want(self, *cids: CID, session: int | None = None) -> None:
        for cid in cids:
            self.tracker.want(session or self.session, cid, self.now)

    def sent(self, peer: ID, round_trip: float = 0.0) -> list[tuple[str, CID]]:
        """What goes out to a peer now."""
        entries = self.tracker.take_message(peer)
        self.tracker.message_written(peer, self.now, round_trip)
        return [told(entry) for entry in entries]

    def asked(self, peer: ID) -> list[CID]:
        """The blocks that go out to a peer now as want-blocks."""
        return [cid for kind, cid in self.sent(peer) if kind is WANT_BLOCK]

    @property
    def ready(self) -> set[ID]:
        return set(self.tracker.take_ready())

    def failures(self) -> list[Unavailable]:
        outcomes = self.tracker.take_outcomes()
        return [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]

    def searches(self) -> list[CID]:
        outcomes = self.tracker.take_outcomes()
        return [outcome.cid for outcome in outcomes if isinstance(outcome, Search)]

    # -- peers ----------------------------------------------------------------------------------

    def haves(self, peer: ID, *cids: CID) -> None:
        self.tracker.receive_presences(peer, dict.fromkeys(cids, HAVE), self.now)

    def dont_haves(self, peer: ID, *cids: CID) -> None:
        self.tracker.receive_presences(peer, dict.fromkeys(cids, DONT_HAVE), self.now)

    def block(self, peer: ID | None, cid: CID, size: int | None = None) -> list[int]:
        """A block comes and is stored: the sessions that get it."""
        if size is None:
            size = self.block_size
        if peer is not None:
            self.tracker.bytes_arrived(peer, size, self.now)
        want = self.tracker.claim(peer, cid, size, self.now)
        if want is not None:
            return list(self.tracker.settle(want))
        if peer is not None:
            self.tracker.duplicate(peer, cid)
        return []

    def peer(self, peer: ID) -> PeerStatus:
        """What the tracker knows of a peer."""
        return peer_status(self.tracker, peer)

    def owes_nothing(self, peer: ID) -> bool:
        """Tell whether there is nothing between the tracker and a peer."""
        status = self.peer(peer)
        known = (status.registered, status.may_come_twice, status.unfinished_messages)
        return not any((status.queued, status.unanswered, status.assigned, *known))

    def has_shown(self, peer: ID, bytes_per_second: float, latency: float = 0.001) -> None:
        """Let a peer be known to be as quick as that."""
        remote = self.tracker._peers.by_id[peer]
        shown = ReceiveRate()
        shown.begin(self.now - 1)
        shown.arrived(int(bytes_per_second), self.now)
        shown.received = remote.receiving.received
        shown.waited(latency, is_first=True)
        if not remote.assigned:
            shown.end()
        remote.receiving = shown

    def fetched_from(self, peer: ID, *cids: CID, seconds: float = 0.0) -> None:
        """Make a peer proven, and one that takes so long for a block."""
        for cid in cids:
            self.want(cid)
            self.sent(peer)
            self.now += seconds
            assert self.block(peer, cid) == [self.session]
