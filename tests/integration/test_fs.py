"""``ipfs://`` for fsspec: its own suite of tests, and what is built on it."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import multiprocessing
import os
import pickle
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.callbacks import Callback
from fsspec.tests import abstract

from libp2p.fs import IPFSFile, IPFSFileSystem, IPNSFileSystem, register
from libp2p.ipfs_lite import sync
from tests.integration.test_parquet_columns import ENDS, TOLERATED, make_parquet

CONTENT = random.Random(3).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def registered() -> None:
    register()  # as the entry point does, where the package is installed


@pytest.fixture(scope="module")
def repo() -> Iterator[str]:
    """Return the folder of a repo whose peer has no network; in memory, for nothing to flush."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        sync.start(f"{folder}/repo", online=False)
        yield f"{folder}/repo"
        sync.stop(f"{folder}/repo")


@pytest.fixture
def files(repo: str) -> IPFSFileSystem:
    """Return a file system with no files."""
    found = IPFSFileSystem(repo)
    for path in found.ls("", detail=False):
        found.rm(path, recursive=True)
    return found


@pytest.fixture
def root(repo: str, tmp_path: Path) -> str:
    """Return the CID of a folder."""
    folder = tmp_path / "folder"
    (folder / "below" / "deep").mkdir(parents=True)
    (folder / "file").write_bytes(b"content")
    (folder / "large").write_bytes(CONTENT)
    (folder / "below" / "a.txt").write_bytes(b"a")
    (folder / "below" / "deep" / "b.txt").write_bytes(b"bb")
    return str(sync.add(folder, repo=repo))


# -- fsspec's own suite ---------------------------------------------------------------------------


class Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]
    """What the suite asks for."""

    @pytest.fixture
    def fs(self, files: IPFSFileSystem) -> IPFSFileSystem:
        return files

    @pytest.fixture
    def fs_path(self) -> str:
        return "work/here"

    @pytest.fixture
    def fs_join(self) -> Any:
        return lambda *parts: "/".join(parts)


class TestCopy(abstract.AbstractCopyTests, Fixtures):  # type: ignore[misc]
    """``cp``."""


class TestGet(abstract.AbstractGetTests, Fixtures):  # type: ignore[misc]
    """``get``."""


class TestPut(abstract.AbstractPutTests, Fixtures):  # type: ignore[misc]
    """``put``."""


class TestOpen(abstract.AbstractOpenTests, Fixtures):  # type: ignore[misc]
    """``open``."""


class TestPipe(abstract.AbstractPipeTests, Fixtures):  # type: ignore[misc]
    """``pipe``."""


# -- reading --------------------------------------------------------------------------------------


def test_a_folder_is_listed_walked_and_searched(files: IPFSFileSystem, root: str) -> None:
    assert files.ls(root, detail=False) == [f"{root}/{name}" for name in ("below", "file", "large")]
    assert [(one["type"], one["size"]) for one in files.ls(f"ipfs://{root}")] == [
        ("directory", 0),
        ("file", 7),
        ("file", 3_000_000),
    ]
    assert [len(found) for _, *found in files.walk(root) for found in found] == [1, 2, 1, 1, 0, 1]
    assert files.find(f"{root}/below") == [
        f"{root}/below/a.txt",
        f"{root}/below/deep/b.txt",
    ]
    assert files.glob(f"ipfs://{root}/**/*.txt") == files.find(f"{root}/below")
    assert files.du(root) == 3_000_010
    assert files.isdir(f"{root}/below")
    assert files.isfile(f"{root}/file")
    assert files.ls(f"{root}/file", detail=False) == [f"{root}/file"]
    assert files.info(f"/ipfs/{root}/file")["cid"] == files.ukey(f"{root}/file")
    assert not files.exists(f"{root}/nothing")
    assert not files.exists("nothing at all")


