"""Friends that are assumed to have everything."""

from __future__ import annotations

import pytest
from multiaddr import Multiaddr

from libp2p.exceptions import InvalidAddrError
from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing.abc import ContentRouter, PeerRouter
from libp2p.routing.static import StaticRouter
from tests.support.identities import peer_id_of

ANN, BOB, CID = peer_id_of("ann"), peer_id_of("bob"), b"\x01\x55\x00\x01x"
HERE, THERE = Multiaddr("/ip4/192.0.2.1/tcp/1"), Multiaddr("/ip4/192.0.2.2/tcp/2")


def test_it_is_a_router() -> None:
    assert isinstance(StaticRouter(), ContentRouter)
    assert isinstance(StaticRouter(), PeerRouter)


async def test_friends_have_every_block() -> None:
    router = StaticRouter([f"{HERE}/p2p/{ANN}", PeerInfo(BOB, [THERE]), f"{THERE}/p2p/{ANN}"])
    assert [info async for info in router.find_provider_iter(CID)] == [
        PeerInfo(ANN, [HERE, THERE]),
        PeerInfo(BOB, [THERE]),
    ]
    assert [info.peer_id async for info in router.find_provider_iter(CID, 1)] == [ANN]
    assert not await router.provide(CID)


async def test_addresses_of_friends_are_known() -> None:
    router = StaticRouter([PeerInfo(ANN, [HERE]), PeerInfo(BOB, [])])
    assert await router.find_peer(ANN) == PeerInfo(ANN, [HERE])
    assert await router.find_peer(BOB) is None
    assert await router.find_peer(peer_id_of("eve")) is None
    router.remove(ANN)
    router.remove(ANN)
    assert [friend.peer_id for friend in router.friends] == [BOB]


@pytest.mark.parametrize("bad", ["/ip4/192.0.2.1/tcp/1", 7, [7], ["/ip4/192.0.2.1/tcp/1"], "x"])
def test_what_is_no_friend_is_refused(bad: object) -> None:
    with pytest.raises((TypeError, InvalidAddrError)):
        StaticRouter(bad)  # type: ignore[arg-type]  # is tested
