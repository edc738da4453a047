"""Bitswap with a bare boxo peer: many blocks at once, large ones, and all kinds of CIDs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from libp2p.ipld.cid import CID

from .files import MIB, random_bytes
from .go_peer import BoxoPeer
from .need import need
from .ours import address_of, dial, in_thread, running_bitswap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from libp2p.bitswap import BitswapClient

BATCHES = [(400, 262_144), (3_000, 1_024)]
"""The second is more than the 1,024 wants that a server of boxo's keeps of one message."""

SIZES = [1, 1_024, 1_025, 2 * MIB]
CODECS = ["raw", "dag-pb", "dag-cbor", "dag-json"]
HASHES = ["sha2-256", "sha2-512", "blake2b-256", "blake3"]


@pytest.fixture
def boxo() -> Iterator[BoxoPeer]:
    """A bare bitswap peer that offers TLS before Noise."""
    need("boxo-peer")
    with BoxoPeer() as peer:
        yield peer


async def get_all(client: BitswapClient, cids: Sequence[CID], window: int | None) -> int:
    """Fetch raw SHA-256 blocks, check each against its CID; the number of bytes."""
    missing = set(cids)
    size = 0
    async with client.get_blocks(cids, window=window) as blocks:
        async for cid, data in blocks:
            assert hashlib.sha256(data).digest() == cid.digest
            missing.remove(cid)
            size += len(data)
    assert not missing
    return size


@pytest.mark.parametrize("ahead", ["all at once", "read ahead"])
@pytest.mark.parametrize(("count", "size"), BATCHES)
async def test_we_fetch_many_blocks(boxo: BoxoPeer, count: int, size: int, ahead: str) -> None:
    """All asked for at once, and as far ahead as the client does by itself."""
    cids = [CID.parse(text) for text in await in_thread(boxo.fill, count, size, seed=1)]
    async with running_bitswap() as client:
        await dial(client.host, boxo.addr)
        window = count if ahead == "all at once" else None
        assert await get_all(client, cids, window) == count * size
        stat = client.stat()
    assert stat.wantlist == []
    assert (stat.blocks_received, stat.dup_blks_received) == (count, 0)


@pytest.mark.parametrize(("count", "size"), BATCHES)
async def test_boxo_fetches_many_blocks(boxo: BoxoPeer, count: int, size: int) -> None:
    """In one GetBlocks, whose wants come in one message however many they are."""
    blocks = [random_bytes(f"ours {number}", size) for number in range(count)]
    cids = [CID.for_block(data) for data in blocks]
    async with running_bitswap() as client:
        for cid, data in zip(cids, blocks, strict=True):
            await client.add_block(cid, data)
        await in_thread(boxo.connect, address_of(client.host))
        found = await in_thread(boxo.get_many, [str(cid) for cid in cids])
        assert (found.count, found.bytes) == (count, count * size)
        # On a busy machine it asks again for what it has not had within 50 ms.
        duplicates = (await in_thread(boxo.stat))["duplicates"]
        assert duplicates <= client.stat().blocks_sent - count <= count // 5


@pytest.mark.parametrize("hash_name", HASHES)
@pytest.mark.parametrize("codec", CODECS)
async def test_blocks_of_every_kind_go_both_ways(
    boxo: BoxoPeer, codec: str, hash_name: str
) -> None:
    """The same bytes have the same CID on both sides, and come back under it."""
    async with running_bitswap() as client:
        await dial(client.host, boxo.addr)
        for size in SIZES:
            theirs = random_bytes(f"theirs {codec} {hash_name}", size)
            ours = random_bytes(f"ours {codec} {hash_name}", size)
            text = await in_thread(boxo.add, theirs, codec=codec, hash_name=hash_name)
            assert text == str(CID.for_block(theirs, codec=codec, hash=hash_name))
            assert await client.get_block(text) == theirs
            cid = CID.for_block(ours, codec=codec, hash=hash_name)
            await client.add_block(cid, ours)
            found = await in_thread(boxo.get, str(cid))
            assert found.sha256 == hashlib.sha256(ours).hexdigest()
