"""
What every host promises, the real one over loopback and the fake one that bitswap is tested with.

A test that passes over the fake and fails over the real host has found that the fake is kinder.
"""

from __future__ import annotations

import copy
import logging
import pickle
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, Unpack

import pytest
import trio
from multiaddr import Multiaddr

from libp2p import HostOptions, new_host
from libp2p.abc import INotifee
from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    ConnectionFailure,
    HostException,
    ProtocolNotSupportedError,
    StreamEOF,
    StreamFailure,
    StreamReset,
)
from libp2p.network.config import SwarmConfig
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import PeerStore
from libp2p.transport.memory.memory import MemoryTransport
from tests.support import fake_host
from tests.support.fake_host import FakeHost
from tests.support.hosts import ECHO, LOOPBACK
from tests.support.identities import ed25519_pair
from tests.support.proxy import proxied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from libp2p.peer.id import ID
    from libp2p.transport.memory.memory_connection import MemoryConnection

ANSWER: Final = TProtocol("/answer/1.0.0")
RAISE: Final = TProtocol("/raise/1.0.0")

#: A host of either kind; what they have in common is what is tested.
Host = Any


class Gate(Protocol):
    """The way to a host, which can be held shut."""

    gate: trio.Event
    arrived: int

    def shut(self) -> None: ...

    async def until_arrived(self, number: int, /) -> None: ...


class World(Protocol):
    """Makes hosts of one kind and knows how to find them."""

    def make(self) -> Host:
        """A host that does not run yet."""

    def running(self, host: Host) -> Any:
        """Run it for the length of a block."""

    def info(self, host: Host) -> PeerInfo:
        """How others find it."""

    def nowhere(self) -> PeerInfo:
        """A peer at an address where nobody is."""

    def expired(self, host: Host, other: Host) -> PeerInfo:
        """A peer whose address ``host`` has known until it was too old."""

    def gated(self, host: Host) -> Any:
        """For the length of a block, a way to a host with a `Gate`, and how to go it."""

    async def full(self, stack: AsyncExitStack, dialler: Host) -> PeerInfo:
        """A host that hangs up on ``dialler`` as soon as the connection is made."""

    def dialler(self) -> Host:
        """The host to give to `full`, not running yet."""


class Fakes:
    """Fake hosts."""

    def __init__(self) -> None:
        self._made = 0

    def make(self) -> FakeHost:
        self._made += 1
        return FakeHost(None, f"host {self._made}")

    dialler = make

    def running(self, host: FakeHost) -> Any:
        return host.run()

    def info(self, host: FakeHost) -> PeerInfo:
        return PeerInfo(host.get_id(), [fake_host.place(host)])

    def nowhere(self) -> PeerInfo:
        return PeerInfo(self.make().get_id(), [Multiaddr("/ip4/127.0.0.1/tcp/9")])

    def expired(self, host: FakeHost, other: FakeHost) -> PeerInfo:
        host.known.pop(other.get_id(), None)
        return PeerInfo(other.get_id(), [])

    @asynccontextmanager
    async def gated(self, host: FakeHost) -> AsyncIterator[tuple[Gate, PeerInfo]]:
        yield host.door, self.info(host)

    async def full(self, stack: AsyncExitStack, dialler: FakeHost) -> PeerInfo:
        host = self.make()
        await stack.enter_async_context(host.run())
        host.door.refuses = True
        return self.info(host)


class Reals:
    """Real hosts over loopback."""

    def __init__(self) -> None:
        self._later = 0.0

    def _new_host(self, **options: Unpack[HostOptions]) -> Host:
        return new_host(**options)

    def make(self) -> Host:
        peerstore = PeerStore(clock=lambda: trio.current_time() + self._later)
        return self._new_host(peerstore_opt=peerstore)

    def running(self, host: Host) -> Any:
        return host.run(listen_addrs=[LOOPBACK])

    def info(self, host: Host) -> PeerInfo:
        return PeerInfo(host.get_id(), host.get_transport_addrs())

    def nowhere(self) -> PeerInfo:
        return PeerInfo(self.make().get_id(), [Multiaddr("/ip4/127.0.0.1/tcp/9")])

    def expired(self, host: Host, other: Host) -> PeerInfo:
        host.get_peerstore().add_addrs(other.get_id(), other.get_transport_addrs(), 10)
        self._later += 11
        return PeerInfo(other.get_id(), [])

    @asynccontextmanager
    async def gated(self, host: Host) -> AsyncIterator[tuple[Gate, PeerInfo]]:
        async with proxied(self.info(host)) as proxy:
            yield proxy, proxy.info

    def dialler(self) -> Host:
        return self._new_host(key_pair=ed25519_pair("twin"))

    async def full(self, stack: AsyncExitStack, dialler: Host) -> PeerInfo:
        one_each = SwarmConfig(max_connections_per_peer=1)
        host = self._new_host(connection_config=one_each)
        await stack.enter_async_context(self.running(host))
        twin = self.dialler()
        await stack.enter_async_context(self.running(twin))
        await twin.connect(self.info(host))
        return self.info(host)


