"""Connection gaters of hosts: whom they keep out, at each of the five moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from libp2p import new_host
from libp2p.exceptions import BaseLibp2pError, WrongArgumentType
from libp2p.host.ping import PingService
from libp2p.network.config import ConnectionConfig
from libp2p.network.connection_gate import ConnectionGate
from libp2p.network.tag_store import CommonTags
from tests.support.hosts import LOOPBACK, info_of, running_host

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p import BasicHost
    from libp2p.peer.id import ID


class Noting(ConnectionGate):
    """Notes each question, and refuses one kind."""

    def __init__(self, refused: str = "") -> None:
        super().__init__()
        self.asked = list[str]()
        self._refused = refused

    def _note(self, question: str) -> bool:
        self.asked.append(question)
        return question != self._refused

    def intercept_peer_dial(self, peer_id: ID) -> bool:
        return self._note("peer")

    def intercept_addr_dial(self, peer_id: ID, address: Multiaddr) -> bool:
        return self._note("address")

    def intercept_accept(self, address: Multiaddr | None) -> bool:
        assert address is not None
        assert str(address).startswith("/ip4/127.0.0.1/tcp/")
        return self._note("accept")

    def intercept_secured(self, is_initiator: bool, peer_id: ID, address: Multiaddr | None) -> bool:
        assert address is not None
        return self._note("secured")

    def intercept_upgraded(self, connection: Any) -> bool:
        return self._note("upgraded")


@pytest.mark.parametrize("refused", ["", "peer", "address", "secured", "upgraded"])
async def test_who_dials_asks_first(refused: str) -> None:
    gater = Noting(refused)
    dialler = new_host(connection_gater=gater)
    async with running_host() as listener, dialler.run(listen_addrs=[]):
        if refused:
            with pytest.raises(BaseLibp2pError, match="gater does not allow"):
                await dialler.connect(info_of(listener))
            assert dialler.get_connected_peers() == []
            assert gater.asked[-1] == refused
        else:
            await dialler.connect(info_of(listener))
            assert list(dict.fromkeys(gater.asked)) == ["peer", "address", "secured", "upgraded"]


async def use(dialler: BasicHost, listener: BasicHost) -> None:
    await dialler.connect(info_of(listener))
    with trio.fail_after(5):
        await PingService(dialler).ping(listener.get_id())


@pytest.mark.parametrize("refused", ["accept", "secured", "upgraded"])
async def test_who_is_dialled_refuses(refused: str) -> None:
    gater = Noting(refused)
    listener = new_host(connection_gater=gater)
    async with listener.run(listen_addrs=[LOOPBACK]), running_host() as dialler:
        with pytest.raises(BaseLibp2pError):
            await use(dialler, listener)
        assert listener.get_connected_peers() == []
        assert gater.asked[-1] == refused


async def test_lists_of_a_configuration_keep_hosts_out() -> None:
    denying = new_host(connection_config=ConnectionConfig(deny_list=["127.0.0.0/8"]))
    async with running_host() as other, denying.run(listen_addrs=[LOOPBACK]):
        with pytest.raises(BaseLibp2pError):
            await other.connect(info_of(denying))
        with pytest.raises(BaseLibp2pError):
            await denying.connect(info_of(other))
        assert not await denying.get_network().connection_gate.is_allowed(LOOPBACK)  # type: ignore[attr-defined]


async def test_peers_are_tagged_under_py_libp2ps_names() -> None:
    async with running_host() as one, running_host() as two:
        await one.connect(info_of(two))
        network: Any = one.get_network()
        assert network.get_tag_info(two.get_id()) is None
        network.tag_peer(two.get_id(), CommonTags.DHT, 500)
        network.tag_peer(two.get_id(), CommonTags.RELAY, 300)
        network.untag_peer(two.get_id(), "none")
        assert network.get_tag_info(two.get_id()) == (800, {"dht": 500, "relay": 300})
        network.untag_peer(two.get_id(), CommonTags.RELAY)
        assert network.get_tag_info(two.get_id()).value == 500
        network.protect(two.get_id(), "critical")
        assert network.is_protected(two.get_id())
        assert not network.unprotect(two.get_id(), "critical")
        assert network.get_metrics() == {"total": 1, "inbound": 0, "outbound": 1, "peers": 1}


async def test_fewer_connections_than_there_should_be_are_made() -> None:
    host = new_host(
        connection_config=ConnectionConfig(min_connections=1, auto_connect_interval=0.01)
    )
    async with running_host() as other:
        host.get_peerstore().add_addrs(other.get_id(), other.get_transport_addrs(), 60)
        async with host.run(listen_addrs=[]):
            with trio.fail_after(10):
                while not host.get_connected_peers():  # noqa: ASYNC110 - no event
                    await trio.sleep(0.01)  # time: until it is dialled


def test_a_gater_answers_all_questions() -> None:
    with pytest.raises(WrongArgumentType, match="connection_gater"):
        new_host(connection_gater=object())  # type: ignore[arg-type]
