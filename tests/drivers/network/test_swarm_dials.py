"""What a swarm keeps of several dials to one peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio
from multiaddr import Multiaddr
from trio.testing import wait_all_tasks_blocked

from libp2p import new_swarm
from libp2p.network.config import SwarmConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.peerstore import PeerStore
from libp2p.transport.memory.memory import MemoryTransport
from tests.support.channels import MemoryConnection, connection_pair
from tests.support.identities import peer_id_of
from tests.support.memory_session import yamux_over

if TYPE_CHECKING:
    from trio.testing import MockClock

    from libp2p.peer.id import ID
    from libp2p.stream_muxer.yamux.yamux import Yamux
    from libp2p.transport.abc import Transport

PEER = peer_id_of("remote")
ADDRESSES = [Multiaddr(f"/ip4/1.2.3.4/tcp/{port}") for port in range(4001, 4004)]


class Addresses:
    """A transport to peers in memory, all of which are secured at the same time."""

    def __init__(self) -> None:
        self.dialled: list[MemoryConnection] = []
        self.secured = trio.Event()

    def can_dial(self, _: Multiaddr) -> bool:
        return True

    async def dial(self, _: Multiaddr, __: ID) -> Yamux:
        connection, _ = connection_pair()
        self.dialled.append(connection)
        try:
            await self.secured.wait()
            await trio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            connection.abort()
            raise
        return yamux_over(connection)


def swarm_over(addresses: Addresses, config: SwarmConfig | None = None) -> Swarm:
    peerstore = PeerStore(clock=trio.current_time)
    peerstore.add_addrs(PEER, ADDRESSES)
    return Swarm(
        peer_id_of("local"),
        peerstore,
        None,
        [cast("Transport", addresses)],
        connection_config=config,
    )


async def test_of_dials_that_succeed_in_the_same_tick_one_stays(autojump_clock: MockClock) -> None:
    addresses = Addresses()
    swarm = swarm_over(addresses)
    async with swarm.running(), trio.open_nursery() as nursery:
        nursery.start_soon(swarm.dial_peer, PEER)
        await trio.sleep(5)  # each has had its head start
        assert len(addresses.dialled) == len(ADDRESSES)
        addresses.secured.set()
        await wait_all_tasks_blocked()
        assert len(swarm.get_connections(PEER)) == 1
        assert [each.is_closed for each in addresses.dialled].count(False) == 1


async def test_the_windows_of_all_connections_grow_out_of_one_budget() -> None:
    config = SwarmConfig(receive_budget=1000)
    memory = [MemoryTransport()]
    dialler = new_swarm(transports=memory, connection_config=config)
    listeners = [new_swarm(transports=memory) for _ in range(2)]
    async with dialler.running(), listeners[0].running(), listeners[1].running():
        for listener in listeners:
            await listener.listen(Multiaddr("/memory/0"))
            [address] = listener.get_listen_addrs()
            await dialler.dial_addr(address, listener.get_peer_id())
        windows = dialler.resources.statistics()["receive windows"]
        assert windows.limit == 1000
        assert len(windows.children) == len(listeners)
