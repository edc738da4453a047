"""
A block that the disk has damaged is never given out, is named, and is healed.

`NIGHTLY=1` (``make nightly``) does two hundred damages to a file of 64 MiB.
"""

from __future__ import annotations

import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap.block_service import BlockService
from libp2p.bitswap.errors import BlockUnavailableError, DamagedBlockError
from libp2p.blockstore import BlockStore, FilesystemBlockStore, MemoryBlockStore
from libp2p.exceptions import BlockStoreError
from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite.cli.entry import run
from libp2p.ipld.cid import CID
from tests.integration.test_cli import command as command_line
from tests.integration.test_cli import serving
from tests.support.damage import DAMAGES, block_files, names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from libp2p.ipld.cid import CIDInput


NIGHTLY = bool(os.environ.get("NIGHTLY"))
MIB = 1024 * 1024
LOOPBACK = "/ip4/127.0.0.1/tcp/0"


class Repo:
    """A repo with one file, and the command line for it."""

    def __init__(self, folder: Path, data: bytes, capture: pytest.CaptureFixture[bytes]) -> None:
        self.data = data
        self.file = folder / "file"
        self.file.write_bytes(data)
        self.path = folder / "repo"
        self._capture = capture
        self.out = self.error = b""
        self.cid = self.add()

    def __call__(self, *args: str) -> int:
        code = run(["--repo", str(self.path), *args])
        self.out, self.error = self._capture.readouterr()
        return code

    def add(self) -> str:
        assert self("add", "-Q", "-s", "size-262144", str(self.file)) == 0
        return self.out.decode().strip()

    def cat(self, *args: str) -> int:
        """Read the file; a provider that was seen before would heal it unasked."""
        return self("cat", self.cid, "--bootstrap", "none", *args)

    @property
    def blocks(self) -> list[Path]:
        return block_files(self.path / "blocks")


@contextmanager
def a_provider(repo: Repo, folder: Path) -> Iterator[str]:
    """Another process with the same file, whose address this gives."""
    path, repo.path = repo.path, folder / "provider"
    assert repo.add() == repo.cid
    repo.path = path
    with serving(folder / "provider") as (_, address):
        yield address


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_random_damages_are_found_named_and_healed(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    count, size = (200, 64 * MIB) if NIGHTLY else (len(DAMAGES), 2 * MIB)
    source = random.Random(os.environ.get("SEED", "11"))
    repo = Repo(tmp_path, source.randbytes(size), capfdbinary)
    with a_provider(repo, tmp_path) as address:
        for number in range(count):
            kind = list(DAMAGES)[number % len(DAMAGES)]
            heal: list[Callable[[], object]] = [repo.add, lambda: repo.cat("--peer", address)]
            for heals in heal if NIGHTLY else heal[number % 2 :][:1]:
                damaged = source.choice(repo.blocks)
                names = names_of(damaged)
                DAMAGES[kind](damaged, source)
                for _ in range(1 if NIGHTLY else 2):  # it is as bad when it is read again
                    assert repo.cat() == 1, kind
                    assert repo.data.startswith(repo.out), kind
                    assert any(name in repo.error.decode() for name in names) or kind == "swapped"
                    assert repo.error.count(b"\n") == 1
                heals()
                assert repo.error == b""
                assert repo.cat() == 0, kind
                assert repo.out == repo.data, kind
        assert repo.cat("--peer", address) == 0
    left = [path for path in (repo.path / "blocks" / ".damaged").rglob("*") if path.is_file()]
    assert all(path.name == "something" for path in left)  # a stranger's file, in a folder
    assert len(repo.blocks) == size // 262144 + 1


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[FilesystemBlockStore, CID, bytes]:
    """A store with a block of which one bit is wrong."""
    data = b"a block that is to be damaged"
    cid = CID.for_block(data)
    store = FilesystemBlockStore(tmp_path / "store")
    trio.run(store.put_block, cid, data)
    (path,) = block_files(tmp_path / "store")
    DAMAGES["a bit"](path, random.Random(1))
    return store, cid, data


async def test_a_damaged_block_is_fetched_in_the_same_call(
    tmp_path: Path, damaged: tuple[FilesystemBlockStore, CID, bytes]
) -> None:
    store, cid, data = damaged
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as provider,
        Peer.open(block_store=store) as peer,
    ):
        await provider.store.put_block(cid, data)
        await peer.connect(provider.addrs[0])
        assert await peer.get_block(cid, timeout=5) == data
        assert await store.get_block(cid) == data
        (path,) = block_files(tmp_path / "store")
        service = BlockService(store, peer.bitswap)
        for reader in (peer.bitswap.new_session(), service):
            DAMAGES["a bit"](path, random.Random(2))
            assert await reader.get_block(cid, timeout=5) == data
            DAMAGES["zeros"](path, random.Random(2))
            assert await reader.get_blocks_batch([cid], timeout=5) == {bytes(cid): data}


