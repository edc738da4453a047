"""The in-memory transport's addresses, listeners and backlog."""

from __future__ import annotations

import pytest
import trio
from multiaddr import Multiaddr
from trio.testing import wait_all_tasks_blocked

from libp2p.connection_types import ConnectionType
from libp2p.exceptions import ConnectionClosedError, OpenConnectionError
from libp2p.transport.memory.memory import LISTEN_BACKLOG, MemoryListener, MemoryTransport
from libp2p.transport.memory.memory_connection import PIPE_BYTES, MemoryConnection
from tests.support.identities import peer_id_of

ANY = Multiaddr("/memory/0")
ONE = Multiaddr("/memory/1001")
MEMORY = MemoryTransport()


class Accepted:
    """Keeps what is accepted."""

    def __init__(self) -> None:
        self.connections: list[MemoryConnection] = []

    async def __call__(self, connection: MemoryConnection) -> None:
        self.connections.append(connection)


async def test_both_ends_know_each_others_address() -> None:
    accepted = Accepted()
    listener = MEMORY.create_listener(accepted)
    await listener.listen(ONE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, nursery)
        ours, other = await MEMORY.dial(ONE), await MEMORY.dial(ONE)
        await wait_all_tasks_blocked()
        theirs, another = accepted.connections
        assert ours.get_transport_addresses() == other.get_transport_addresses() == [ONE]
        [near], [far] = theirs.get_transport_addresses(), another.get_transport_addresses()
        assert MEMORY.can_dial(near)
        assert near not in (far, ONE)
        assert ours.get_remote_address() is theirs.get_remote_address() is None
        assert ours.get_connection_type() is ConnectionType.DIRECT
        await listener.close()


async def test_zero_stands_for_numbers_that_nobody_has() -> None:
    listener, other = (MEMORY.create_listener(Accepted()) for _ in range(2))
    for each in (listener, other, listener):
        await each.listen(ANY)
    addresses = [*listener.get_addrs(), *other.get_addrs()]
    assert len(set(addresses)) == 3
    assert ANY not in addresses
    await listener.close()
    assert listener.get_addrs() == ()
    await other.close()


async def test_a_number_has_one_listener_at_a_time() -> None:
    listener, other = (MEMORY.create_listener(Accepted()) for _ in range(2))
    await listener.listen(ONE)
    with pytest.raises(OpenConnectionError, match="cannot listen on /memory/1001: another"):
        await other.listen(ONE)
    await listener.close()
    await listener.close()
    await other.listen(ONE)
    await other.close()


async def test_a_number_that_nobody_listens_on_refuses() -> None:
    with pytest.raises(OpenConnectionError, match="cannot connect to /memory/1001: nobody"):
        await MEMORY.dial(ONE)


def test_numbers_are_known_in_one_run_of_trio() -> None:
    async def listen() -> MemoryListener:
        listener = MEMORY.create_listener(Accepted())
        await listener.listen(ONE)
        return listener

    trio.run(listen)
    trio.run(listen)


@pytest.mark.parametrize(
    "address", ["/ip4/127.0.0.1/tcp/1", "/memory/1/ws", f"/p2p/{peer_id_of('x')}"]
)
async def test_other_addresses_are_none_of_it(address: str) -> None:
    other = Multiaddr(address)
    assert not MEMORY.can_dial(other)
    assert not MEMORY.can_listen(other)
    with pytest.raises(OpenConnectionError, match="not a memory address"):
        await MEMORY.dial(other)
    with pytest.raises(OpenConnectionError, match="not a memory address"):
        await MEMORY.create_listener(Accepted()).listen(other)


def test_a_peer_id_may_follow() -> None:
    assert MEMORY.can_dial(Multiaddr(f"/memory/7/p2p/{peer_id_of('x')}"))
    assert MEMORY.protocols() == ["memory"]


async def test_connections_wait_until_there_is_room_for_them() -> None:
    accepted, room = Accepted(), trio.Semaphore(0)
    listener = MEMORY.create_listener(accepted, room.acquire)
    await listener.listen(ONE)
    ours = [await MEMORY.dial(ONE) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, nursery)
        await wait_all_tasks_blocked()
        assert accepted.connections == []
        room.release()
        await wait_all_tasks_blocked()
        assert len(accepted.connections) == 1
        await listener.close()
        room.release()
    assert len(accepted.connections) == 1
    await ours[0].write(b"accepted ones live on")
    for refused in ours[1:]:
        assert await refused.read() == b""


async def test_a_listener_that_does_not_accept_refuses_in_the_end() -> None:
    listener = MEMORY.create_listener(Accepted())
    await listener.listen(ONE)
    for _ in range(LISTEN_BACKLOG):
        await MEMORY.dial(ONE)
    with pytest.raises(OpenConnectionError, match="1024 others wait"):
        await MEMORY.dial(ONE)
    await listener.close()


async def test_what_nobody_reads_is_bounded() -> None:
    listener = MEMORY.create_listener(Accepted())
    await listener.listen(ONE)
    ours = await MEMORY.dial(ONE)
    rest = ours.send_some([bytes(PIPE_BYTES - 1), bytes(10), bytes(20)])
    assert list(map(len, rest)) == [9, 20]
    assert ours.send_some(rest) == rest
    assert ours.undelivered_bytes() == PIPE_BYTES
    ours.abort()
    with pytest.raises(ConnectionClosedError):
        ours.send_some(rest)
    await listener.close()
