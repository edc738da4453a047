"""A peer that ends: whoever still works with it learns of it at once, and nothing is logged."""

from __future__ import annotations

import inspect
import io
import logging
import os
import random
import signal
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap.errors import BitswapError, ClientClosedError
from libp2p.blockstore import MemoryBlockStore
from libp2p.blockstore.flatfs import FlatFiles
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import BaseLibp2pError, BlockStoreError
from libp2p.ipfs_lite import IpfsLiteError, Peer, PeerClosedError, UnixFSReader, save
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from tests.support.command_line import tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CIDInput

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
DATA = random.Random(5).randbytes(3_000_000)
ABSENT = CID.for_block(b"nobody has this")
STRANGER = ID.from_pubkey(create_new_key_pair(bytes(32)).public_key)


class SilentStore(MemoryBlockStore):
    """A store that never answers for what it does not have: a provider that went to sleep."""

    async def get_block(self, cid: CIDInput) -> bytes | None:
        found = await super().get_block(cid)
        if found is None:
            await trio.sleep_forever()
        return found

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        return [await self.get_block(cid) for cid in cids]

    def get_blocks_now(self, cids: Sequence[CIDInput]) -> list[bytes | None] | None:
        return None

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        await trio.sleep_forever()


@asynccontextmanager
async def a_file(online: bool = True) -> AsyncIterator[tuple[Peer, UnixFSReader]]:
    """Give a peer and a reader of it: the first block is here, the next one never comes."""
    whole, store = MemoryBlockStore(), SilentStore()
    async with Peer.open(block_store=whole, online=False) as peer:
        cid = (await peer.add_file(DATA)).cid
        for wanted in (cid, CID.for_block(DATA[: 1024 * 1024])):
            await store.put_block(wanted, await peer.get_block(wanted))
    async with Peer.open(block_store=store, online=online) as peer:
        yield peer, await peer.get_file(cid)


async def read_all(reader: UnixFSReader) -> None:
    await reader.read()


async def receive_all(reader: UnixFSReader) -> None:
    while await reader.receive():
        pass


async def iterate(reader: UnixFSReader) -> None:
    async for _ in reader:
        pass


WAITING: dict[str, Callable[[Peer, UnixFSReader, Path], Awaitable[object]]] = {
    "read": lambda peer, reader, path: read_all(reader),
    "receive": lambda peer, reader, path: receive_all(reader),
    "iterate": lambda peer, reader, path: iterate(reader),
    "save": lambda peer, reader, path: save(reader, path / "copy"),
    "add": lambda peer, reader, path: peer.add_file(reader),
    "add_file": lambda peer, reader, path: peer.add_file(DATA),
    "get_file": lambda peer, reader, path: peer.get_file(ABSENT),
    "get_block": lambda peer, reader, path: peer.get_block(ABSENT),
}


async def by_leaving(peer: Peer, scope: trio.CancelScope) -> None:
    """End the block of `Peer.open`."""


async def by_cancelling(peer: Peer, scope: trio.CancelScope) -> None:
    scope.cancel()
    await trio.lowlevel.checkpoint()


async def by_a_deadline(peer: Peer, scope: trio.CancelScope) -> None:
    scope.deadline = trio.current_time() + 0.01
    await trio.sleep_forever()


class Mistake(Exception):
    """One of the user's own."""


async def by_an_exception(peer: Peer, scope: trio.CancelScope) -> None:
    raise Mistake