class GatedMemory(MemoryTransport):
    """Dials in memory, and holds dials up while its gate is shut."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.gate.set()
        self.arrived = 0
        self._arrival = trio.lowlevel.ParkingLot()

    def shut(self) -> None:
        self.gate = trio.Event()

    async def until_arrived(self, number: int, /) -> None:
        while self.arrived < number:
            await self._arrival.park()

    async def dial(self, maddr: Multiaddr) -> MemoryConnection:
        self.arrived += 1
        self._arrival.unpark_all()
        await self.gate.wait()
        return await super().dial(maddr)


class InMemory(Reals):
    """Real hosts without a socket."""

    def __init__(self) -> None:
        super().__init__()
        self._transport = GatedMemory()

    def _new_host(self, **options: Unpack[HostOptions]) -> Host:
        options["transports"] = [self._transport]
        return new_host(**options)

    def running(self, host: Host) -> Any:
        return host.run(listen_addrs=[Multiaddr("/memory/0")])

    def nowhere(self) -> PeerInfo:
        return PeerInfo(self.make().get_id(), [Multiaddr("/memory/9")])

    @asynccontextmanager
    async def gated(self, host: Host) -> AsyncIterator[tuple[Gate, PeerInfo]]:
        self._transport.arrived = 0
        yield self._transport, self.info(host)


@pytest.fixture(params=[Fakes, Reals, InMemory], ids=["fake", "real", "memory"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    fake_host.failures.clear()
    yield request.param()
    fake_host.failures.clear()


async def echo(stream: Any) -> None:
    await stream.write(await stream.read())
    await stream.close()


async def echoes(host: Host, peer_id: ID, words: bytes = b"still there?") -> bool:
    stream = await host.new_stream(peer_id, [ECHO])
    await stream.write(words)
    await stream.close_write()
    with trio.fail_after(5):
        answer: bytes = await stream.read()
    return answer == words


@asynccontextmanager
async def two_hosts(world: World) -> AsyncIterator[tuple[Host, Host]]:
    """Two hosts that run and do not know each other; the second echoes."""
    a, b = world.make(), world.make()
    b.set_stream_handler(ECHO, echo)
    async with world.running(a), world.running(b):
        yield a, b


@asynccontextmanager
async def two_connected(world: World) -> AsyncIterator[tuple[Host, Host]]:
    async with two_hosts(world) as (a, b):
        await a.connect(world.info(b))
        yield a, b


async def until_no_peers(host: Host) -> None:
    with trio.fail_after(5):
        while host.get_connected_peers():
            await trio.testing.wait_all_tasks_blocked(0.001)


class Listener(INotifee):
    """Counts what it is told, and may raise."""

    def __init__(self, fails: bool = False) -> None:
        self.told: list[str] = []
        self._fails = fails

    def _hear(self, event: str) -> None:
        self.told.append(event)
        if self._fails:
            raise ValueError(f"mine, at {event}")

    async def connected(self, network: Any, conn: Any) -> None:
        self._hear("connected")

    async def disconnected(self, network: Any, conn: Any) -> None:
        self._hear("disconnected")

    async def opened_stream(self, network: Any, stream: Any) -> None: ...

    async def closed_stream(self, network: Any, stream: Any) -> None: ...

    async def listen(self, network: Any, multiaddr: Any) -> None: ...

    async def listen_close(self, network: Any, multiaddr: Any) -> None: ...


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged at ERROR, which needs its traceback."""
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert all(record.exc_info for record in records)
    return [str(record.exc_info[1]) for record in records if record.exc_info]


