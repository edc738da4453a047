"""What is pinned stays, and what nothing needs goes: pins and collections of a peer."""

from __future__ import annotations

import math
import os
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap.errors import BlockUnavailableError
from libp2p.blockstore import FilesystemBlockStore, MemoryBlockStore
from libp2p.exceptions import InvalidArgument, WrongArgumentType
from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite.block_check import verify_blocks
from libp2p.ipfs_lite.collection import Collection
from libp2p.ipfs_lite.errors import NotPinnedError, PinError, RepoError
from libp2p.ipld.cid import CID, RAW_CID_START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path


@pytest.fixture(params=["memory", "repo"])
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    if request.param == "memory":
        async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
            yield peer
    else:
        async with Peer.open(repo=tmp_path / "repo", online=False) as peer:
            yield peer


async def add(peer: Peer, data: bytes, **options: object) -> CID:
    return (await peer.add_file(data, chunker="size-1024", **options)).cid  # type: ignore[arg-type]


async def collect(peer: Peer) -> set[bytes]:
    await trio.sleep(0.1)  # time: a block must be older than the margin
    return {cid.multihash async for batch in peer.gc() for cid, _ in batch}


async def multihashes(peer: Peer) -> set[bytes]:
    return {block async for batch in peer.store.multihash_batches() for block in batch}


def as_raw(multihash: bytes) -> CID:
    return CID.decode(RAW_CID_START + multihash)


async def sizes(peer: Peer, blocks: Iterable[bytes]) -> list[int]:
    found = await peer.store.get_sizes([as_raw(block).buffer for block in blocks])
    return [size or 0 for size in found]


async def pins_of(peer: Peer, *args: str) -> list[tuple[CID, str, str]]:
    return [(pin.cid, pin.kind, pin.name) async for pin in peer.pins.ls(*args)]  # type: ignore[arg-type]


async def test_a_collection_takes_what_is_not_pinned(peer: Peer) -> None:
    kept = await add(peer, os.urandom(5000))
    stays = await multihashes(peer)
    loose = await add(peer, os.urandom(5000), pin=False)
    goes = await multihashes(peer) - stays
    assert await collect(peer) == goes
    assert await multihashes(peer) == stays
    assert not await peer.has_block(loose)
    await peer.pins.rm(kept)
    assert await collect(peer) == stays
    assert await multihashes(peer) == set()
    assert await collect(peer) == set()


async def test_a_direct_pin_keeps_one_block_and_a_recursive_one_more(peer: Peer) -> None:
    root = await add(peer, os.urandom(5000), pin=False)
    everything = await multihashes(peer)
    await peer.pins.add(root, recursive=False)
    again = await add(peer, b"other")
    assert await pins_of(peer) == [(again, "recursive", ""), (root, "direct", "")]
    assert await collect(peer) == everything - {root.multihash}
    with pytest.raises(BlockUnavailableError):
        await peer.pins.add(root)
    assert await pins_of(peer, "recursive") == [(again, "recursive", "")]


async def test_a_root_pinned_directly_before_a_recursive_pin_above_it_hides_nothing(
    peer: Peer,
) -> None:
    inner = await add(peer, os.urandom(5000), pin=False)
    await peer.pins.add(inner, recursive=False)
    everything = await multihashes(peer)
    from libp2p.ipld import dag_cbor
    from libp2p.ipld.codec import codec_code

    data = dag_cbor.encode([inner])
    above = CID.for_block(data, codec=codec_code("dag-cbor"))
    await peer.store.put_block(above.buffer, data)
    await peer.pins.add(above)
    assert await collect(peer) == set()
    assert await multihashes(peer) == everything | {above.multihash}