ENDINGS = [by_leaving, by_cancelling, by_a_deadline, by_an_exception]


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("work", WAITING)
async def test_who_waits_learns_that_the_peer_was_closed(
    work: str,
    end: Callable[[Peer, trio.CancelScope], Awaitable[None]],
    online: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    errors: list[Exception] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as outer:

            async def wait(peer: Peer, reader: UnixFSReader) -> None:
                try:
                    await WAITING[work](peer, reader, tmp_path)
                except Exception as error:  # noqa: BLE001 - which one is the question
                    errors.append(error)

            with trio.CancelScope() as scope:
                try:
                    async with a_file(online) as (peer, reader):
                        outer.start_soon(wait, peer, reader)
                        await trio.testing.wait_all_tasks_blocked(0.01)
                        await end(peer, scope)
                except Mistake:
                    assert end is by_an_exception
    assert [type(error) for error in errors] == [PeerClosedError]
    assert not caplog.records
    assert not os.listdir(tmp_path)


CALLS: dict[str, Callable[[Peer, UnixFSReader, Path], object]] = {
    **WAITING,
    "connect": lambda peer, reader, path: peer.connect(f"{LOOPBACK}/p2p/{STRANGER}"),
    "connect to nothing": lambda peer, reader, path: peer.connect("?"),
    "has_block": lambda peer, reader, path: peer.has_block(ABSENT),
    "remove_block": lambda peer, reader, path: peer.remove_block(ABSENT),
    "only hash": lambda peer, reader, path: peer.add_file(DATA, only_hash=True),
    "get_file of peers": lambda peer, reader, path: peer.get_file(ABSENT, peers=[STRANGER]),
    "note_root": lambda peer, reader, path: peer.note_root(ABSENT),
    "pins": lambda peer, reader, path: peer.pins.find(ABSENT),
    "pins add": lambda peer, reader, path: peer.pins.add(ABSENT),
    "gc": lambda peer, reader, path: anext(peer.gc()),
    "meet_first": lambda peer, reader, path: peer.meet_first(),
    "routing": lambda peer, reader, path: peer.routing,
    "dht": lambda peer, reader, path: peer.dht,
    "names": lambda peer, reader, path: peer.names,
    "add_tree": lambda peer, reader, path: peer.add_tree(path),
    "get_tree": lambda peer, reader, path: peer.get_tree(ABSENT, path / "tree"),
    "ls": lambda peer, reader, path: anext(peer.ls(ABSENT)),
    "resolve": lambda peer, reader, path: peer.resolve(ABSENT, "name"),
    "open_car": lambda peer, reader, path: peer.open_car(ABSENT).receive(),
    "export_car": lambda peer, reader, path: peer.export_car(ABSENT, path / "out.car"),
    "import_car": lambda peer, reader, path: peer.import_car(path / "car"),
    "files": lambda peer, reader, path: peer.files.root(),
    "import_blocks": lambda peer, reader, path: peer.import_blocks(MemoryBlockStore()),
    "dag": lambda peer, reader, path: peer.dag.get(ABSENT),
    "session": lambda peer, reader, path: peer.session().get(ABSENT),
    "block_service": lambda peer, reader, path: peer.block_service(),
    "bootstrap": lambda peer, reader, path: peer.bootstrap([]),
    "peering": lambda peer, reader, path: peer.peering,
    "peers": lambda peer, reader, path: peer.peers(),
    "disconnect": lambda peer, reader, path: peer.disconnect(STRANGER),
    "stat": lambda peer, reader, path: peer.stat(ABSENT),
    "remove": lambda peer, reader, path: peer.remove(ABSENT),
    "announced": lambda peer, reader, path: peer.announced(),
    "bitswap": lambda peer, reader, path: peer.bitswap,
    "host": lambda peer, reader, path: peer.host,
    "peer_id": lambda peer, reader, path: peer.peer_id,
    "addrs": lambda peer, reader, path: peer.addrs,
    "seek": lambda peer, reader, path: reader.seek(0),
    "seek far": lambda peer, reader, path: reader.seek(0, io.SEEK_END),
    "read nothing": lambda peer, reader, path: reader.read(0),
    "read1": lambda peer, reader, path: reader.read1(1),
    "readinto": lambda peer, reader, path: reader.readinto(bytearray(1)),
    "read_at": lambda peer, reader, path: reader.read_at(0, 1),
    "tell": lambda peer, reader, path: reader.tell(),
    "readable": lambda peer, reader, path: reader.readable(),
    "seekable": lambda peer, reader, path: reader.seekable(),
    "writable": lambda peer, reader, path: reader.writable(),
    "open": lambda peer, reader, path: reader.open(),
    "aiter": lambda peer, reader, path: anext(aiter(reader)),
}


def test_every_public_method_is_called() -> None:
    """What is not: what closes, and what only tells what is known already."""
    told = {
        "open",
        "config",
        "store",
        "resources",
        "online",
        "size",
        "closed",
        "close",
        "aclose",
        "lease",
    }
    told |= {"end", "scope"}  # the peer's business
    told |= {"block_store", "exchange"}  # `store` and, if there is a network, `bitswap`
    names = {name for kind in (Peer, UnixFSReader) for name in dir(kind) if name[0] != "_"}
    assert names - told <= {name.partition(" ")[0] for name in CALLS} | {"receive"}


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("name", CALLS)
async def test_a_closed_peer_raises_one_error_at_once(
    name: str, online: bool, tmp_path: Path
) -> None:
    async with a_file(online) as (peer, reader):
        pass

    async def call() -> None:
        result = CALLS[name](peer, reader, tmp_path)
        assert inspect.isawaitable(result)
        await result

    for _ in range(2):
        with trio.fail_after(1), pytest.raises(PeerClosedError, match="the peer was closed"):
            await call()
    assert issubclass(PeerClosedError, IpfsLiteError)
    assert issubclass(PeerClosedError, ClientClosedError)
    assert not os.listdir(tmp_path)
    reader.close()
    assert reader.size == len(DATA)


@pytest.mark.parametrize("end", ["bitswap", "host", "network"])
async def test_calls_of_a_peer_whose_parts_were_stopped_fail_at_once(end: str) -> None:
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as provider,
        Peer.open(block_store=MemoryBlockStore()) as peer,
    ):
        await peer.connect(provider.addrs[0])
        if end == "bitswap":
            await peer.bitswap.stop()
        elif end == "host":
            await peer.host.close()
        else:
            await peer.host.get_network().close()
        for call in (
            lambda: peer.get_file(ABSENT),
            lambda: peer.get_file(ABSENT, peers=[provider.peer_id]),
            lambda: peer.get_block(ABSENT),
        ):
            with trio.fail_after(2), pytest.raises(BitswapError):
                await call()
        if end != "bitswap":
            with trio.fail_after(2), pytest.raises(BaseLibp2pError):
                await peer.connect(f"{LOOPBACK}/p2p/{STRANGER}")


