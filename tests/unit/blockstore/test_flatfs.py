"""Files of the flatfs layout: names, crashes, full disks, and stores of py-libp2p 0.8."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from libp2p.blockstore.flatfs import FlatFiles
from libp2p.blockstore.layout import file_stem, multihash_of
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID
from libp2p.ipld.multihash import digest, wrap
from libp2p.utils.file_locks import SharedLock

DATA = b"hello world"
KEY = CID.for_block(DATA).multihash


def files_below(base: Path) -> set[str]:
    """Return names of files, without those of the folder and of the processes that use it."""
    names = {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}
    return {name for name in names if name != "SHARDING" and not name.startswith(".temp/writer-")}


@pytest.fixture
def files(tmp_path: Path) -> FlatFiles:
    return FlatFiles(tmp_path)


def test_names_are_kubos(tmp_path: Path) -> None:
    # A name seen in a repo that Kubo wrote.
    name = "CIQIRGBLMDAF2ZCNQL6UMPH2EAJUKCYSQQCQTLUFV6FL3SFP2XKXH4I"
    key = multihash_of(name + ".data")
    assert key is not None
    FlatFiles(tmp_path).put([(key, b"whatever")])
    assert files_below(tmp_path) == {f"H4/{name}.data"}
    assert file_stem(key) == name
    assert (tmp_path / "SHARDING").read_bytes() == b"/repo/flatfs/shard/v1/next-to-last/2\n"


def test_a_shard_may_have_another_length(tmp_path: Path) -> None:
    (tmp_path / "SHARDING").write_text("/repo/flatfs/shard/v1/next-to-last/3\n")
    files = FlatFiles(tmp_path)
    files.put([(KEY, DATA)])
    (name,) = files_below(tmp_path)
    stem = file_stem(KEY)
    assert name == f"{stem[-4:-1]}/{stem}.data"
    assert list(files.multihashes()) == [KEY]


def test_a_short_multihash_is_padded_for_its_shard(tmp_path: Path) -> None:
    files = FlatFiles(tmp_path, verify=False)
    key = wrap(0x12, b"")
    files.put([(key, DATA)])
    assert files.get(key) == DATA
    assert list(files.multihashes()) == [key]


@pytest.mark.parametrize("text", ["", "/repo/flatfs/shard/v1/middle/2", "hello\n" * 100, "ÿ"])
def test_another_sharding_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "SHARDING").write_text(text)
    with pytest.raises(BlockStoreError, match="sharding"):
        FlatFiles(tmp_path)


def test_foreign_files_are_not_listed(tmp_path: Path, files: FlatFiles) -> None:
    files.put([(KEY, DATA)])
    shard = next(path for path in tmp_path.iterdir() if len(path.name) == 2)
    (shard / "put-123").write_bytes(b"")
    (shard / "not base32.data").write_bytes(b"")
    (tmp_path / "_README").write_bytes(b"text")
    (tmp_path / "AB").write_bytes(b"a file where a shard could be")
    assert list(files.multihashes()) == [KEY]


# -- crashes --------------------------------------------------------------------------------------


def test_unfinished_files_are_swept_when_stale(tmp_path: Path) -> None:
    FlatFiles(tmp_path)
    fresh, stale = tmp_path / ".temp" / "temp-fresh", tmp_path / ".temp" / "temp-stale"
    folder = tmp_path / ".temp" / "batch-of-kubo"
    fresh.write_bytes(b"half")
    stale.write_bytes(b"half")
    folder.mkdir()
    os.utime(stale, (1, 1))
    files = FlatFiles(tmp_path)
    assert fresh.exists()
    assert not stale.exists()
    assert list(files.multihashes()) == []


def test_what_a_killed_process_was_writing_is_swept_and_what_a_live_one_is_not(
    tmp_path: Path,
) -> None:
    program = f"""