async def test_what_is_below_an_identity_cid_is_pinned_too(peer: Peer) -> None:
    """A folder may hold another one whole in its CID; the files of that one are elsewhere."""
    file = await peer.add_file(os.urandom(5000), chunker="size-1024", pin=False)
    inner = await peer.add_folder([("file", file.cid, 1)], inline_limit=128, pin=False)
    assert inner.cid.is_identity
    roots = [
        inner.cid,
        (await peer.add_folder([("x" * 200, inner.cid, 1)], pin=False)).cid,
        await peer.dag.put([inner.cid]),
    ]
    stays = await multihashes(peer)
    for root in roots:
        await peer.pins.add(root)
        assert (await peer.pins.find(file.cid)).through == root
        await peer.pins.rm(root)
    for root in roots:
        await peer.pins.add(root)
    assert await collect(peer) == set()
    await peer.pins.rm(roots[1])
    await peer.pins.rm(roots[2])
    assert await collect(peer) == {roots[1].multihash, roots[2].multihash}
    assert [bad async for _, bad in peer.pins.verify()] == [[]]
    below = stays - {root.multihash for root in roots}
    stat = await peer.stat(inner.cid)
    size = len(inner.cid.digest) + sum(await sizes(peer, below))
    assert (stat.blocks, stat.dag_size) == (1 + len(below), size)
    [one] = (await peer.dag.stat(inner.cid)).dags
    assert one[1:] == (stat.blocks, stat.dag_size)
    await peer.store.delete_block(file.cid)
    [bad] = [bad async for _, bad in peer.pins.verify()]
    assert [cid for cid, _ in bad] == [file.cid]
    with pytest.raises(BlockUnavailableError):
        await peer.pins.add(roots[0])
    await peer.pins.rm(roots[0])
    assert await collect(peer) == below - {file.cid.multihash}


async def test_a_block_that_is_a_node_and_raw_keeps_what_is_below_it(peer: Peer) -> None:
    root = await add(peer, os.urandom(5000), pin=False)
    await peer.pins.add(as_raw(root.multihash))
    await peer.pins.add(root)
    stays = await multihashes(peer)
    assert await collect(peer) == set()
    assert await multihashes(peer) == stays


async def test_pins_have_names_and_kinds(peer: Peer) -> None:
    root = await add(peer, os.urandom(3000), name="one")
    assert await pins_of(peer, "recursive") == [(root, "recursive", "one")]
    await add(peer, b"x" * 10)
    await peer.pins.add(root)
    assert (root, "recursive", "one") in await pins_of(peer, "recursive")
    await peer.pins.add(root, name="two")
    assert [pin[2] for pin in [*await pins_of(peer, "recursive")] if pin[0] == root] == ["two"]
    indirect = [pin async for pin in peer.pins.ls("indirect")]
    assert len(indirect) == 3
    assert {pin.through for pin in indirect} == {root}
    found = await peer.pins.find(indirect[0].cid)
    assert (found.kind, found.through) == ("indirect", root)
    assert (await peer.pins.find(root)).name == "two"
    assert await pins_of(peer, "direct") == []
    assert [pin async for pin in peer.pins.ls(name="tw")] == [await peer.pins.find(root)]
    with pytest.raises(NotPinnedError):
        await peer.pins.find(root, "indirect")
    with pytest.raises(NotPinnedError):
        await peer.pins.find(CID.for_block(b"nowhere"))


async def test_what_cannot_be_pinned_or_unpinned_is_told(peer: Peer) -> None:
    root = await add(peer, b"data")
    with pytest.raises(PinError, match="already pinned recursively"):
        await peer.pins.add(root, recursive=False)
    with pytest.raises(PinError, match="is pinned recursively"):
        await peer.pins.rm(root, recursive=False)
    await peer.pins.rm(root)
    with pytest.raises(NotPinnedError):
        await peer.pins.rm(root)
    with pytest.raises(InvalidArgument, match="300 bytes"):
        await peer.pins.add(root, name="x" * 300)
    with pytest.raises(InvalidArgument):
        await add(peer, b"data", name="x" * 300)
    with pytest.raises(InvalidArgument, match="surrogate"):
        await peer.pins.add(root, name="\ud800")
    for expiry in (math.nan, -1, 10**400):
        with pytest.raises(InvalidArgument, match="expiry"):
            await peer.pins.add(root, expiry=expiry)
    with pytest.raises(WrongArgumentType, match="expiry"):
        await peer.pins.add(root, expiry="2030")  # type: ignore[arg-type]
    with pytest.raises(WrongArgumentType, match="expiry"):
        await peer.pins.add(root, expiry=True)
    for kind in ("all", 1):
        with pytest.raises(InvalidArgument, match="the kind of a pin"):
            await peer.pins.find(root, kind)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="the kind of a pin"):
            await pins_of(peer, kind)  # type: ignore[arg-type]
    with pytest.raises(WrongArgumentType, match="name"):
        [_ async for _ in peer.pins.ls(name=b"x")]  # type: ignore[arg-type]
    assert await pins_of(peer) == []
    with pytest.raises(NotPinnedError, match="'from' cid"):
        await peer.pins.update(root, root)


