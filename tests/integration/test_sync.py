"""Plain Python without any set-up: `libp2p.ipfs_lite.sync`; and `.aio`, which does the same."""

from __future__ import annotations

import asyncio
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from libp2p.exceptions import NameNotInDirectory, NotADirectory, NotAFile
from libp2p.ipfs_lite import IpfsLiteError, Peer, aio, sync
from libp2p.ipfs_lite.errors import NotPinnedError
from libp2p.ipld.cid import CID

CONTENT = random.Random(7).randbytes(3_000_000)
ROOT = Path(__file__).resolve().parents[2]
SMALL = CID.parse("bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq")  # b"hello"


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    """Return the folder of a repo whose peer has no network."""
    sync.start(tmp_path / "repo", online=False)
    yield tmp_path / "repo"
    sync.stop(tmp_path / "repo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with files."""
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "below" / "file").write_bytes(CONTENT)
    (tmp_path / "folder" / "small").write_bytes(b"hello")
    return tmp_path / "folder"


def test_whatever_gives_bytes_is_added(repo: Path, folder: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield from (b"he", b"", b"llo")

    file = io.BytesIO(b"hello")
    given: list[Any] = [b"hello", bytearray(b"hello"), memoryview(b"hello"), folder / "small"]
    given += [str(folder / "small"), file, parts(), [b"hel", b"lo"]]
    assert [sync.add(one, repo=repo) for one in given] == [SMALL] * len(given)
    assert sync.get(SMALL, repo=repo) == b"hello"
    large = sync.add(
        (CONTENT[start : start + 999] for start in range(0, 3_000_000, 999)), repo=repo
    )
    assert large == sync.add(CONTENT, repo=repo)
    with pytest.raises(IpfsLiteError):
        sync.add("no/such/file", repo=repo)


def test_a_folder_is_listed_read_and_written_out(repo: Path, folder: Path, tmp_path: Path) -> None:
    root = sync.add(folder, repo=repo)
    assert [entry.name for entry in sync.ls(root, repo=repo)] == ["below", "small"]
    for path in (f"{root}/small", f"/ipfs/{root}/small", f"ipfs://{root}/small", SMALL, str(SMALL)):
        assert sync.get(path, repo=repo) == b"hello"
    assert sync.cat(f"{root}/below/file", 1_500_000, 10, repo=repo) == CONTENT[1_500_000:1_500_010]
    assert sync.cat(f"{root}/below/file", repo=repo) == CONTENT
    sync.get(root, tmp_path / "out", repo=repo)
    assert (tmp_path / "out" / "below" / "file").read_bytes() == CONTENT
    sync.get(f"{root}/small", tmp_path / "out" / "again", repo=repo)
    assert (tmp_path / "out" / "again").read_bytes() == b"hello"
    with pytest.raises(NotAFile):
        sync.get(root, repo=repo)
    with pytest.raises(NotADirectory):
        sync.ls(SMALL, repo=repo)
    with pytest.raises(NameNotInDirectory):
        sync.open(f"{root}/nothing", repo=repo)
    with pytest.raises(ValueError, match="no CID"):
        sync.get("/ipfs/nothing", repo=repo)


def test_a_file_is_opened_as_pythons_own(repo: Path) -> None:
    cid = sync.add(CONTENT, repo=repo)
    with sync.open(cid, repo=repo) as file:
        assert isinstance(file, io.RawIOBase)
        assert file.seek(-5, io.SEEK_END) == len(CONTENT) - 5
        assert file.read() == CONTENT[-5:]
        file.seek(0)
        assert io.BufferedReader(file).read() == CONTENT


def test_what_is_pinned_stays(repo: Path) -> None:
    cid = sync.add(b"kept", pin=False, repo=repo)
    sync.pin(cid, name="mine", repo=repo)
    assert [pin.name for pin in sync.peer(repo).pins.ls()] == ["mine"]
    sync.unpin(cid, repo=repo)
    with pytest.raises(NotPinnedError):
        sync.unpin(cid, repo=repo)
    assert list(sync.peer(repo).pins.ls()) == []


def test_two_peers_of_one_process_trade(tmp_path: Path) -> None:
    sync.start(tmp_path / "a", listen="/ip4/127.0.0.1/tcp/0")
    [address] = sync.addresses(repo=tmp_path / "a")
    cid = sync.add(CONTENT, repo=tmp_path / "a")
    sync.connect(address, repo=tmp_path / "b")
    assert sync.get(cid, repo=tmp_path / "b") == CONTENT
    assert sync.addresses(repo=tmp_path / "b") == []
    with pytest.raises(IpfsLiteError, match="stop"):
        sync.start(tmp_path / "a", online=False)
    sync.stop(tmp_path / "a")
    sync.stop(tmp_path / "b")
    sync.start(tmp_path / "a", online=False)
    sync.stop(tmp_path / "a")
    sync.stop(tmp_path / "a")


def test_a_peer_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "foreign").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(IpfsLiteError):
            sync.add(b"", repo=tmp_path / "repo")
    (tmp_path / "repo" / "foreign").unlink()
    sync.start(tmp_path / "repo", online=False)
    sync.add(b"", repo=tmp_path / "repo")
    sync.stop(tmp_path / "repo")


