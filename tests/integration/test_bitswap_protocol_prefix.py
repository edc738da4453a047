"""Networks of their own, by a prefix of the protocol ids, on real hosts."""

from __future__ import annotations

import pytest

from libp2p.bitswap import BitswapClient, BlockUnavailableError, PeerAnswer
from libp2p.ipld.cid import CID
from tests.support.hosts import connected_hosts

DATA = b"only for members"
X = CID.for_block(DATA)


async def test_members_trade_both_ways() -> None:
    async with connected_hosts() as (one, two):
        ann = BitswapClient(one, protocol_prefix="/celestia")
        bob = BitswapClient(two, protocol_prefix="/celestia")
        async with ann.run(), bob.run():
            await ann.add_block(X, DATA)
            assert await bob.get_block(X, one.get_id()) == DATA
            more = CID.for_block(b"more")
            await bob.add_block(more, b"more")
            assert await ann.get_block(more, two.get_id()) == b"more"


@pytest.mark.parametrize("prefix", ["", "/other"])
async def test_strangers_are_told_nothing(prefix: str) -> None:
    async with connected_hosts() as (one, two):
        ann = BitswapClient(one, protocol_prefix="/celestia")
        bob = BitswapClient(two, protocol_prefix=prefix)
        async with ann.run(), bob.run():
            await ann.add_block(X, DATA)
            with pytest.raises(BlockUnavailableError) as caught:
                await bob.get_block(X, one.get_id())
            assert caught.value.peers == {one.get_id(): PeerAnswer.NOT_SUPPORTED}
