"""Block stores of the user's own: typed as the documentation says, and free to raise anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libp2p.bitswap.block_service import BlockService
from libp2p.blockstore import BlockStore, MemoryBlockStore
from libp2p.exceptions import BlockStoreError
from libp2p.ipfs_lite import Peer
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from libp2p.bitswap.client import BitswapClient

ROOT = Path(__file__).resolve().parents[2]

#: Stores as people write them; each is to be a `BlockStore` to a type checker.
STORES = """
from collections.abc import Sequence

import trio

from libp2p.bitswap import BlockStore, FilesystemBlockStore, MemoryBlockStore
from libp2p.base_types import Buffer
from libp2p.ipfs_lite import Peer
from libp2p.ipld.cid import CID, CIDInput


class ByBytes(BlockStore):
    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}

    async def get_block(self, cid: bytes) -> bytes | None:
        return self.blocks.get(cid)

    async def put_block(self, cid: bytes, data: bytes) -> None:
        self.blocks[cid] = data

    async def has_block(self, cid: bytes) -> bool:
        return cid in self.blocks

    async def delete_block(self, cid: bytes) -> None:
        self.blocks.pop(cid, None)


class WithLists(ByBytes):
    def get_all_cids(self) -> list[bytes]:
        return list(self.blocks)

    async def get_size(self, cid: bytes) -> int | None:
        data = self.blocks.get(cid)
        return None if data is None else len(data)

    async def get_sizes(self, cids: Sequence[bytes]) -> list[int | None]:
        return [await self.get_size(cid) for cid in cids]

    async def get_blocks(self, cids: Sequence[bytes]) -> list[bytes | None]:
        return [self.blocks.get(cid) for cid in cids]

    async def put_blocks(self, blocks: Sequence[tuple[bytes, Buffer]]) -> None:
        self.blocks.update({cid: bytes(data) for cid, data in blocks})

    def get_blocks_now(self, cids: Sequence[CID]) -> list[bytes | None] | None:
        return [self.blocks.get(cid.buffer) for cid in cids]

    def put_blocks_now(self, blocks: Sequence[tuple[CID, Buffer]]) -> bool:
        return False

    async def close(self) -> None:
        self.blocks.clear()


class ByMultihash(BlockStore):
    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}

    async def get_block(self, cid: CIDInput) -> bytes | None:
        return self.blocks.get(CID.of(cid).multihash)

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        self.blocks[CID.of(cid).multihash] = data

    async def has_block(self, cid: CIDInput) -> bool:
        return await self.get_block(cid) is not None

    async def delete_block(self, cid: CIDInput) -> None:
        self.blocks.pop(CID.of(cid).multihash, None)


class Counting(MemoryBlockStore):
    reads = 0

    async def get_block(self, cid: CIDInput) -> bytes | None:
        self.reads += 1
        return await super().get_block(cid)


class Logged(FilesystemBlockStore):
    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        await super().put_blocks(blocks)


async def main(store: BlockStore) -> None:
    data = b"abc"
    async with Peer.open(block_store=store, online=False) as peer:
        added = await peer.add_file(data)
        assert await peer.get_block(added.cid) == data
        assert await peer.store.has_block(added.cid.buffer)
        reader = await peer.get_file(added.cid)
        assert await reader.read() == data


for store in (ByBytes(), WithLists(), ByMultihash(), Counting()):
    trio.run(main, store)
