"""The parts of the peer store that wait: address subscriptions and the cleanup task."""

from __future__ import annotations

import trio
from multiaddr import Multiaddr
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.peer.id import ID
from libp2p.peer.peerdata import MAX_ADDRESSES_PER_PEER
from libp2p.peer.peerstore import PeerStore

PEER = ID(b"\x12\x20" + bytes(32))


def address(port: int) -> Multiaddr:
    return Multiaddr(f"/ip4/127.0.0.1/tcp/{port}")


async def test_cleanup_runs_at_its_interval(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = PeerStore(clock=trio.current_time)
    store.add_addr(PEER, address(1), ttl=5)
    nursery.start_soon(store.start_cleanup_task, 10)
    await trio.sleep(9)
    assert store.has_peer(PEER)
    await trio.sleep(2)
    assert not store.has_peer(PEER)


async def test_subscribers_get_addresses_as_they_are_added(nursery: trio.Nursery) -> None:
    store = PeerStore()
    received: list[list[Multiaddr]] = [[], []]

    async def subscribe(into: list[Multiaddr]) -> None:
        async for known in store.addr_stream(PEER):
            into.append(known)

    for into in received:
        nursery.start_soon(subscribe, into)
    await wait_all_tasks_blocked()
    store.add_addrs(PEER, [address(1), address(2)])
    store.replace_announced_addrs(PEER, [address(3)], 10)
    await wait_all_tasks_blocked()
    assert received == [[address(1), address(2), address(3)]] * 2


async def test_a_slow_subscriber_misses_some_and_holds_nobody_up() -> None:
    store = PeerStore()
    received: list[Multiaddr] = []

    async def subscribe() -> None:
        async for known in store.addr_stream(PEER):
            received.append(known)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscribe)
        await wait_all_tasks_blocked()
        # All at once: the subscriber has no chance to read between two of them.
        for n in range(MAX_ADDRESSES_PER_PEER + 50):
            store.add_addr(PEER, address(n))
        assert received == []
        await wait_all_tasks_blocked()
        missed = MAX_ADDRESSES_PER_PEER + 50 - len(received)
        assert 0 < missed < 50
        assert received == [address(n) for n in range(len(received))]
        store.add_addr(PEER, address(9999))
        await wait_all_tasks_blocked()
        assert received[-1] == address(9999)
        nursery.cancel_scope.cancel()


async def test_a_subscription_ends_when_its_reader_stops(nursery: trio.Nursery) -> None:
    store = PeerStore()
    first, second = store.addr_stream(PEER), store.addr_stream(PEER)
    nursery.start_soon(first.__anext__)
    nursery.start_soon(second.__anext__)
    await wait_all_tasks_blocked()
    store.add_addr(PEER, address(1))
    await wait_all_tasks_blocked()
    await first.aclose()  # type: ignore[attr-defined]
    store.add_addr(PEER, address(2))
    assert await anext(second) == address(2)
    await second.aclose()  # type: ignore[attr-defined]
