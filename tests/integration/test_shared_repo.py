"""Several programs use one repo at once: nothing is lost, and each sees what the others do."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.bitswap.config import BITSWAP_PROTOCOLS
from libp2p.bitswap.wire.decode import MessageReader
from libp2p.bitswap.wire.entry import Entry
from libp2p.bitswap.wire.message import Message
from libp2p.bitswap.wire.protocols import Dialect
from libp2p.blockstore import FilesystemBlockStore, MemoryBlockStore
from libp2p.ipfs_lite import Config, Peer
from libp2p.ipfs_lite.block_check import verify_blocks
from libp2p.ipfs_lite.repo import Repo
from libp2p.ipld.cid import CID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pinning.block_set import BlockSet
from libp2p.pinning.reach import Reach
from tests.integration.sharing_worker import content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libp2p.abc import IHost, INetStream

WORKER = Path(__file__).with_name("sharing_worker.py")
ROOT = WORKER.parents[2]
SECONDS = 120 if os.environ.get("NIGHTLY") else 10
#: Longer than anything takes on a busy machine.
LONG = 60.0
DATA = random.Random(1).randbytes(3_000_000)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="flock, FIFOs and fork")


def start(*args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def command(repo: Path, *args: object) -> list[object]:
    return ["-m", "libp2p.ipfs_lite", "--repo", repo, *args]


def run(repo: Path, *args: object) -> str:
    with start(*command(repo, *args)) as process:
        out, errors = process.communicate(timeout=LONG)
    assert process.returncode == 0, errors
    return out.strip()


@contextmanager
def serving(repo: Path, *args: object) -> Iterator[str]:
    """Run ``serve`` in a process; return where it listens."""
    listen = ("--listen", "/ip4/127.0.0.1/tcp/0", "--bootstrap", "none", "--dht", "off")
    with start(*command(repo, "serve", *listen, *args)) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    Repo.open(tmp_path / "repo").close()
    return tmp_path / "repo"


# -- one serves -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("blocks", ["flatfs", "sqlite"])
async def test_who_waits_gets_what_another_process_adds(tmp_path: Path, blocks: str) -> None:
    repo, file = tmp_path / "repo", tmp_path / "file"
    Repo.open(repo, Config(blocks=blocks)).close()
    file.write_bytes(DATA)
    cid = CID.parse(await trio.to_thread.run_sync(run, repo, "add", "-n", "-Q", file))
    with serving(repo) as address, trio.fail_after(LONG):
        host = new_host()
        async with host.run([]):
            waiting = Waiting(host, cid)
            await waiting.ask(address)
            await trio.sleep(0.5)  # time: the want is known there
            assert not waiting.blocks
            assert await trio.to_thread.run_sync(run, repo, "add", "-Q", file) == str(cid)
            await waiting.came.wait()
            assert cid in waiting.blocks
        async with Peer.open(block_store=MemoryBlockStore(), dht="off", bootstrap=[]) as peer:
            await peer.connect(address)
            async with await peer.get_file(cid) as reader:
                assert await reader.read() == DATA


class Waiting:
    """A peer that wants a block for as long as it takes, as those of Kubo do."""

    def __init__(self, host: IHost, cid: CID) -> None:
        self._host = host
        self._cid = cid
        self.blocks: dict[CID, bytes] = {}
        self.came = trio.Event()
        host.set_stream_handler(BITSWAP_PROTOCOLS[0], self._on_stream)

    async def ask(self, address: str) -> None:
        info = info_from_p2p_addr(Multiaddr(address))
        await self._host.connect(info)
        stream = await self._host.new_stream(info.peer_id, BITSWAP_PROTOCOLS[:1])
        for frame in Message([Entry(self._cid)]).frames(Dialect.of(BITSWAP_PROTOCOLS[0])):
            await stream.write(b"".join(frame))

    async def _on_stream(self, stream: INetStream) -> None:
        reader = MessageReader()
        while data := await stream.read(65536):
            for message in reader.receive([data]):
                self.blocks |= message.blocks
                if message.blocks:
                    self.came.set()


@pytest.mark.slow
def test_every_verb_works_while_one_serves(repo: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(DATA)
    with serving(repo) as address:
        cid = run(repo, "add", "-Q", file)
        assert cid in run(repo, "pin", "ls", "--type", "recursive")
        run(repo, "get", cid, "-o", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == DATA
        run(repo, "pin", "rm", cid)
        time.sleep(0.1)  # time: a block must be older than the margin
        assert run(repo, "repo", "gc").count("removed") == 4
        with serving(repo) as second:
            ids = {each.rpartition("/")[2] for each in (address, second)}
            assert len(ids) == 2  # two hosts with one peer id would confuse whom they know
            assert run(repo, "id") in ids


@pytest.mark.slow
def test_a_pipe_from_a_repo_into_itself_stores_all(repo: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(DATA)
    cid = run(repo, "add", "-Q", file)
    reading = start(*command(repo, "cat", cid))
    with subprocess.Popen(
        [sys.executable, *map(str, command(repo, "add", "-Q", "-"))],
        stdin=reading.stdout,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as adding:
        assert adding.communicate(timeout=LONG)[0].strip() == cid
    reading.communicate()
    assert (reading.returncode, adding.returncode) == (0, 0)


# -- collections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", ["flatfs", "sqlite"])
async def test_what_another_process_is_adding_is_not_collected(tmp_path: Path, blocks: str) -> None:
    repo = tmp_path / "repo"
    Repo.open(repo, Config(blocks=blocks)).close()
    async with (
        Peer.open(repo, online=False) as adding,
        Peer.open(repo, online=False) as collecting,
    ):
        old = (await adding.add_file(b"old" * 5000, chunker="size-4096", pin=False)).cid
        kept = (await adding.add_file(b"kept" * 5000, chunker="size-4096", pin=False)).cid
        await trio.sleep(0.1)  # time: a block must be older than the margin
        with adding.lease([kept]):
            new = (await adding.add_file(b"new" * 5000, chunker="size-4096", pin=False)).cid
            await trio.sleep(0.1)  # time: the same
            removed = [cid.multihash async for batch in collecting.gc() for cid, _ in batch]
            assert old.multihash in removed
            assert await adding.has_block(new)
            assert await adding.has_block(kept)
        await trio.sleep(0.1)  # time: the same
        removed = [cid.multihash async for batch in collecting.gc() for cid, _ in batch]
        assert {new.multihash, kept.multihash} <= {*removed}


@pytest.mark.parametrize("blocks", ["flatfs", "sqlite", "lmdb"])
async def test_a_clock_that_is_set_back_during_an_add_costs_nothing(
    tmp_path: Path, blocks: str
) -> None:
    """Then what is being added has times from before it was begun."""
    repo = tmp_path / "repo"
    Repo.open(repo, Config(blocks=blocks)).close()
    async with (
        Peer.open(repo, online=False) as adding,
        Peer.open(repo, online=False) as collecting,
    ):
        with adding.lease():
            [lease] = (repo / "leases").iterdir()
            later = time.time() + 3600
            os.utime(lease, (later, later))  # that is, the clock has been set back since
            new = (await adding.add_file(b"new" * 5000, chunker="size-4096", pin=False)).cid
            await trio.sleep(0.1)  # time: a block must be older than the margin
            assert [batch async for batch in collecting.gc()] == []
            assert await adding.has_block(new)


@pytest.mark.slow
async def test_the_lease_of_a_killed_process_does_not_keep_anything(repo: Path) -> None:
    program = f"""