# -- peers that cannot be reached -----------------------------------------------------------------


async def unreachable(world: World, case: str, host: Host, stack: AsyncExitStack) -> PeerInfo:
    """Somebody who cannot be connected to, for one reason or another."""
    if case == "unknown":
        return PeerInfo(world.make().get_id(), [])
    if case == "nobody listens":
        return world.nowhere()
    if case == "itself":
        return world.info(host)
    other = world.make()
    if case == "another one at its address":
        await stack.enter_async_context(world.running(other))
        return PeerInfo(world.make().get_id(), world.info(other).addrs)
    if case == "expired":
        await stack.enter_async_context(world.running(other))
        return world.expired(host, other)
    assert case == "closed"
    async with world.running(other):
        return world.info(other)


UNREACHABLE: Final = (
    "unknown",
    "nobody listens",
    "itself",
    "another one at its address",
    "expired",
    "closed",
)


@pytest.mark.parametrize("case", UNREACHABLE)
async def test_who_cannot_be_reached_is_an_error_of_the_call_and_of_nothing_else(
    world: World, case: str
) -> None:
    async with two_connected(world) as (a, b), AsyncExitStack() as stack:
        info = await unreachable(world, case, a, stack)
        for _ in range(2):
            with pytest.raises(ConnectionFailure) as connecting, trio.fail_after(5):
                await a.connect(info)
            with pytest.raises(StreamFailure) as opening, trio.fail_after(5):
                await a.new_stream(info.peer_id, [ECHO])
        for error in (connecting.value, opening.value):
            assert str(error)
            for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
                assert (type(twin), str(twin)) == (type(error), str(error))
        assert a.get_connected_peers() == [b.get_id()]
        assert await echoes(a, b.get_id())


async def test_a_protocol_that_nobody_speaks_is_the_cause_of_the_failure(world: World) -> None:
    async with two_connected(world) as (a, b):
        with pytest.raises(StreamFailure) as caught:
            await a.new_stream(b.get_id(), [TProtocol("/none/1")])
        assert isinstance(caught.value.__cause__, ProtocolNotSupportedError)
        assert await echoes(a, b.get_id())


async def test_a_peer_that_hangs_up_at_once_is_an_error_that_says_so(world: World) -> None:
    async with AsyncExitStack() as stack:
        a = world.dialler()
        await stack.enter_async_context(world.running(a))
        info = await world.full(stack, a)
        with pytest.raises(ConnectionFailure, match=r"closed|ended|hung up|reset|refused|limit"):
            await a.connect(info)
        assert a.get_connected_peers() == []


# -- before and after the life of a host ----------------------------------------------------------


async def test_a_host_that_does_not_run_yet_says_so_each_time_and_works_afterwards(
    world: World,
) -> None:
    a, b = world.make(), world.make()
    b.set_stream_handler(ECHO, echo)
    async with world.running(b):
        info = world.info(b)
        for _ in range(3):
            with trio.fail_after(2):
                with pytest.raises(HostException, match="not running"):
                    await a.connect(info)
                with pytest.raises(HostException, match="not running"):
                    await a.new_stream(b.get_id(), [ECHO])
                with pytest.raises(HostException, match="not running"):
                    a.start_service(trio.sleep_forever)
        async with world.running(a):
            with trio.fail_after(5):
                await a.connect(info)
                assert await echoes(a, b.get_id())


async def test_a_closed_host_says_so_at_once_from_every_call(world: World) -> None:
    b = world.make()
    async with world.running(b):
        a = world.make()
        async with world.running(a):
            await a.connect(world.info(b))
        for info in (world.info(b), PeerInfo(world.make().get_id(), [])):
            with trio.fail_after(1):
                with pytest.raises(HostException, match=r"closed|not running"):
                    await a.connect(info)
                with pytest.raises(HostException, match=r"closed|not running"):
                    await a.new_stream(info.peer_id, [ECHO])
        with pytest.raises(HostException, match=r"closed|not running"):
            a.start_service(trio.sleep_forever)
        assert a.get_connected_peers() == []
        await until_no_peers(b)