@pytest.mark.parametrize("online", [True, False])
async def test_a_damaged_block_that_nobody_has_is_told(
    damaged: tuple[FilesystemBlockStore, CID, bytes], online: bool
) -> None:
    store, cid, _ = damaged
    async with Peer.open(block_store=store, online=online) as peer:
        for _ in range(2):
            with pytest.raises(DamagedBlockError, match=f"{cid}.*damaged") as caught:
                await peer.get_block(cid, timeout=5)
            assert caught.value.cid == cid
        with pytest.raises(DamagedBlockError, match=str(cid)):
            await peer.get_file(cid, timeout=5)
        assert not await peer.has_block(cid)
        await peer.add_file(b"a block that is to be damaged")
        assert await peer.get_block(cid) == b"a block that is to be damaged"


async def test_a_damaged_block_is_not_served(
    damaged: tuple[FilesystemBlockStore, CID, bytes],
) -> None:
    store, cid, data = damaged
    async with (
        Peer.open(block_store=store, listen=[LOOPBACK]) as server,
        Peer.open(block_store=MemoryBlockStore()) as peer,
    ):
        await peer.connect(server.addrs[0])
        with trio.fail_after(5), pytest.raises(BlockUnavailableError, match="does not have it"):
            await peer.get_block(cid)
        await server.add_file(data)
        assert await peer.get_block(cid) == data


class OwnStore(BlockStore):
    """A store as a user writes it."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}

    async def get_block(self, cid: CIDInput) -> bytes | None:
        return self.blocks.get(CID.of(cid).multihash)

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        self.blocks[CID.of(cid).multihash] = data

    async def has_block(self, cid: CIDInput) -> bool:
        return CID.of(cid).multihash in self.blocks

    async def delete_block(self, cid: CIDInput) -> None:
        self.blocks.pop(CID.of(cid).multihash, None)

    def get_blocks_now(self, cids: Sequence[CID]) -> list[bytes | None] | None:
        return [self.blocks.get(cid.multihash) for cid in cids]


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("verifies", [False, True])
async def test_a_store_of_ones_own_is_verified_unless_it_says_that_it_does(
    size: int, verifies: bool
) -> None:
    data, store = random.Random(1).randbytes(size), OwnStore()
    cid = CID.for_block(data)
    store.verifies = verifies
    await store.put_block(cid, bytes(size))
    async with Peer.open(block_store=store, online=False) as peer:
        if verifies:
            assert await peer.get_block(cid) == bytes(size)
            return
        with pytest.raises(DamagedBlockError, match=f"{cid}.*gave other bytes"):
            await peer.get_block(cid)
        with pytest.raises(DamagedBlockError, match=str(cid)):
            await peer.get_file(cid)
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as provider,
        Peer.open(block_store=store) as peer,
    ):
        with pytest.raises(BlockUnavailableError, match=str(cid)):
            await peer.get_block(cid)
        await provider.store.put_block(cid, data)
        await peer.connect(provider.addrs[0])
        assert await peer.get_block(cid) == data
        assert store.blocks[cid.multihash] == data
        await store.put_block(cid, bytes(size))
        assert await peer.bitswap.get_blocks_batch([cid]) == {bytes(cid): data}
        await store.put_block(cid, bytes(size))
        service = BlockService(store, peer.bitswap)
        assert await service.get_blocks_batch([cid]) == {bytes(cid): data}


@pytest.mark.parametrize(
    ("found", "text"), [([], "0 answers for 1"), (["text"], "gave a str for a block")]
)
async def test_what_is_no_list_of_blocks_is_an_error(found: list[object], text: str) -> None:
    class Odd(OwnStore):
        async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
            return found  # type: ignore[return-value]

    async with Peer.open(block_store=Odd(), online=False) as peer:
        with pytest.raises(BlockStoreError, match=text):
            await peer.get_block(CID.for_block(b"x"))
        unknown = CID.decode(b"\x01\x55\xff\x7f\x01x")
        found[:] = [b"x"]
        with pytest.raises(BlockStoreError, match="cannot be verified"):
            await peer.get_block(unknown)


async def test_damage_that_is_served_is_told_by_who_receives_it() -> None:
    data, store = b"what it should be", OwnStore()
    cid = CID.for_block(data)
    await store.put_block(cid, b"what it is")
    async with (
        Peer.open(block_store=store, listen=[LOOPBACK]) as server,
        Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as honest,
        Peer.open(block_store=MemoryBlockStore()) as peer,
    ):
        await peer.connect(server.addrs[0])
        text = f"{server.peer_id} sent a block that was not asked for"
        with trio.fail_after(5), pytest.raises(BlockUnavailableError, match=text):
            await peer.get_block(cid)
        await honest.add_file(data)
        await peer.connect(honest.addrs[0])
        with trio.fail_after(5):
            assert await peer.get_block(cid) == data


async def test_verifying_can_be_switched_off(tmp_path: Path) -> None:
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        added = await peer.add_file(b"the content of a file")
    (path,) = block_files(tmp_path / "repo" / "blocks")
    path.write_bytes(b"THE CONTENT OF A FILE")
    command = command_line(tmp_path / "repo", "cat", "--no-verify", str(added.cid))
    shown = await trio.run_process(command, capture_stdout=True)
    assert shown.stdout == b"THE CONTENT OF A FILE"
    async with Peer.open(tmp_path / "repo", online=False, verify=False) as peer:
        assert await (await peer.get_file(added.cid)).read() == b"THE CONTENT OF A FILE"
        await peer.add_file(b"the content of a file")  # heals all the same
        assert await (await peer.get_file(added.cid)).read() == b"the content of a file"