def test_parts_of_files_are_read(files: IPFSFileSystem, root: str) -> None:
    large = f"{root}/large"
    assert files.cat_file(large, 10, 20) == CONTENT[10:20]
    assert files.cat_file(large, -5) == CONTENT[-5:]
    assert files.cat_file(large, 5, -5) == CONTENT[5:-5]
    assert files.cat_file(large, 5, 3) == b""
    assert files.cat_ranges([large, large, f"{root}/file"], [0, 2_999_999, 1], [3, None, 4]) == [
        CONTENT[:3],
        CONTENT[-1:],
        b"ont",
    ]
    found = files.cat_ranges([large, f"{root}/no"], 1, 3)
    assert found[0] == CONTENT[1:3]
    assert isinstance(found[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        files.cat_ranges([large, f"{root}/no"], 1, 3, on_error="raise")
    with pytest.raises(ValueError, match="lengths"):
        files.cat_ranges([large], [1, 2], [3])
    with files.open(large) as file:
        assert file.seek(-7, 2) == 2_999_993
        assert file.read() == CONTENT[-7:]
        assert file.full_name == f"ipfs://{large}"
    with pytest.raises(IsADirectoryError):
        files.cat_file(f"{root}/below")
    with fsspec.open(f"ipfs://{root}/file", "rt", repo=files.namespace.repo) as text:
        assert text.read() == "content"


def test_callbacks_are_told(files: IPFSFileSystem, root: str, tmp_path: Path) -> None:
    callback = Callback()
    files.get_file(f"{root}/large", str(tmp_path / "out"), callback=callback)
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert callback.value == callback.size == 3_000_000


def test_a_cid_cannot_be_written(files: IPFSFileSystem, root: str) -> None:
    writes: list[Callable[[], Any]] = [
        lambda: files.pipe_file(f"{root}/new", b""),
        lambda: files.open(f"{root}/new", "wb"),
        lambda: files.mkdir(f"{root}/folder"),
        lambda: files.rm(f"{root}/file"),
        lambda: files.mv(f"{root}/file", "elsewhere"),
    ]
    for write in writes:
        with pytest.raises(PermissionError):
            write()
    with pytest.raises(ValueError, match="mode"):
        files.open("file", "r+b")


def test_a_file_that_could_not_be_opened_is_not_stored(
    files: IPFSFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.pipe_file("kept", b"what is there")

    def fail(path: str) -> bytes:
        raise OSError(f"{path} cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(files, "cat_file", fail)
        with pytest.raises(OSError, match="cannot be read"):
            files.open("kept", "ab")
        gc.collect()  # what was dropped is closed
    assert files.cat_file("kept") == b"what is there"


def test_names_of_ipns_are_read(files: IPFSFileSystem, root: str) -> None:
    names = IPNSFileSystem(files.namespace.repo)
    assert names._strip_protocol("ipns://docs.example/a") == "docs.example/a"
    with pytest.raises(PermissionError):
        names.pipe_file("docs.example/a", b"")
    with pytest.raises(FileNotFoundError):
        names.info("no name")


# -- writing --------------------------------------------------------------------------------------


def test_what_is_written_has_a_cid(files: IPFSFileSystem) -> None:
    with files.open("results/one", "wb") as file:
        file.write(CONTENT)
    assert files.cid("results/one") == str(sync.add(CONTENT, repo=files.namespace.repo))
    assert files.cat_file(f"{files.cid('results')}/one") == CONTENT
    with files.open("results/one", "ab") as file:
        file.write(b"more")
    assert files.size("results/one") == 3_000_004
    files.mv("results/one", "results/two")
    assert files.ls("results", detail=False) == ["results/two"]
    with pytest.raises(OSError, match="empty"):
        files.rmdir("results")
    files.rm("results/two")
    files.rmdir("results")
    assert files.ls("") == []
    with pytest.raises(FileNotFoundError):
        files.modified(f"{sync.add(b'x', repo=files.namespace.repo)}")


def test_a_transaction_gives_the_cid(files: IPFSFileSystem) -> None:
    with files.transaction as written:
        files.pipe_file("data/a", b"a")
        with files.open("data/b", "wb") as file:
            file.write(b"b")
        assert not files.exists("data")
    assert files.cat("data/*") == {"data/a": b"a", "data/b": b"b"}
    assert written.cid == files.cid("data")
    assert written.cids == {name: files.cid(name) for name in ("data/a", "data/b")}
    with pytest.raises(ZeroDivisionError), files.transaction:  # noqa: PT012
        files.pipe_file("data/c", b"c")
        _ = 1 / 0
    assert not files.exists("data/c")
    files.pipe_file("data/c", b"c")  # the transaction is over
    assert files.exists("data/c")
    with pytest.raises(ZeroDivisionError), files.open("data/d", "wb") as file:
        _ = 1 / 0
    assert not files.exists("data/d")


# -- processes and loops --------------------------------------------------------------------------


def test_file_systems_and_files_are_pickled(files: IPFSFileSystem, root: str) -> None:
    again = pickle.loads(pickle.dumps(files))
    assert again.cat_file(f"{root}/file") == b"content"
    with files.open(f"{root}/large") as file:
        file.seek(1000)
        with pickle.loads(pickle.dumps(file)) as other:
            assert other.read(10) == CONTENT[1000:1010]


def _in_child(files: IPFSFileSystem, folder: str) -> bytes:
    own = IPFSFileSystem(f"{folder}/child")
    sync.start(f"{folder}/child", online=False)
    own.pipe_file("file", b"of the child")
    assert files.loop.is_running()
    data: bytes = own.cat_file("file")
    return data


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_goes_on(files: IPFSFileSystem, tmp_path: Path) -> None:
    files.pipe_file("file", b"of the parent")
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_in_child, (files, str(tmp_path))) == b"of the child"
    assert files.cat_file("file") == b"of the parent"


def test_it_is_used_in_a_loop_of_ones_own(files: IPFSFileSystem, root: str) -> None:
    async def main() -> None:
        own = IPFSFileSystem(files.namespace.repo, asynchronous=True)
        assert await own._cat_file(f"{root}/file") == b"content"
        assert [one["name"] for one in await own._ls(f"{root}/below/deep")] == [
            f"{root}/below/deep/b.txt"
        ]

    asyncio.run(main())


def test_the_package_says_that_it_has_the_protocols() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for protocol, kind in (("ipfs", IPFSFileSystem), ("ipns", IPNSFileSystem)):
        assert f'{protocol} = "libp2p.fs:{kind.__name__}"' in text
        point = importlib.metadata.EntryPoint(
            protocol, f"libp2p.fs:{kind.__name__}", "fsspec.specs"
        )
        assert point.load() is kind
    assert fsspec.get_filesystem_class("ipfs") is IPFSFileSystem


# -- what is built on it --------------------------------------------------------------------------


@pytest.fixture
def far(tmp_path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return a repo that has something, and the options by which another one reads it."""
    provider, reader = str(tmp_path / "provider"), str(tmp_path / "reader")
    sync.start(provider, listen="/ip4/127.0.0.1/tcp/0")
    yield provider, {"repo": reader, "peers": sync.addresses(repo=provider)}
    sync.stop(reader)
    sync.stop(provider)


def test_pandas_reads_and_writes_tables(far: tuple[str, dict[str, Any]]) -> None:
    import pandas as pd

    provider, options = far
    frame = pd.DataFrame({"x": range(10_000), "y": [f"row {n}" for n in range(10_000)]})
    with fsspec.filesystem("ipfs", repo=provider).transaction as written:
        frame.to_csv("ipfs://tables/t.csv", index=False, storage_options={"repo": provider})
    read = pd.read_csv(f"ipfs://{written.cid}", storage_options=options)
    pd.testing.assert_frame_equal(read, frame)
    frame.to_parquet("ipfs://tables/t.parquet", storage_options={"repo": provider})
    cid = IPFSFileSystem(provider).cid("tables")
    read = pd.read_parquet(f"ipfs://{cid}/t.parquet", columns=["x"], storage_options=options)
    assert list(read.columns) == ["x"]
    assert read["x"].sum() == frame["x"].sum()


def test_two_columns_move_about_what_is_asked_for(
    far: tuple[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    provider, options = far
    make_parquet(tmp_path / "table.parquet")
    cid = sync.add(tmp_path / "table.parquet", repo=provider)
    asked: list[int] = []
    read = IPFSFile.read

    def counting(self: IPFSFile, size: int | None = -1, /) -> bytes:
        data = read(self, size)
        asked.append(len(data))
        return data

    monkeypatch.setattr(IPFSFile, "read", counting)
    table = pq.read_table(str(cid), columns=["c3", "c11"], filesystem=IPFSFileSystem(**options))
    assert table.num_columns == 2
    moved = sync.peer(options["repo"]).bitswap.stat().data_received
    print(f"{moved / 1e6:.1f} MB moved, {sum(asked) / 1e6:.1f} MB asked for")
    assert moved <= TOLERATED * sum(asked) + ENDS


def test_zarr_reads_an_array(far: tuple[str, dict[str, Any]]) -> None:
    import numpy as np
    import zarr

    provider, options = far
    values = np.arange(1_000_000, dtype="i8").reshape(1000, 1000)
    written = zarr.create_array(
        "ipfs://cube", shape=values.shape, chunks=(100, 1000), dtype="i8",
        storage_options={"repo": provider},
    )  # fmt: skip
    written[:] = values
    cid = IPFSFileSystem(provider).cid("cube")
    array = zarr.open_array(f"ipfs://{cid}", mode="r", storage_options=options)
    assert isinstance(array, zarr.Array)
    assert np.array_equal(array[150:250, 7], values[150:250, 7])
    moved = sync.peer(options["repo"]).bitswap.stat().data_received
    assert moved < values.nbytes / 3  # two of ten chunks, compressed


def test_duckdb_queries_a_file(far: tuple[str, dict[str, Any]]) -> None:
    import duckdb

    provider, options = far
    cid = sync.add(b"name,size\none,1\ntwo,2\n", repo=provider)
    with duckdb.connect() as connection:
        connection.register_filesystem(IPFSFileSystem(**options))
        query = f"select sum(size) from read_csv('ipfs://{cid}')"
        assert connection.execute(query).fetchall() == [(3,)]