async def test_a_host_that_closes_ends_the_dials_that_wait(world: World) -> None:
    async with AsyncExitStack() as stack:
        b = world.make()
        await stack.enter_async_context(world.running(b))
        gate, info = await stack.enter_async_context(world.gated(b))
        gate.shut()
        errors: list[HostException] = []

        async def connect(host: Host) -> None:
            try:
                await host.connect(info)
            except HostException as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            a = world.make()
            async with world.running(a):
                nursery.start_soon(connect, a)
                nursery.start_soon(connect, a)
                await gate.until_arrived(1)
            gate.gate.set()
            nursery.cancel_scope.deadline = trio.current_time() + 5
        assert len(errors) == 2


# -- dials ----------------------------------------------------------------------------------------


async def test_one_of_two_who_wait_for_a_dial_gives_up_and_the_other_is_connected(
    world: World,
) -> None:
    async with two_hosts(world) as (a, b), world.gated(b) as (gate, info):
        gate.shut()
        first = trio.CancelScope()
        gone = trio.Event()

        async def give_up() -> None:
            with first:
                await a.connect(info)
            gone.set()

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(give_up)
                await gate.until_arrived(1)
                nursery.start_soon(a.connect, info)
                await trio.testing.wait_all_tasks_blocked(0.001)
                first.cancel()
                await gone.wait()
                gate.gate.set()
        assert a.get_connected_peers() == [b.get_id()]
        assert await echoes(a, b.get_id())


async def test_who_dials_right_after_somebody_gave_up_is_connected(world: World) -> None:
    async with two_hosts(world) as (_, b), world.gated(b) as (gate, info):
        for number in range(4):
            a = world.make()
            async with world.running(a):
                gate.shut()
                arrived = gate.arrived
                with trio.CancelScope() as impatient:
                    async with trio.open_nursery() as nursery:
                        for _ in range(1 + number % 2):
                            nursery.start_soon(a.connect, info)
                        await gate.until_arrived(arrived + 1)
                        impatient.cancel()
                gate.gate.set()
                with trio.fail_after(5):
                    await a.connect(info)
                assert a.get_connected_peers() == [b.get_id()]


async def test_a_connect_beside_a_disconnect_never_lies(world: World) -> None:
    async with two_hosts(world) as (a, b), world.gated(b) as (gate, info):
        gate.shut()
        outcomes: list[bool] = []

        async def connect() -> None:
            try:
                await a.connect(info)
            except ConnectionFailure:
                outcomes.append(not a.get_connected_peers())
            else:
                outcomes.append(a.get_connected_peers() == [b.get_id()])

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connect)
                await gate.until_arrived(1)
                await a.disconnect(b.get_id())
                gate.gate.set()
        assert outcomes == [True]
        await a.connect(info)
        assert await echoes(a, b.get_id())


async def test_a_connected_peer_is_not_dialled_again(world: World) -> None:
    async with two_hosts(world) as (a, b), world.gated(b) as (gate, info):
        for _ in range(3):
            await a.connect(info)
        assert gate.arrived == 1
        assert len(a.get_network().get_connections(b.get_id())) == 1


async def test_a_stream_dials_unless_told_not_to(world: World) -> None:
    async with two_connected(world) as (a, b):
        stream = await a.new_stream(b.get_id(), [ECHO], no_dial=True)
        await stream.reset()
        await a.disconnect(b.get_id())
        await until_no_peers(a)
        await until_no_peers(b)
        with pytest.raises(StreamFailure):
            await a.new_stream(b.get_id(), [ECHO], no_dial=True)
        assert a.get_connected_peers() == []
        assert await echoes(a, b.get_id())


async def test_both_sides_forget_a_connection_that_one_closes(world: World) -> None:
    async with two_connected(world) as (a, b):
        assert a.get_connected_peers() == [b.get_id()]
        assert b.get_connected_peers() == [a.get_id()]
        await b.disconnect(a.get_id())
        await until_no_peers(a)
        await until_no_peers(b)
        await b.disconnect(a.get_id())  # once more changes nothing


# -- the user's code ------------------------------------------------------------------------------