async def test_an_expired_pin_counts_no_more(peer: Peer) -> None:
    root = await add(peer, b"data", pin=False)
    await peer.pins.add(root, expiry=time.time() + 3600)
    assert (await peer.pins.find(root)).expiry is not None
    assert await collect(peer) == set()
    await peer.pins.add(root, expiry=10**30)
    assert (await peer.pins.find(root)).expiry == 1e30
    await peer.pins.add(root, expiry=time.time() - 1)
    assert await pins_of(peer) == []
    assert await collect(peer) == {root.multihash}


async def test_an_update_moves_the_name(peer: Peer) -> None:
    old = await add(peer, os.urandom(3000), name="site")
    new = await add(peer, os.urandom(3000), pin=False)
    await peer.pins.update(old, new)
    assert await pins_of(peer, "recursive") == [(new, "recursive", "site")]
    await add(peer, b"third")
    third = (await pins_of(peer, "recursive"))[1][0]
    with pytest.raises(PinError, match="'to' cid"):
        await peer.pins.update(new, third)
    await peer.pins.update(new, new)
    older = await add(peer, b"fourth", pin=False)
    await peer.pins.update(new, older, unpin=False)
    assert [pin[2] for pin in await pins_of(peer, "recursive")] == ["site", "", "site"]


async def test_a_check_of_pins_names_what_is_missing(peer: Peer) -> None:
    data = os.urandom(5000)
    whole, torn = await add(peer, b"whole"), await add(peer, data)
    leaf = [pin.cid async for pin in peer.pins.ls("indirect")][2]
    await peer.store.delete_block(leaf.buffer)
    found = [(pin.cid, bad) async for pin, bad in peer.pins.verify()]
    assert found == [(whole, []), (torn, [(leaf, "block not found")])]
    await peer.store.delete_block(torn.buffer)
    found = [(pin.cid, bad) async for pin, bad in peer.pins.verify()]
    assert found[1] == (torn, [(torn, "block not found")])


async def test_what_a_lease_covers_stays(peer: Peer) -> None:
    old = await add(peer, os.urandom(3000), pin=False)
    stays = await multihashes(peer)
    await trio.sleep(0.1)  # time: the lease is to be younger than the blocks
    with peer.lease([old]):
        new = await add(peer, os.urandom(3000), pin=False)
        assert await collect(peer) == set()
        assert await peer.has_block(new)
    assert stays < await collect(peer)


async def test_what_is_pinned_during_a_collection_stays(peer: Peer) -> None:
    for _ in range(3):
        await add(peer, os.urandom(900_000), pin=False)  # more than one batch
    late = await add(peer, os.urandom(900_000), pin=False)
    await trio.sleep(0.1)  # time: as above
    async with aclosing(peer.gc()) as batches:
        taken = {cid.multihash for cid, _ in await anext(batches)}
        try:
            await peer.pins.add(late)
        except BlockUnavailableError:  # some of it went with the first batch
            late = await add(peer, b"something else that is whole" * 100)
        async for batch in batches:
            taken |= {cid.multihash for cid, _ in batch}
    assert taken
    [(_, bad)] = [found async for found in peer.pins.verify()]
    assert bad == []


