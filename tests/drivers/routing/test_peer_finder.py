"""Look-ups of peers that several callers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from multiaddr import Multiaddr

from libp2p.exceptions import RoutingError
from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing.peer_finder import PeerFinder
from tests.support.identities import peer_id_of
from tests.support.routers import ScriptedRouter

if TYPE_CHECKING:
    from libp2p.peer.id import ID

HERE = Multiaddr("/ip4/192.0.2.1/tcp/1")
ANN = PeerInfo(peer_id_of("ann"), [HERE])


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


async def test_all_who_ask_at_once_share_one_look_up(clock: object) -> None:
    router = ScriptedRouter(ANN, seconds=3)
    finder = PeerFinder(router)
    found: list[PeerInfo | None] = []

    async def ask() -> None:
        found.append(await finder.find(ANN.peer_id))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert found == [ANN] * 5
    assert len(router.asked) == 1
    await finder.find(ANN.peer_id)
    assert len(router.asked) == 2  # nothing is remembered


async def test_when_the_first_gives_up_the_next_one_looks(clock: object) -> None:
    router = ScriptedRouter(ANN, seconds=3)
    finder = PeerFinder(router)
    patient: list[PeerInfo | None] = []

    async def impatient() -> None:
        with trio.move_on_after(1):
            await finder.find(ANN.peer_id)

    async def ask() -> None:
        await trio.sleep(0.5)
        patient.append(await finder.find(ANN.peer_id))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(impatient)
        nursery.start_soon(ask)
    assert patient == [ANN]
    assert (len(router.asked), router.cancelled) == (2, 1)


async def test_an_error_is_everybodys(clock: object) -> None:
    finder = PeerFinder(ScriptedRouter(seconds=1, error=RoutingError("no peers")))
    told: list[str] = []

    async def ask() -> None:
        with pytest.raises(RoutingError) as caught:
            await finder.find(ANN.peer_id)
        told.append(str(caught.value))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert told == ["no peers"] * 3


async def test_a_router_that_breaks_is_an_error_of_routing() -> None:
    finder = PeerFinder(ScriptedRouter(error=KeyError("bug")))
    with pytest.raises(RoutingError, match="bug"):
        await finder.find(ANN.peer_id)


async def test_a_mute_router_costs_its_time_only(clock: object) -> None:
    begin = trio.current_time()
    with pytest.raises(RoutingError, match="not found within 9 s"):
        await PeerFinder(ScriptedRouter(seconds=1e6), timeout=9).find(ANN.peer_id)
    assert trio.current_time() - begin == 9


async def test_look_ups_at_once_have_a_limit(clock: object) -> None:
    router = ScriptedRouter(seconds=1)
    finder = PeerFinder(router, max_lookups=4)
    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(finder.find, peer_id_of(f"{number}"))
    assert router.most == 4


@pytest.mark.parametrize("answer", ["text", None, PeerInfo(ANN.peer_id, []), "other"])
async def test_what_is_no_address_of_the_peer_is_nothing(answer: object) -> None:
    class Old:
        def find_peer(self, peer_id: ID) -> object:
            return PeerInfo(peer_id_of("bob"), [HERE]) if answer == "other" else answer

    assert await PeerFinder(Old()).find(ANN.peer_id) is None
