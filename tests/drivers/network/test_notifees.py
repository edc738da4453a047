"""py-libp2p's notifees on top of events: in order for each connection, and nobody waits for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from multiaddr import Multiaddr
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.events import (
    ListenAddressesChanged,
    PeerConnected,
    PeerDisconnected,
    StreamClosed,
    StreamOpened,
)
from libp2p.network import notifees as module
from libp2p.network.notifees import NOTIFEE_GRACE, Notifees
from libp2p.utils.event_bus import EventBus

if TYPE_CHECKING:
    from libp2p.abc import INetwork, INotifee

HERE, THERE = Multiaddr("/ip4/127.0.0.1/tcp/1"), Multiaddr("/ip4/127.0.0.1/tcp/2")


class Thing:
    """A connection, or a stream of one."""

    def __init__(self, name: str, connection: Thing | None = None) -> None:
        self.name = name
        self.muxed_conn = connection or self


class Network:
    """Events, and tasks in a nursery."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.events = EventBus()
        self.notifees = Notifees(cast("INetwork", self), nursery.start_soon)

    def emit(self, *events: object) -> None:
        for event in events:
            self.events.emit(event)


class Notifee:
    """Notes what it is told, once the gate of that is open."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.begun: list[str] = []
        self.shut: dict[str, trio.Event] = {}

    async def _hear(self, method: str, subject: Any) -> None:
        what = f"{method} {getattr(subject, 'name', subject)}"
        self.begun.append(what)
        if what in self.shut:
            await self.shut[what].wait()
        self.told.append(what)

    async def connected(self, network: Any, conn: Any) -> None:
        await self._hear("connected", conn)

    async def disconnected(self, network: Any, conn: Any) -> None:
        await self._hear("disconnected", conn)

    async def opened_stream(self, network: Any, stream: Any) -> None:
        await self._hear("opened_stream", stream)

    async def closed_stream(self, network: Any, stream: Any) -> None:
        await self._hear("closed_stream", stream)

    async def listen(self, network: Any, multiaddr: Any) -> None:
        await self._hear("listen", multiaddr)

    async def listen_close(self, network: Any, multiaddr: Any) -> None:
        await self._hear("listen_close", multiaddr)


@pytest.fixture
async def network(nursery: trio.Nursery) -> Network:
    return Network(nursery)


def added(network: Network) -> Notifee:
    notifee = Notifee()
    network.notifees.add(cast("INotifee", notifee))
    return notifee


def life(name: str) -> list[Any]:
    """All events of a connection with one stream."""
    connection = Thing(name)
    stream = Thing(f"{name}'s stream", connection)
    return [
        PeerConnected(cast("Any", connection)),
        StreamOpened(cast("Any", stream)),
        StreamClosed(cast("Any", stream)),
        PeerDisconnected(cast("Any", connection)),
    ]


STORY = [
    "connected {0}",
    "opened_stream {0}'s stream",
    "closed_stream {0}'s stream",
    "disconnected {0}",
]


def story(name: str) -> list[str]:
    return [line.format(name) for line in STORY]


async def test_all_six_methods_are_called_in_the_order_of_the_events(network: Network) -> None:
    notifee = added(network)
    network.emit(ListenAddressesChanged((HERE,), added=(HERE,)), *life("a"))
    assert notifee.told == []  # nothing runs in the task in which an event happens
    await wait_all_tasks_blocked()
    network.emit(ListenAddressesChanged((THERE,), added=(THERE,), removed=(HERE,)))
    await wait_all_tasks_blocked()
    assert [line for line in notifee.told if "listen" not in line] == story("a")
    assert [line for line in notifee.told if "listen" in line] == [
        f"listen {HERE}",
        f"listen {THERE}",
        f"listen_close {HERE}",
    ]


async def test_one_that_is_slow_with_a_connection_is_told_of_others_and_keeps_the_order(
    network: Network,
) -> None:
    slow, quick = added(network), added(network)
    slow.shut["connected a"] = trio.Event()
    network.emit(*life("a")[:3], *life("b"))
    await wait_all_tasks_blocked()
    assert slow.told == story("b")
    assert sorted(quick.told) == sorted(story("a")[:3] + story("b"))
    slow.shut["connected a"].set()
    await wait_all_tasks_blocked()
    assert slow.told == story("b") + story("a")[:3]


async def test_after_the_end_of_a_connection_all_is_over_soon(
    network: Network, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    notifee = added(network)
    for what in ("connected a", "disconnected a"):
        notifee.shut[what] = trio.Event()
    network.emit(*life("a"))
    await trio.sleep(NOTIFEE_GRACE - 0.1)
    assert notifee.begun == ["connected a"]
    await trio.sleep(0.2)
    assert notifee.begun == story("a")
    assert notifee.told == story("a")[1:3]
    assert caplog.text.count("hangs in connected(); it is said once") == 1
    await trio.sleep(NOTIFEE_GRACE)
    assert caplog.text.count("hangs in disconnected(); it is said once") == 1
    await trio.sleep(1000)
    network.emit(*life("b"))
    await wait_all_tasks_blocked()
    assert notifee.told[-4:] == story("b")


async def test_calls_about_streams_that_wait_are_bounded(
    network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_CALLS", 10)
    notifee = added(network)
    notifee.shut["connected a"] = trio.Event()
    begin, *streams, end = life("a")
    network.emit(begin)
    await wait_all_tasks_blocked()
    for _ in range(100):
        network.emit(*streams)
    network.emit(end)
    assert caplog.text.count("is too slow: it is not told of all streams") == 1
    notifee.shut["connected a"].set()
    await wait_all_tasks_blocked()
    assert notifee.told == [*story("a")[:1], *story("a")[1:3] * 5, *story("a")[3:]]
    network.emit(*life("b"))
    await wait_all_tasks_blocked()
    assert notifee.told[-4:] == story("b")


async def test_after_it_is_removed_it_is_told_nothing_of_what_still_waits(
    network: Network,
) -> None:
    notifee = added(network)
    notifee.shut["connected a"] = trio.Event()
    network.emit(*life("a"))
    await wait_all_tasks_blocked()
    network.notifees.remove(cast("INotifee", notifee))
    network.notifees.remove(cast("INotifee", notifee))
    notifee.shut["connected a"].set()
    network.emit(*life("b"))
    await wait_all_tasks_blocked()
    assert notifee.told == ["connected a"]
    network.notifees.add(cast("INotifee", notifee))
    network.emit(*life("c"))
    await wait_all_tasks_blocked()
    assert notifee.told == ["connected a", *story("c")]