async def test_a_peer_that_is_not_known_is_no_end() -> None:
    async with Peer.open(block_store=MemoryBlockStore()) as peer:
        for _ in range(2):
            with trio.fail_after(2), pytest.raises(BitswapError):
                await peer.get_file(ABSENT, peers=[STRANGER])
        assert (await peer.add_file(b"it lives")).size == 8


# -- how a peer ends ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [Mistake("own"), ExceptionGroup("own", [Mistake("one")]), KeyboardInterrupt()]
)
@pytest.mark.parametrize("online", [True, False])
async def test_an_exception_of_the_block_comes_out_as_itself(
    error: BaseException, online: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    caught: BaseException | None = None
    try:
        async with Peer.open(block_store=MemoryBlockStore(), online=online):
            raise error
    except BaseException as raised:  # noqa: BLE001 - it is the question
        caught = raised
    assert caught is error
    assert not caplog.records


@asynccontextmanager
async def transfer() -> AsyncIterator[tuple[Peer, Peer, UnixFSReader]]:
    """Give a provider, a peer that is receiving a file from it, and the reader of that."""
    async with Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as provider:
        cid = (await provider.add_file(DATA * 10, chunker="size-65536")).cid
        async with Peer.open(block_store=MemoryBlockStore()) as peer:
            await peer.connect(provider.addrs[0])
            yield provider, peer, await peer.get_file(cid)


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("steps", [0, 1, 5, 20])
async def test_ending_while_blocks_come_logs_nothing(
    end: Callable[[Peer, trio.CancelScope], Awaitable[None]],
    steps: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    with trio.fail_after(10), trio.CancelScope() as scope:
        try:
            async with transfer() as (_, peer, reader), trio.open_nursery() as nursery:
                nursery.start_soon(save, reader, tmp_path / "copy")
                for _ in range(steps):
                    await trio.sleep(0.001)
                if end is by_leaving:
                    nursery.cancel_scope.cancel()
                await end(peer, scope)
        except* Mistake:
            assert end is by_an_exception
    assert not caplog.records
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


async def test_one_side_ends_and_the_other_lives(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as provider:
        cid = (await provider.add_file(DATA * 10, chunker="size-65536")).cid
        for after in (0.0, 0.002, 0.01, 0.05):
            with trio.move_on_after(after + 0.5) as scope:
                async with Peer.open(block_store=MemoryBlockStore()) as peer:
                    await peer.connect(provider.addrs[0])
                    scope.deadline = trio.current_time() + after
                    reader = await peer.get_file(cid)
                    await reader.read()
        async with Peer.open(block_store=MemoryBlockStore()) as peer:
            await peer.connect(provider.addrs[0])
            async with await peer.get_file(cid) as reader:
                assert await reader.read() == DATA * 10
    assert not caplog.records


def test_an_interrupt_at_the_keyboard_comes_out_as_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    # A shell starts programs in the background with this signal ignored, and Python leaves it so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    async def work() -> None:
        async with transfer() as (_, _, reader):
            await reader.read(1)
            signal.raise_signal(signal.SIGINT)
            await reader.read()

    try:
        with pytest.raises(KeyboardInterrupt):
            trio.run(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not caplog.records


async def test_a_closed_peer_writes_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that hangs in a write when the peer is closed, and goes on later."""
    writes, goes_on, ended = threading.Event(), threading.Event(), threading.Event()
    real_write, real_put = os.write, FlatFiles.put

    def hang(descriptor: int, data: bytes) -> int:
        writes.set()
        goes_on.wait()
        return real_write(descriptor, data)

    def put(self: FlatFiles, blocks: Iterable[tuple[bytes, Buffer]]) -> None:
        try:
            real_put(self, blocks)
        finally:
            ended.set()

    monkeypatch.setattr(FlatFiles, "put", put)
    async with Peer.open(tmp_path / "repo", online=False) as peer, trio.open_nursery() as nursery:
        blocks = [(CID.for_block(data), data) for data in (b"a", b"b")]
        nursery.start_soon(peer.store.put_blocks, blocks)
        monkeypatch.setattr(os, "write", hang)
        await trio.to_thread.run_sync(writes.wait)
        monkeypatch.setattr(os, "write", real_write)
        nursery.cancel_scope.cancel()
    before = tree(tmp_path)
    assert not any("temp-" in name for name in before)
    goes_on.set()
    await trio.to_thread.run_sync(ended.wait)
    assert tree(tmp_path) == before
    with pytest.raises(BlockStoreError, match="is closed"):
        await peer.store.put_block(CID.for_block(b"c"), b"c")
    assert tree(tmp_path) == before