import os, signal
from pathlib import Path
from libp2p.blockstore.flatfs import FlatFiles
files = FlatFiles(Path({str(tmp_path)!r}))
name = files._new_name()
files._write_file(name, b"half")
print(name, flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        name = Path(writer.stdout.readline().strip())
        FlatFiles(tmp_path)
        assert name.exists()
        writer.kill()
    FlatFiles(tmp_path)
    assert os.listdir(tmp_path / ".temp") == []


def test_a_block_that_is_here_gets_the_time_of_now(tmp_path: Path) -> None:
    lock = SharedLock(tmp_path / "gc.lock")
    files = FlatFiles(tmp_path / "blocks", gc_lock=lock)
    files.put([(KEY, DATA)])
    [path] = (tmp_path / "blocks").glob("*/*.data")
    os.utime(path, (1, 1))
    files.put([(KEY, DATA)])
    assert path.stat().st_mtime > 1


def test_no_block_gets_the_time_of_now_while_blocks_are_removed(tmp_path: Path) -> None:
    lock = SharedLock(tmp_path / "gc.lock")
    files = FlatFiles(tmp_path / "blocks", gc_lock=lock)
    files.put([(KEY, DATA)])
    with SharedLock(tmp_path / "gc.lock").exclusive():
        again = threading.Thread(target=files.put, args=([(KEY, DATA)],))
        again.start()
        again.join(0.2)
        assert again.is_alive()
        files.delete(KEY)
    again.join()
    assert files.get(KEY) == DATA


def test_an_empty_file_is_no_block_and_is_healed(tmp_path: Path, files: FlatFiles) -> None:
    files.put([(KEY, DATA)])
    (name,) = files_below(tmp_path)
    (tmp_path / name).write_bytes(b"")
    assert files.get(KEY) is None
    assert files.size(KEY) is None
    files.put([(KEY, DATA)])
    assert files.get(KEY) == DATA


@pytest.mark.parametrize("function", ["sha2-256", "sha2-512", "blake2b-256"])
def test_the_empty_block_is_a_block(files: FlatFiles, function: str) -> None:
    key = CID.for_block(b"", hash=function).multihash
    assert files.get(key) is None
    files.put([(key, b"")])
    assert files.get(key) == b""
    assert files.size(key) == 0


@pytest.mark.parametrize("key", [wrap(0x3FFF, bytes(32)), b"\x12\x20short"])
def test_an_empty_file_under_an_unknown_hash_is_no_block(files: FlatFiles, key: bytes) -> None:
    files.put([(key, b"")])
    assert files.get(key) is None


# -- failures -------------------------------------------------------------------------------------


def test_a_full_disk_is_an_error_and_leaves_nothing(
    tmp_path: Path, files: FlatFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 4:
            return real_write(descriptor, data[:4])  # the last room there is
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(BlockStoreError, match="No space left") as caught:
        files.put([(KEY, b"12345678")])
    assert isinstance(caught.value.__cause__, OSError)
    assert files_below(tmp_path) == set()
    assert files.get(KEY) is None


def test_a_short_write_is_continued(files: FlatFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, data[:3]))
    files.put([(KEY, DATA), (wrap(0x12, bytes(32)), memoryview(DATA))])
    assert files.get(KEY) == DATA


def test_a_file_that_shrinks_while_read_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FlatFiles(tmp_path, verify=False)
    files.put([(KEY, DATA)])
    pieces = [b"hello", b" wor", b""]
    monkeypatch.setattr(os, "read", lambda fd, size: pieces.pop(0))
    assert files.get(KEY) == b"hello wor"


def test_the_failing_operation_is_named(
    tmp_path: Path, files: FlatFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*args: object, **kwargs: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    files.put([(KEY, DATA)])
    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(BlockStoreError, match=f"read block {CID.for_block(DATA)}"):
        files.get(KEY)
    with pytest.raises(BlockStoreError, match="write a block"):
        files.put([(CID.for_block(b"other").multihash, b"other")])
    for name, operation in (("stat", files.size), ("unlink", files.delete)):
        monkeypatch.setattr(os, name, denied)
        with pytest.raises(BlockStoreError, match=str(tmp_path)):
            operation(KEY)
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(BlockStoreError, match="list"):
        list(files.multihashes())
    monkeypatch.setattr(os, "makedirs", denied)
    with pytest.raises(BlockStoreError, match="cannot open"):
        FlatFiles(tmp_path)


def test_a_file_in_place_of_a_shard_holds_no_block(tmp_path: Path, files: FlatFiles) -> None:
    shard = file_stem(KEY)[-3:-1]
    (tmp_path / shard).write_bytes(b"")
    assert files.get(KEY) is None
    assert files.size(KEY) is None
    with pytest.raises(BlockStoreError):
        files.put([(KEY, DATA)])
    assert files_below(tmp_path) == {shard}


def test_no_folder_is_flushed_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = FlatFiles(tmp_path, sync=True)
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    files.put([(KEY, DATA)])
    assert len(flushed) == 2
    monkeypatch.setattr("libp2p.blockstore.files._ON_WINDOWS", True)
    files.put([(wrap(0x12, bytes(32)), DATA)])
    assert len(flushed) == 3


# -- stores of py-libp2p 0.8 ----------------------------------------------------------------------


def put_as_0_8_did(base: Path, cid_text: str, data: bytes) -> Path:
    path = base / cid_text[:2] / cid_text[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


OLD = [
    CID.for_block(b"v0", "dag-pb", 0).encode(),
    CID.for_block(b"raw").encode("base58btc"),
    CID.for_block(b"cbor", "dag-cbor").encode("base58btc"),
    CID.for_block(b"long", hash="sha2-512").encode("base58btc"),
]
OLD_DATA = [b"v0", b"raw", b"cbor", b"long"]


def test_a_store_of_the_old_layout_is_read_and_listed(tmp_path: Path) -> None:
    for text, data in zip(OLD, OLD_DATA, strict=True):
        put_as_0_8_did(tmp_path, text, data)
    (tmp_path / OLD[0][:2] / "half.tmp").write_bytes(b"")
    files = FlatFiles(tmp_path)
    files.put([(KEY, DATA), (CID.parse(OLD[1]).multihash, b"raw")])
    for text, data in zip(OLD, OLD_DATA, strict=True):
        key = CID.parse(text).multihash
        assert files.get(key) == data
        assert files.size(key) == len(data)
    keys = sorted(files.multihashes())
    assert keys == sorted([KEY, *(CID.parse(text).multihash for text in OLD)])
    assert files.get(wrap(0x12, digest("sha2-256", b"missing"))) is None
    assert files.size(wrap(0x12, digest("sha2-256", b"missing"))) is None


def test_deleting_reaches_the_old_layout(tmp_path: Path) -> None:
    path = put_as_0_8_did(tmp_path, OLD[0], OLD_DATA[0])
    key = CID.parse(OLD[0]).multihash
    files = FlatFiles(tmp_path)
    files.put([(key, OLD_DATA[0])])
    files.delete(key)
    files.delete(key)
    assert not path.exists()
    assert files.get(key) is None
    assert list(files.multihashes()) == []


def test_a_damaged_old_block_is_not_given_out(tmp_path: Path) -> None:
    put_as_0_8_did(tmp_path, OLD[1], b"half a blo")
    files = FlatFiles(tmp_path)
    key = CID.parse(OLD[1]).multihash
    assert files.get(key) is None
    files.put([(key, b"raw")])
    assert files.get(key) == b"raw"


def test_an_old_folder_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "Qm").write_bytes(b"")
    files = FlatFiles(tmp_path)
    assert files.get(KEY) is None
    assert list(files.multihashes()) == []


def test_an_old_block_that_cannot_be_verified_or_is_gone_is_not_given_out(tmp_path: Path) -> None:
    unknown = CID.decode(b"\x01\x55" + wrap(0x3FFF, bytes(32)))
    put_as_0_8_did(tmp_path, unknown.encode("base58btc"), b"whatever")
    path = put_as_0_8_did(tmp_path, OLD[1], b"raw")
    files = FlatFiles(tmp_path)
    with pytest.raises(BlockStoreError, match=f"{unknown} cannot be verified"):
        files.get(unknown.multihash)
    path.unlink()
    assert files.get(CID.parse(OLD[1]).multihash) is None
