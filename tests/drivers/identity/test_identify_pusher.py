"""Peers are told when something has changed: which of them, how often, how many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.base_types import TProtocol
from libp2p.identity.identify.identify import IDENTIFY_TIMEOUT
from libp2p.identity.identify_push.identify_push import (
    CONCURRENCY_LIMIT,
    ID_PUSH,
    IdentifyPusher,
    identify_push_handler_for,
)
from tests.support.identity_hosts import FakeHost

if TYPE_CHECKING:
    from libp2p.abc import INetStream, StreamHandlerFn
    from libp2p.peer.id import ID

NEW = TProtocol("/new/1.0.0")


class Connection:
    """A connection to a peer that was identified and takes pushes."""

    def __init__(self, peer_id: ID) -> None:
        self.peer_id = peer_id
        self.event_identified = trio.Event()
        self.event_identified.set()
        self.is_closed = False


class Crowd:
    """A host that pushes, and peers that count what they are told."""

    def __init__(self, nursery: trio.Nursery, peers: int) -> None:
        self.nursery = nursery
        self.host = FakeHost(1, nursery)
        self.peers = [FakeHost(2 + number, nursery) for number in range(peers)]
        self.connections = [Connection(peer.id) for peer in self.peers]
        self.told: list[ID] = []
        for peer in self.peers:
            self.host.connect_to(peer)
            self.host.peerstore.set_protocols(peer.id, [ID_PUSH])
            peer.set_stream_handler(ID_PUSH, self._handler(peer))
        self.pusher = IdentifyPusher(self.host.as_host(), lambda: self.connections)
        nursery.start_soon(self.pusher.run)

    def _handler(self, peer: FakeHost) -> StreamHandlerFn:
        take = identify_push_handler_for(peer.as_host())

        async def count(stream: INetStream) -> None:
            self.told.append(peer.id)
            await take(stream)

        return count

    async def change(self) -> None:
        self.host.set_stream_handler(NEW, close_at_once)
        self.pusher.changed()
        await wait_all_tasks_blocked()


async def close_at_once(stream: INetStream) -> None:
    await stream.close()


@pytest.fixture
async def three(nursery: trio.Nursery) -> Crowd:
    return Crowd(nursery, 3)


async def test_every_peer_is_told_once_of_changes_made_in_one_go(three: Crowd) -> None:
    for _ in range(5):
        three.pusher.changed()
    await three.change()
    assert sorted(three.told, key=str) == sorted((peer.id for peer in three.peers), key=str)
    for peer in three.peers:
        assert NEW in peer.peerstore.get_protocols(three.host.id)


async def test_nothing_is_pushed_while_nothing_changes(three: Crowd) -> None:
    await wait_all_tasks_blocked()
    assert three.told == []
    await three.change()
    await three.change()
    assert len(three.told) == 6


async def test_peers_that_did_not_list_the_push_protocol_are_left_alone(three: Crowd) -> None:
    three.host.peerstore.set_protocols(three.peers[1].id, ["/ipfs/id/1.0.0"])
    await three.change()
    assert three.peers[1].id not in three.told
    assert len(three.told) == len(three.host.streams) == 2


async def test_a_peer_with_two_connections_is_told_once(three: Crowd) -> None:
    three.connections.append(Connection(three.peers[0].id))
    await three.change()
    assert len(three.told) == 3


async def test_a_peer_that_is_being_identified_is_told_afterwards(three: Crowd) -> None:
    late = three.connections[2]
    late.event_identified = trio.Event()
    await three.change()
    assert len(three.told) == 2
    late.event_identified.set()
    await wait_all_tasks_blocked()
    assert three.told[2:] == [late.peer_id]


async def test_a_peer_that_left_meanwhile_is_not_dialled(three: Crowd) -> None:
    late = three.connections[2]
    late.event_identified = trio.Event()
    await three.change()
    late.is_closed = True
    late.event_identified.set()
    await wait_all_tasks_blocked()
    assert len(three.host.streams) == 2


async def test_a_change_during_a_push_is_pushed_next_and_not_at_the_same_time(
    three: Crowd,
) -> None:
    free = trio.Event()
    new_stream = three.host.new_stream

    async def wait_first(*arguments: object, **options: object) -> INetStream:
        await free.wait()
        return await new_stream(*arguments, **options)  # type: ignore[arg-type]

    three.host.new_stream = wait_first  # type: ignore[method-assign]
    await three.change()
    await three.change()
    assert three.told == []
    free.set()
    await wait_all_tasks_blocked()
    assert len(three.told) == 6


async def test_so_many_peers_are_told_at_once_and_no_more(nursery: trio.Nursery) -> None:
    crowd = Crowd(nursery, CONCURRENCY_LIMIT + 8)
    free = trio.Event()
    new_stream = crowd.host.new_stream
    begun: list[object] = []

    async def wait_first(*arguments: object, **options: object) -> INetStream:
        begun.append(arguments)
        await free.wait()
        return await new_stream(*arguments, **options)  # type: ignore[arg-type]

    crowd.host.new_stream = wait_first  # type: ignore[method-assign]
    await crowd.change()
    assert len(begun) == CONCURRENCY_LIMIT == 32
    free.set()
    await wait_all_tasks_blocked()
    assert len(crowd.told) == CONCURRENCY_LIMIT + 8


async def test_a_peer_that_takes_no_stream_holds_up_the_next_push_for_five_seconds(
    three: Crowd, autojump_clock: MockClock
) -> None:
    new_stream, stuck = three.host.new_stream, three.peers[0].id

    async def never_for_one(peer_id: ID, *arguments: object, **options: object) -> INetStream:
        if peer_id == stuck:
            await trio.sleep_forever()
        return await new_stream(peer_id, *arguments, **options)  # type: ignore[arg-type]

    three.host.new_stream = never_for_one  # type: ignore[method-assign]
    three.pusher.changed()
    await trio.sleep(1)
    three.pusher.changed()
    await trio.sleep(IDENTIFY_TIMEOUT - 1.1)
    assert len(three.told) == 2
    await trio.sleep(0.2)
    assert len(three.told) == 4


async def test_a_peer_store_that_fails_for_one_peer_costs_its_push_alone(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = Crowd(nursery, 3)
    supports, unlucky = crowd.host.peerstore.supports_protocols, crowd.peers[1].id

    def fail_for_one(peer_id: ID, protocols: list[str]) -> list[str]:
        if peer_id == unlucky:
            raise RuntimeError("the database is gone")
        return supports(peer_id, protocols)

    monkeypatch.setattr(crowd.host.peerstore, "supports_protocols", fail_for_one)
    for _ in range(2):  # the second time as well: the service goes on
        crowd.pusher.changed()
        await wait_all_tasks_blocked()
    assert sorted(crowd.told) == sorted(2 * [crowd.peers[0].id, crowd.peers[2].id])
    assert caplog.text.count("Traceback") == 2
