"""What a swarm keeps of several dials to one peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio
from multiaddr import Multiaddr
from trio.testing import wait_all_tasks_blocked

from libp2p.network.config import ConnectionConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.peerstore import PeerStore
from tests.support.channels import MemoryConnection, connection_pair
from tests.support.identities import peer_id_of
from tests.support.memory_session import secured_by, yamux_over

if TYPE_CHECKING:
    from trio.testing import MockClock

    from libp2p.peer.id import ID
    from libp2p.resources import Resources
    from libp2p.security.secure_session import SecureSession
    from libp2p.stream_muxer.yamux.yamux import Yamux
    from libp2p.transport.tcp.tcp import TCP
    from libp2p.transport.upgrader import TransportUpgrader

PEER = peer_id_of("remote")
ADDRESSES = [Multiaddr(f"/ip4/1.2.3.4/tcp/{port}") for port in range(4001, 4004)]


class Addresses:
    """A transport to peers in memory, and the upgrader that is as far with all of them."""

    def __init__(self) -> None:
        self.dialled: list[MemoryConnection] = []
        self.secured = trio.Event()

    def can_dial(self, _: Multiaddr) -> bool:
        return True

    async def dial(self, _: Multiaddr) -> MemoryConnection:
        connection, _ = connection_pair()
        self.dialled.append(connection)
        return connection

    async def upgrade_security(
        self, raw_conn: MemoryConnection, _is_initiator: bool, _: ID | None
    ) -> SecureSession:
        await self.secured.wait()
        return secured_by(raw_conn)

    async def upgrade_connection(
        self, secured: SecureSession, _: ID, resources: Resources
    ) -> Yamux:
        return yamux_over(cast("MemoryConnection", secured.raw_conn), resources=resources)


def swarm_over(addresses: Addresses, config: ConnectionConfig | None = None) -> Swarm:
    peerstore = PeerStore(clock=trio.current_time)
    peerstore.add_addrs(PEER, ADDRESSES)
    return Swarm(
        peer_id_of("local"),
        peerstore,
        cast("TransportUpgrader", addresses),
        cast("TCP", addresses),
        config,
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
    addresses = Addresses()
    addresses.secured.set()
    swarm = swarm_over(addresses, ConnectionConfig(receive_budget=1000))
    async with swarm.running():
        budgets = [
            (await swarm.dial_addr(address, PEER)).muxed_conn.session._holdings.windows
            for address in ADDRESSES[:2]
        ]
        assert budgets[0].try_hold(800)
        assert not budgets[1].try_hold(300)
        assert budgets[1].try_hold(200)