"""


def docs_example() -> str:
    """The store in the documentation."""
    return (ROOT / "examples/own_store.py").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stores", "documentation"])
@pytest.mark.timeout(180)
def test_a_store_of_ones_own_is_typed_as_the_documentation_says(name: str, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(STORES if name == "stores" else docs_example(), encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", program],
        capture_output=True,
        text=True,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        cwd=tmp_path,
        check=False,
    )
    assert checked.stdout == ""
    assert checked.returncode == 0
    subprocess.run([sys.executable, "-bb", program], cwd=ROOT, check=True)


# -- what a store raises -------------------------------------------------------------------------


class Failing(BlockStore):
    """Raises an error in some methods."""

    def __init__(self, error: Exception, *methods: str) -> None:
        self.inner = MemoryBlockStore()
        self.error = error
        self.methods = methods

    async def _call(self, name: str, *args: Any) -> Any:
        if name in self.methods:
            raise self.error
        return await getattr(self.inner, name)(*args)

    async def get_block(self, cid: bytes) -> bytes | None:
        assert type(cid) is bytes
        found: bytes | None = await self._call("get_block", cid)
        return found

    async def put_block(self, cid: bytes, data: bytes) -> None:
        assert type(cid) is type(data) is bytes
        await self._call("put_block", cid, data)

    async def has_block(self, cid: bytes) -> bool:
        assert type(cid) is bytes
        return bool(await self._call("has_block", cid))

    async def delete_block(self, cid: bytes) -> None:
        await self._call("delete_block", cid)


DATA = bytes(range(256)) * 40
OTHER = CID.for_block(b"a")
OPTIONS: Any = {"chunker": "size-1000", "max_file_links": 3}

CALLS: dict[str, tuple[str, Callable[[Peer, CID], Awaitable[object]]]] = {
    "Peer.add_file": ("put_block", lambda peer, cid: peer.add_file(DATA, **OPTIONS)),
    "Peer.get_block": ("get_block", lambda peer, cid: peer.get_block(cid)),
    "Peer.has_block": ("has_block", lambda peer, cid: peer.has_block(cid)),
    "Peer.get_file": ("get_block", lambda peer, cid: peer.get_file(cid)),
    "get_block": ("get_block", lambda peer, cid: client_of(peer).get_block(cid)),
    "get_blocks": ("get_block", lambda peer, cid: client_of(peer).get_blocks([cid]).__anext__()),
    "get_blocks_batch": ("get_block", lambda peer, cid: client_of(peer).get_blocks_batch([cid])),
    "have_block": ("get_block", lambda peer, cid: client_of(peer).have_block(cid)),
    "want_block": ("get_block", lambda peer, cid: client_of(peer).want_block(cid)),
    "add_block": ("put_block", lambda peer, cid: client_of(peer).add_block(OTHER, b"a")),
    "BlockService.get_block": ("get_block", lambda peer, cid: service_of(peer).get_block(cid)),
    "put_block": ("put_block", lambda peer, cid: service_of(peer).put_block(OTHER, b"a")),
}  # fmt: skip


def client_of(peer: Peer) -> BitswapClient:
    assert peer._bitswap is not None
    return peer._bitswap


def service_of(peer: Peer) -> BlockService:
    return BlockService(peer.store, client_of(peer))


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "full"),
        ValueError("no"),
        KeyError("key"),
        BlockStoreError("own"),
        TimeoutError(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", CALLS)
async def test_what_a_store_raises_reaches_the_caller(name: str, error: Exception) -> None:
    method, call = CALLS[name]
    store = Failing(error)
    async with Peer.open(block_store=store) as peer:
        added = await peer.add_file(DATA, **OPTIONS)
        store.methods = (method,)
        with pytest.raises(type(error)) as caught:
            await call(peer, added.cid)
        assert caught.value is error
        store.methods = ()
        assert await (await peer.get_file(added.cid)).read() == DATA


@pytest.mark.parametrize("online", [False, True])
async def test_what_a_store_raises_later_reaches_the_reader(online: bool) -> None:
    store = Failing(KeyError("damaged index"))
    async with Peer.open(block_store=store, online=online) as peer:
        added = await peer.add_file(DATA, **OPTIONS)
        reader = await peer.get_file(added.cid)
        store.methods = ("get_block",)
        reader.seek(5000)
        with pytest.raises(KeyError) as caught:
            await reader.read()
        assert caught.value is store.error
        store.methods = ()
        reader.seek(5000)
        assert await reader.read() == DATA[5000:]


async def test_a_fetched_block_that_a_store_refuses_is_told_with_its_cause() -> None:
    store = Failing(OSError(28, "disk full"), "put_block")
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen="/ip4/127.0.0.1/tcp/0") as provider,
        Peer.open(block_store=store) as peer,
    ):
        added = await provider.add_file(DATA, **OPTIONS)
        await peer.connect(provider.addrs[0])
        with pytest.raises(Exception, match="disk full") as caught:
            await peer.get_file(added.cid)
        assert caught.value.__cause__ is store.error
