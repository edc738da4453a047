"""What Prometheus is told of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest

from libp2p.bitswap.metrics import BitswapCollector
from libp2p.bitswap.wire.entry import WantType
from tests.support.bitswap_peers import host_of, running_client
from tests.support.blocks import block
from tests.support.fake_host import connect

if TYPE_CHECKING:
    from libp2p.bitswap.client import BitswapClient

X, X_DATA = block(1)
Y, _ = block(2)
Z, _ = block(3)


def numbers_of(client: BitswapClient) -> dict[str, float]:
    registry = CollectorRegistry()
    BitswapCollector(client, registry)
    lines = generate_latest(registry).decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.partition(" ") for line in lines if not line.startswith("#"))
    }


async def test_numbers_are_those_of_stat_by_kubos_names(nursery: trio.Nursery) -> None:
    async with (
        running_client(nursery, "ann", [(X, X_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        await bob.get_block(X)
        await bob.want_block(Y)
        await bob.want_block(Z, want_type=WantType.Have)
        await trio.testing.wait_all_tasks_blocked()
        messages = bob.stat().messages_received
        assert messages > 0
        assert numbers_of(bob) == {
            "ipfs_bitswap_recv_all_blocks_bytes_count": 1,
            "ipfs_bitswap_recv_all_blocks_bytes_sum": len(X_DATA),
            "ipfs_bitswap_recv_dup_blocks_bytes_count": 0,
            "ipfs_bitswap_recv_dup_blocks_bytes_sum": 0,
            "ipfs_bitswap_sent_all_blocks_bytes_count": 0,
            "ipfs_bitswap_sent_all_blocks_bytes_sum": 0,
            "ipfs_bitswap_wantlist_total": 2,
            "ipfs_bitswap_want_blocks_total": 1,
            "ipfs_bitswap_pending_tasks": 0,
            "libp2p_bitswap_peers": 1,
            "libp2p_bitswap_messages_received_total": messages,
            "libp2p_bitswap_unwanted_blocks_received_total": 0,
            "libp2p_bitswap_late_blocks_received_total": 0,
        }
        sent = numbers_of(ann)
        assert sent["ipfs_bitswap_sent_all_blocks_bytes_count"] == 1
        assert sent["ipfs_bitswap_sent_all_blocks_bytes_sum"] == len(X_DATA)


async def test_a_registry_takes_one_client(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "ann") as ann:
        registry = CollectorRegistry(auto_describe=True)
        collector = BitswapCollector(ann, registry)
        with pytest.raises(ValueError, match="ipfs_bitswap"):
            BitswapCollector(ann, registry)
        registry.unregister(collector)
        registry.register(BitswapCollector(ann, registry=None))