import trio
from libp2p.ipfs_lite import Peer

async def main():
    async with Peer.open({str(repo)!r}, online=False) as peer:
        with peer.lease():
            print((await peer.add_file(b"x" * 9000, pin=False)).cid, flush=True)
            await trio.sleep_forever()

trio.run(main)
"""
    with start("-c", program) as holder:
        assert holder.stdout is not None
        cid = CID.parse(holder.stdout.readline().strip())
        await trio.sleep(0.1)  # time: a block must be older than the margin
        async with Peer.open(repo, online=False) as peer:
            assert [batch async for batch in peer.gc()] == []
            holder.kill()
            holder.wait()
            assert [batch async for batch in peer.gc()] == [[(CID.parse(f"{cid}"), 9000)]]
            assert os.listdir(repo / "leases") == []


async def test_who_opens_a_repo_removes_what_killed_processes_have_left(repo: Path) -> None:
    """Without that, each kill would leave a file until garbage is collected or blocks come."""
    for folder in ("leases", "listeners"):
        (repo / folder).mkdir()
    (repo / "leases" / "a killed process").touch()
    os.mkfifo(repo / "listeners" / "a killed process")
    async with Peer.open(repo, online=False):
        assert os.listdir(repo / "leases") == []
    async with Peer.open(repo, listen=[], dht="off", bootstrap=[]):
        with trio.fail_after(LONG):
            while "a killed process" in os.listdir(  # noqa: ASYNC110 - a folder has no event
                repo / "listeners"
            ):
                await trio.sleep(0.01)  # time: it listens a moment after


# -- processes ------------------------------------------------------------------------------------


def _add(repo: str, name: str) -> str:
    async def add() -> str:
        async with Peer.open(repo, online=False) as peer:
            return str((await peer.add_file(content(name), chunker="size-4096")).cid)

    return trio.run(add)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_use_the_repo_of_their_parent(repo: Path, method: str) -> None:
    names = [f"{number} 20000" for number in range(4)]
    with (
        Repo.open(repo) as opened,
        opened.gc_lock.shared(),
        multiprocessing.get_context(method).Pool(2) as pool,
    ):
        cids = pool.starmap_async(_add, [(str(repo), name) for name in names]).get(LONG)
    run(repo, "repo", "gc")
    for cid in cids:
        run(repo, "get", cid, "-o", repo.parent / cid)


def test_two_that_write_one_block_at_once_write_it_whole(tmp_path: Path) -> None:
    program = f"""
