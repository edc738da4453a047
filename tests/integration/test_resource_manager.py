"""A host with py-libp2p's resource manager keeps to its limits, and shows what it holds."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from libp2p import new_host
from libp2p.events import PeerDisconnected
from libp2p.exceptions import BaseLibp2pError, InvalidArgument
from libp2p.host.ping import ID as PING
from libp2p.rcmgr import ResourceLimits, ResourceManager
from tests.support.hosts import LOOPBACK, info_of, running_host


async def test_a_host_counts_in_its_manager() -> None:
    manager = ResourceManager(ResourceLimits(max_connections=2))
    host = new_host(resource_manager=manager)
    async with running_host() as ann, host.run(listen_addrs=[LOOPBACK]):
        await ann.connect(info_of(host))
        stream = await ann.new_stream(host.get_id(), [PING])
        await stream.write(bytes(32))
        await stream.read(32)
        stat = manager.stat(ann.get_id())
        assert (stat.connections, stat.streams) == (1, 1)
        assert manager.acquire_connection("the program's own")
        assert not manager.acquire_connection("one more")
        assert manager.get_stats()["connections"] == 2
    assert manager.stat().connections == 1
    with pytest.raises(InvalidArgument, match="host already"):
        new_host(resource_manager=manager)


async def test_networks_may_be_kept_out_or_bounded() -> None:
    manager = ResourceManager(cidr_limits=[("127.0.0.0/8", 1)])
    host = new_host(resource_manager=manager)
    async with running_host() as ann, running_host() as bob, host.run(listen_addrs=[LOOPBACK]):
        await ann.connect(info_of(host))
        with suppress(BaseLibp2pError):  # it may be refused before or after the handshake's end
            await bob.connect(info_of(host))
        with pytest.raises(BaseLibp2pError):
            await bob.new_stream(host.get_id(), [PING])
        ended = trio.Event()
        host.get_network().events.subscribe(lambda _: ended.set(), PeerDisconnected)
        await ann.disconnect(host.get_id())
        await ended.wait()
        await bob.connect(info_of(host))
        await bob.new_stream(host.get_id(), [PING])
