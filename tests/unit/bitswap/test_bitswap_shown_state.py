"""What the want tracker shows to people and programs that watch it."""

from __future__ import annotations

from libp2p.bitswap.want.tracker import WantTracker
from libp2p.bitswap.wire.entry import BlockPresenceType, WantType
from libp2p.peer.id import ID
from tests.support.blocks import block

X, _ = block(1)
Y, _ = block(2)
Z, _ = block(3)
ANN = ID(b"\x00\x03ann")


def test_the_wantlist_tells_blocks_from_haves() -> None:
    tracker = WantTracker()
    blocks = tracker.open_session(wait=True)
    haves = tracker.open_session(wait=True, presence_only=True)
    for session, cid in ((blocks, X), (haves, Y), (haves, Z), (blocks, Z)):
        tracker.want(session, cid, 0.0)
    assert tracker.wantlist() == [X, Y, Z]
    assert tracker.wantlist(WantType.Block) == [X, Z]  # who asks for both wants the block
    assert tracker.wantlist(WantType.Have) == [Y]


def test_a_session_shows_the_peers_that_have_blocks_of_it() -> None:
    tracker = WantTracker()
    session = tracker.open_session(wait=True)
    tracker.add_peer(ANN)
    tracker.want(session, X, 0.0)
    assert tracker.peers_of(session) == set()
    tracker.take_message(ANN)
    tracker.receive_presences(ANN, {X: BlockPresenceType.Have}, 0.0)
    assert tracker.peers_of(session) == {ANN}
    tracker.close_session(session)
    assert tracker.peers_of(session) == set()
