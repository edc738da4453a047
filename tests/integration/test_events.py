"""What hosts tell of themselves: all of a connection's story, and nobody waits for a listener."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p import new_host
from libp2p.base_types import TProtocol
from libp2p.bitswap import BitswapClient
from libp2p.events import (
    HostEvent,
    HostStopped,
    ListenAddressesChanged,
    PeerConnected,
    PeerDisconnected,
    PeerIdentified,
    StreamClosed,
    StreamOpened,
)
from libp2p.exceptions import StreamReset
from libp2p.identity.identify import ID as IDENTIFY
from libp2p.identity.identify_push import ID_PUSH
from libp2p.network.stream.net_stream import NetStream
from tests.support.blocks import block
from tests.support.hosts import ECHO, LOOPBACK, echo, echoed, hold, info_of, running_host

if TYPE_CHECKING:
    from libp2p.host.basic_host import BasicHost

OF_THE_HOST = {IDENTIFY, ID_PUSH}
NEWS = TProtocol("/news/1")


def subscribed(host: BasicHost, *kinds: type[HostEvent]) -> list[Any]:
    """The events of a host from now on, without the streams of identify."""
    told: list[Any] = []

    def note(event: Any) -> None:
        is_of_stream = isinstance(event, StreamOpened | StreamClosed)
        if not is_of_stream or event.stream.get_protocol() not in OF_THE_HOST:
            told.append(event)

    host.subscribe(note, *kinds)
    return told


async def until(told: list[Any], kind: type[HostEvent], count: int = 1) -> None:
    with trio.fail_after(5):
        while sum(isinstance(event, kind) for event in told) < count:
            await wait_all_tasks_blocked(0.001)


async def test_the_whole_story_of_a_host_is_told_in_order() -> None:
    host = new_host()
    told = subscribed(host)
    async with running_host() as peer, host.run([LOOPBACK]):
        peer.set_stream_handler(ECHO, echo)
        listening, addresses = tuple(host.get_transport_addrs()), set(peer.get_transport_addrs())
        await host.connect(info_of(peer))
        (connection,) = host.get_network().get_connections()
        async with await host.new_stream(peer.get_id(), [ECHO]) as stream:
            assert await echoed(stream, b"hello") == b"hello"
        await until(told, StreamClosed)
        await host.disconnect(peer.get_id())
        await until(told, PeerDisconnected)
    assert [type(event) for event in told] == [
        ListenAddressesChanged,
        PeerConnected,
        PeerIdentified,
        StreamOpened,
        StreamClosed,
        PeerDisconnected,
        ListenAddressesChanged,
        HostStopped,
    ]
    assert told[0] == ListenAddressesChanged(listening, added=listening)
    assert told[1].connection is told[5].connection is connection
    assert told[1].peer_id == told[2].peer_id == told[5].peer_id == peer.get_id()
    assert {ECHO, IDENTIFY, ID_PUSH} <= set(told[2].protocols)
    assert set(told[2].addresses) == addresses
    assert told[2].agent_version.startswith("py-libp2p")
    assert told[3].stream is told[4].stream is stream
    assert told[6] == ListenAddressesChanged((), removed=listening)


async def test_both_sides_are_told_of_a_stream_however_it_ends() -> None:
    async with running_host() as host, running_host() as peer:
        peer.set_stream_handler(ECHO, echo)
        peer.set_stream_handler(NEWS, hold)
        await host.connect(info_of(peer))
        ours = subscribed(host, StreamOpened, StreamClosed)
        theirs = subscribed(peer, StreamOpened, StreamClosed)

        stream = await host.new_stream(peer.get_id(), [ECHO])  # the peer closes it as well
        assert await echoed(stream, b"1") == b"1"
        await stream.close()
        await until(ours, StreamClosed, 1)
        await until(theirs, StreamClosed, 1)

        stream = await host.new_stream(peer.get_id(), [NEWS])  # reset by this side
        await stream.write(b"?")
        await until(theirs, StreamOpened, 2)
        await stream.reset()
        await until(theirs, StreamClosed, 2)

        stream = await host.new_stream(peer.get_id(), [NEWS])  # reset by the peer; nobody reads
        await stream.write(b"?")
        await until(theirs, StreamOpened, 3)
        theirs[-1].stream.abort()
        await until(ours, StreamClosed, 3)

        await host.new_stream(peer.get_id(), [NEWS])  # lost with its connection
        await host.disconnect(peer.get_id())
        await until(ours, StreamClosed, 4)
        for told in (ours, theirs[:6]):
            opened = [event.stream for event in told if isinstance(event, StreamOpened)]
            closed = [event.stream for event in told if isinstance(event, StreamClosed)]
            assert opened == closed
            assert all(isinstance(one, NetStream) and one.is_closed for one in closed)


async def test_what_a_peer_pushes_is_told_as_well() -> None:
    async with running_host() as host, running_host() as peer:
        await host.connect(info_of(peer))
        told = subscribed(host, PeerIdentified)
        peer.set_stream_handler(NEWS, echo)
        await until(told, PeerIdentified)
        assert NEWS in told[-1].protocols
        assert set(told[-1].addresses) == set(info_of(peer).addrs)


async def test_bitswap_fetches_a_block_before_identify_has_ended() -> None:
    """Identify may take five seconds: whoever waits for it waits for the peer."""
    cid, data = block(1)
    async with running_host() as host, running_host() as peer:
        peer.set_stream_handler(IDENTIFY, hold)
        async with BitswapClient(host).run() as client, BitswapClient(peer).run() as provider:
            await provider.add_block(cid, data)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(host.connect, info_of(peer))
                with trio.fail_after(3):  # it has nobody to ask until it is told of the peer
                    assert await client.get_block(cid, wait=True) == data
                (connection,) = host.get_network().get_connections()
                assert not connection.event_identified.is_set()
                nursery.cancel_scope.cancel()


async def test_a_subscriber_that_raises_costs_nothing_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: HostEvent) -> None:
        raise ValueError("mine")

    async with running_host() as host, running_host() as peer:
        peer.set_stream_handler(ECHO, echo)
        host.subscribe(fail)
        told = subscribed(host, PeerConnected)
        for _ in range(2):
            await host.connect(info_of(peer))
            stream = await host.new_stream(peer.get_id(), [ECHO])
            assert await echoed(stream, b"hello") == b"hello"
            await host.disconnect(peer.get_id())
        assert len(told) == 2
    assert [record.getMessage().count("failed at an event") for record in caplog.records] == [1]


async def test_a_subscriber_may_use_streams_whatever_it_is_told_of() -> None:
    """It is called between two steps of a connection, never within one."""
    async with running_host() as host, running_host() as peer:
        peer.set_stream_handler(ECHO, echo)
        await host.connect(info_of(peer))
        news = await host.new_stream(peer.get_id(), [ECHO])

        def write(event: HostEvent) -> None:
            with suppress(StreamReset):
                news.send_nowait([b"."])

        subscriptions = [host.subscribe(write), peer.subscribe(write)]
        for end in ("close", "reset"):
            stream = await host.new_stream(peer.get_id(), [ECHO])
            assert await echoed(stream, bytes(300_000)) == bytes(300_000)
            await getattr(stream, end)()
        with trio.fail_after(5):
            assert await news.read_exactly(4) == b"...."
        for subscription in subscriptions:
            subscription.cancel()


async def test_events_wait_for_a_slow_reader_and_the_oldest_go_first() -> None:
    host = new_host()
    async with running_host() as peer:
        async with host.run([]), host.events(PeerConnected, PeerDisconnected, limit=3) as events:
            for _ in range(3):
                await host.connect(info_of(peer))
                await host.disconnect(peer.get_id())
            while host.get_network().connections:
                await wait_all_tasks_blocked(0.001)
            assert events.dropped == 3
            first = await anext(events)
            assert isinstance(first, PeerDisconnected)
        assert [type(event) async for event in events] == [PeerConnected, PeerDisconnected]
        assert [event async for event in events] == []


async def test_a_reader_is_woken_by_an_event_and_by_the_end_of_the_host() -> None:
    host, seen = new_host(), []

    async def read() -> None:
        async with host.events() as events:
            async for event in events:
                seen.append(type(event))

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await wait_all_tasks_blocked()
            async with host.run([LOOPBACK]):
                await wait_all_tasks_blocked()
                assert seen == [ListenAddressesChanged]
    assert seen == [ListenAddressesChanged] * 2
    assert not host.get_network().events.wants(StreamOpened, StreamClosed)


@pytest.mark.parametrize("kinds", [(HostEvent,), (int,), ("PeerConnected",)])
async def test_kinds_that_are_none_are_refused(kinds: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="classes of libp2p"):
        new_host().subscribe(print, *kinds)
    with pytest.raises(TypeError, match="classes of libp2p"):
        async with new_host().events(*kinds):
            pass