async def test_a_handler_that_raises_costs_its_stream_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(stream: Any) -> None:
        await stream.read(1)
        raise ValueError("mine")

    async with two_connected(world) as (a, b):
        b.set_stream_handler(RAISE, fail)
        other = await a.new_stream(b.get_id(), [ECHO])
        await other.write(b"before")
        stream = await a.new_stream(b.get_id(), [RAISE])
        await stream.write(b"?")
        with pytest.raises(StreamReset), trio.fail_after(5):
            await stream.read(1)
        await other.close_write()
        assert await other.read() == b"before"
        assert await echoes(a, b.get_id())
    assert tracebacks(caplog) == ["mine"]


async def test_a_handler_that_has_answered_and_reads_the_end_has_ended_well(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """py-libp2p's handlers read until `StreamEOF` comes out of them."""
    answer = bytes(range(256)) * 200

    async def handler(stream: Any) -> None:
        while True:
            await stream.read(1)
            await stream.write(answer)

    async with two_connected(world) as (a, b):
        b.set_stream_handler(ANSWER, handler)
        for _ in range(30):
            stream = await a.new_stream(b.get_id(), [ANSWER])
            await stream.write(b"?")
            await stream.close_write()
            with trio.fail_after(5):
                assert await stream.read() == answer
            with pytest.raises(StreamEOF):
                await stream.read(1)
    assert tracebacks(caplog) == []


async def test_a_notifee_that_raises_keeps_nothing_from_others_and_ends_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with two_hosts(world) as (a, b):
        failing, calm = Listener(fails=True), Listener()
        for host in (a, b):
            host.get_network().register_notifee(failing)
            host.get_network().register_notifee(calm)
        with trio.fail_after(5):
            await a.connect(world.info(b))
            assert await echoes(a, b.get_id())
            await a.disconnect(b.get_id())
            while len(calm.told) < 4 or len(failing.told) < 4:
                await trio.testing.wait_all_tasks_blocked(0.001)
            await a.connect(world.info(b))
            assert await echoes(a, b.get_id())
        assert sorted(calm.told[:4]) == ["connected"] * 2 + ["disconnected"] * 2
    # Once for each method and host, however often.
    assert sorted(tracebacks(caplog)) == ["mine, at connected"] * 2 + ["mine, at disconnected"] * 2


class Unhashable(Listener):
    """As a dataclass is by default."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unhashable)


class Half:
    """Has no more than what it needs of a notifee."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def connected(self, network: Any, conn: Any) -> None:
        self.told.append("connected")


@pytest.mark.parametrize(
    "odd",
    [
        lambda: [Unhashable(), Unhashable()],
        lambda: [Listener()] * 2,
        lambda: [Half()],
    ],
    ids=["not hashable", "registered twice", "half of one"],
)
async def test_odd_notifees_cost_no_connection(
    world: World, odd: Callable[[], list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    async with two_hosts(world) as (a, b):
        notifees, calm = odd(), Listener()
        for notifee in (*notifees, calm):
            a.get_network().register_notifee(notifee)
        with trio.fail_after(5):
            for number in (1, 2):
                await a.connect(world.info(b))
                assert await echoes(a, b.get_id())
                await a.disconnect(b.get_id())
                while len(calm.told) < 2 * number:
                    await trio.testing.wait_all_tasks_blocked(0.001)
        await trio.testing.wait_all_tasks_blocked(0.001)  # each is told in a task of its own
        for notifee in notifees:
            assert notifee.told.count("connected") >= 2
            a.get_network().remove_notifee(notifee)
        told = [list(notifee.told) for notifee in notifees]
        await a.connect(world.info(b))
        assert await echoes(a, b.get_id())
        assert [notifee.told for notifee in notifees] == told
    assert all("disconnected" in text for text in tracebacks(caplog))


async def test_a_service_that_raises_is_logged_and_ends_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise ValueError("mine")

    async with two_connected(world) as (a, b):
        a.start_service(fail)
        await trio.testing.wait_all_tasks_blocked(0.001)
        assert await echoes(a, b.get_id())
    assert tracebacks(caplog) == ["mine"]


async def test_a_handler_that_is_removed_takes_no_more_streams(world: World) -> None:
    async with two_connected(world) as (a, b):
        b.set_stream_handler(ANSWER, echo)
        b.remove_stream_handler(ANSWER)
        b.remove_stream_handler(ANSWER)
        with pytest.raises(StreamFailure):
            await a.new_stream(b.get_id(), [ANSWER])
        assert await echoes(a, b.get_id())