def test_threads_use_one_peer(repo: Path) -> None:
    def work(number: int) -> bytes:
        return sync.get(sync.add(b"%d" % number * 1000, repo=repo), repo=repo)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(64)))
    assert found == [b"%d" % number * 1000 for number in range(64)]


def test_it_works_within_a_running_loop_as_in_a_notebook(repo: Path) -> None:
    async def cell() -> None:
        assert sync.get(sync.add(b"hello", repo=repo), repo=repo) == b"hello"
        assert await aio.get(await aio.add(b"hello", repo=repo), repo=repo) == b"hello"

    asyncio.run(cell())


def test_asyncio_has_the_same_names(repo: Path, folder: Path) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b"hel", b"lo"):
            await asyncio.sleep(0)
            yield part

    async def main() -> None:
        root = await aio.add(folder, repo=repo)
        assert [entry.name for entry in await aio.ls(root, repo=repo)] == ["below", "small"]
        assert await aio.add(parts(), repo=repo) == SMALL
        async with await aio.open(f"{root}/small", repo=repo) as file:
            assert await file.read() == b"hello"
        peer = await aio.peer(repo)
        assert isinstance(peer, Peer)
        assert await peer.has_block(SMALL)
        async with asyncio.timeout(30):
            assert await aio.cat(f"{root}/below/file", repo=repo) == CONTENT

    asyncio.run(main())
    assert set(aio.__all__) - {"Peer"} == set(sync.__all__)


# -- processes ------------------------------------------------------------------------------------


def run(code: str, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program with this library."""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True, text=True, timeout=55, check=False,
    )  # fmt: skip


def test_five_lines_need_no_set_up(tmp_path: Path) -> None:
    code = """
from libp2p.ipfs_lite import sync
cid = sync.add(b"hello")
print(cid, sync.get(cid))
"""
    done = run(code, HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{SMALL} b'hello'\n"


_WORKERS = """
import multiprocessing, sys
from libp2p.ipfs_lite import sync

def work(number):  # each worker has a repo of its own
    repo = f"{sys.argv[1]}/{multiprocessing.current_process().name}"
    sync.start(repo, online=False)
    return sync.get(sync.add(b"%d" % number, repo=repo), repo=repo)

if __name__ == "__main__":
    sync.start(sys.argv[1] + "/parent", online=False)
    cid = sync.add(b"parent", repo=sys.argv[1] + "/parent")
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(work, range(12)) == [b"%d" % number for number in range(12)]
    assert sync.get(cid, repo=sys.argv[1] + "/parent") == b"parent"
    print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_forked_workers_have_peers_of_their_own(tmp_path: Path) -> None:
    done = run(_WORKERS, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_the_peer_is_closed_at_exit(tmp_path: Path) -> None:
    code = """
import sys, logging
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
from libp2p.ipfs_lite import sync
sync.start(sys.argv[1], online=False)
sync.add(b"hello", repo=sys.argv[1])
"""
    done = run(code, tmp_path / "repo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "peer closes" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_ctrl_c_interrupts_a_call(tmp_path: Path) -> None:
    code = """
import signal, socket, sys
from libp2p.ipfs_lite import sync
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever runs the tests has done
sync.start(sys.argv[1], dht="off")
listener = socket.create_server(("127.0.0.1", 0))  # and it never answers
port = listener.getsockname()[1]
print("ready", flush=True)
try:
    who = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"
    sync.connect(f"/ip4/127.0.0.1/tcp/{port}/p2p/{who}", repo=sys.argv[1])
except KeyboardInterrupt:
    print(sync.get(sync.add(b"hello", repo=sys.argv[1]), repo=sys.argv[1]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "repo")],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "b'hello'\n"
    assert process.returncode == 0


_NOTEBOOK = """
import asyncio, sys
import nbformat
from nbclient import NotebookClient

book = nbformat.v4.new_notebook()
for cell in (
    "from libp2p.ipfs_lite import aio, sync\\ncid = sync.add(b'hello')\\nprint(sync.get(cid))",
    "print(await aio.get(cid))",
    "from libp2p.aio import Peer\\nasync with Peer.open('own', online=False) as peer:\\n"
    "    print((await peer.add_file(b'hello')).cid == cid)",
):
    book.cells.append(nbformat.v4.new_code_cell(cell))
NotebookClient(book, timeout=50, kernel_name="python3").execute(cwd=sys.argv[1])
print("".join(cell.outputs[0].text for cell in book.cells))
"""


@pytest.mark.slow
def test_a_notebook_needs_no_set_up(tmp_path: Path) -> None:
    variables = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    done = run(_NOTEBOOK, tmp_path, JUPYTER_PLATFORM_DIRS="1", **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "b'hello'\nb'hello'\nTrue\n\n"


def test_nothing_is_left_in_threads(repo: Path) -> None:
    sync.add(b"hello", repo=repo)
    assert sum(thread.name == "libp2p" for thread in threading.enumerate()) == 1