async def test_a_file_that_is_added_during_collections_is_whole(peer: Peer) -> None:
    data = os.urandom(200_000)
    for _ in range(3):
        await add(peer, data, pin=False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect, peer)
            root = await add(peer, data)
            nursery.start_soon(collect, peer)
        assert [bad async for _, bad in peer.pins.verify()] == [[]]
        async with await peer.get_file(root) as file:
            assert await file.read() == data
        await peer.pins.rm(root)


async def test_a_collection_may_be_ended_and_begun_again(peer: Peer) -> None:
    await add(peer, os.urandom(3_000_000), pin=False)
    everything = await multihashes(peer)
    await trio.sleep(0.1)  # time: as above
    async with aclosing(peer.gc()) as batches:
        first = {cid.multihash for cid, _ in await anext(batches)}
    assert first < everything
    assert await collect(peer) == everything - first


async def test_pins_outlive_the_peer(tmp_path: Path) -> None:
    async with Peer.open(repo=tmp_path / "repo", online=False) as peer:
        root = await add(peer, b"data", name="kept")
    async with Peer.open(repo=tmp_path / "repo", online=False) as peer:
        assert await pins_of(peer) == [(root, "recursive", "kept")]


async def test_a_damaged_state_is_told_and_kept(tmp_path: Path) -> None:
    async with Peer.open(repo=tmp_path / "repo", online=False) as peer:
        await add(peer, b"data")
    state = tmp_path / "repo" / "state.sqlite"
    state.write_bytes(b"x" * 8192)
    async with Peer.open(repo=tmp_path / "repo", online=False) as peer:
        with pytest.raises(RepoError, match=r"state\.sqlite"):
            [batch async for batch in peer.gc()]
    assert state.read_bytes() == b"x" * 8192


async def test_all_blocks_are_hashed_and_the_damaged_named(tmp_path: Path) -> None:
    store = FilesystemBlockStore(tmp_path)
    cids = []
    for number in range(100):
        data = number.to_bytes(4)
        cids.append(CID.for_block(data))
        await store.put_block(cids[-1], data)
    bad: list[bytes] = []
    read: list[int] = []

    async def damaged(cid: CID, reason: str) -> None:
        assert reason
        bad.append(cid.multihash)

    async def check() -> int:
        return await verify_blocks(store, damaged, lambda done, _: read.append(done))

    assert await check() == 0
    assert read[-1] == 400
    files = sorted(tmp_path.glob("*/*.data"))  # noqa: ASYNC240
    files[7].write_bytes(b"damage")
    assert await check() == 1
    assert len(bad) == 1


async def test_a_block_that_is_put_again_gets_the_time_of_now(tmp_path: Path) -> None:
    store = FilesystemBlockStore(tmp_path)
    cid = CID.for_block(b"data")
    await store.put_block(cid, b"data")
    [path] = tmp_path.glob("*/*.data")  # noqa: ASYNC240
    os.utime(path, (1, 1))
    assert [info async for info in store.block_infos()] == [[(cid.multihash, 4, 1.0)]]
    assert await store.delete_blocks([cid], older_than=1.0) == []
    await store.put_block(cid, b"data")
    assert path.stat().st_mtime > 1
    assert await store.delete_blocks([cid], older_than=2.0) == []
    assert await store.delete_blocks([cid], older_than=time.time() + 5) == [cid]
    assert await store.delete_blocks([cid]) == [cid]


async def test_a_collection_ends_though_others_pin_without_a_pause(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = await add(peer, b"loose", pin=False)
    pinned: list[CID] = []

    async def is_more_needed(collection: Collection) -> bool:
        pinned.append(await add(peer, os.urandom(5000)))
        return True

    monkeypatch.setattr(Collection, "_is_more_needed", is_more_needed)
    with trio.fail_after(60):
        removed = await collect(peer)
    # A store that knows no times keeps what may have been written a moment ago.
    has_times = not isinstance(peer.store, MemoryBlockStore)
    assert removed == ({loose.multihash} if has_times else set())
    for cid in pinned:
        async with await peer.get_file(cid) as file:
            assert len(await file.read()) == 5000