import trio
from libp2p.blockstore import FilesystemBlockStore
from libp2p.ipld.cid import CID
import random

async def main():
    store = FilesystemBlockStore({str(tmp_path)!r})
    input()
    for number in range(300):
        data = random.Random(number).randbytes(50_000)
        await store.put_block(CID.for_block(data).buffer, data)

trio.run(main)
"""
    writers = [start("-c", program) for _ in range(2)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=LONG)
        assert (writer.returncode, errors) == (0, "")
    store = FilesystemBlockStore(tmp_path)
    assert len(store.get_all_cids()) == 300
    assert os.listdir(tmp_path / ".temp") == []

    async def check() -> None:
        async def damaged(cid: CID, reason: str) -> None:
            raise AssertionError(f"{cid}: {reason}")

        await verify_blocks(store, damaged)

    trio.run(check)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 200)
async def test_eight_processes_at_once(repo: Path) -> None:
    """They add, read, pin, collect and serve; another peer fetches from the one that serves."""
    roles = ["add", "add", "loose", "pin", "cat", "get", "gc"]
    with ExitStack() as stack:
        server = stack.enter_context(start(WORKER, repo, "serve", 0, 0))
        stack.callback(server.kill)
        assert server.stdout is not None
        roles.append(server.stdout.readline().strip())
        workers = [start(WORKER, repo, role, random.getrandbits(32), SECONDS) for role in roles]
        for worker in workers:
            stack.callback(worker.kill)
        ended = [await trio.to_thread.run_sync(worker.communicate) for worker in workers]
        for role, worker, (out, errors) in zip(roles, workers, ended, strict=True):
            assert (worker.returncode, errors) == (0, ""), role
            assert int(out.split()[-1]) > 0, role
        print({role: out.split()[-1] for role, (out, _) in zip(roles, ended, strict=True)})
        assert await trio.to_thread.run_sync(server.communicate, "") == ("1\n", "")
    async with Peer.open(repo, online=False) as peer:
        pins = [pin async for pin in peer.pins.ls("recursive")]
        assert pins
        for pin in pins:
            async with await peer.get_file(pin.cid) as file:
                assert await file.read() == content(pin.name)
        await trio.sleep(0.1)  # time: a block must be older than the margin
        async for _ in peer.gc():
            pass
        assert {block async for batch in peer.store.multihash_batches() for block in batch} == {
            multihash for pin in pins for multihash in await below(peer, pin.cid)
        }
    left = {
        name
        for folder in ("leases", "listeners", "blocks/.temp")
        for name in os.listdir(repo / folder)
    }
    assert left == set()


async def below(peer: Peer, root: CID) -> set[bytes]:
    walk, found = Reach(BlockSet(bytes(32))), {root.multihash}
    walk.add([root])
    while nodes := walk.next(32):
        for cid in nodes:
            data = await peer.store.get_block(cid.buffer)
            assert data is not None
            found |= {link.multihash for link in walk.take(cid, data)}
    return found


@pytest.mark.slow
def test_a_stopped_listener_holds_nobody_up(repo: Path) -> None:
    """A process that does not read its FIFO costs those that add nothing."""
    with start(WORKER, repo, "serve", 0, 0) as server:
        assert server.stdout is not None
        server.stdout.readline()
        while not (repo / "listeners").exists() or not os.listdir(repo / "listeners"):
            time.sleep(0.01)  # time: it listens a moment after
        server.send_signal(signal.SIGSTOP)
        try:
            for number in range(3):
                _add(str(repo), f"{number} 1000000")
        finally:
            server.send_signal(signal.SIGCONT)
            server.kill()
    _add(str(repo), "4 1000")
    assert os.listdir(repo / "listeners") == []
