"""Files that are not what they should be: found, set aside, replaced; and races of those who do."""

from __future__ import annotations

import errno
import logging
import os
import random
import threading
from typing import TYPE_CHECKING

import pytest

from libp2p.blockstore.flatfs import FlatFiles
from libp2p.blockstore.layout import file_stem
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID
from libp2p.ipld.multihash import wrap
from tests.support.damage import DAMAGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DATA = random.Random(5).randbytes(10_000)
OTHER = random.Random(6).randbytes(10_000)
KEY, OTHER_KEY = CID.for_block(DATA).multihash, CID.for_block(OTHER).multihash


@pytest.fixture
def files(tmp_path: Path) -> FlatFiles:
    files = FlatFiles(tmp_path)
    files.put([(KEY, DATA), (OTHER_KEY, OTHER)])
    return files


def path_of(base: Path, key: bytes = KEY) -> Path:
    (path,) = base.glob(f"[!.]*/{file_stem(key)}.data")
    return path


def set_aside(base: Path) -> list[Path]:
    return list(base.glob(".damaged/*"))


def damage(path: Path, data: bytes = b"something else") -> None:
    path.write_bytes(data)


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("seed", range(3))
def test_each_damage_is_found_set_aside_and_healed(
    files: FlatFiles, tmp_path: Path, kind: str, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = path_of(tmp_path)
    DAMAGES[kind](path, random.Random(seed))
    for _ in range(2):
        assert files.get(KEY) is None
        assert files.size(KEY) is None
    assert KEY not in set(files.multihashes())
    assert not os.path.lexists(path)
    if kind != "missing":
        assert files.damage_of(KEY) == str(tmp_path / ".damaged" / path.name)
        (record,) = caplog.records
        assert str(CID.for_block(DATA)) in record.getMessage()
    files.put([(KEY, DATA), (OTHER_KEY, OTHER)])
    assert files.get(KEY) == DATA
    assert files.get(OTHER_KEY) == OTHER
    assert files.damage_of(OTHER_KEY) == str(path_of(tmp_path, OTHER_KEY))  # what is in its place
    assert [p for p in set_aside(tmp_path) if p.is_file()] == []


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_nobody_has_read_is_healed_too(files: FlatFiles, tmp_path: Path, kind: str) -> None:
    DAMAGES[kind](path_of(tmp_path), random.Random(1))
    files.put([(KEY, memoryview(DATA)), (OTHER_KEY, OTHER)])
    assert files.get(KEY) == DATA
    assert files.get(OTHER_KEY) == OTHER


def test_bytes_that_are_not_the_block_do_not_replace_it(files: FlatFiles) -> None:
    with pytest.raises(BlockStoreError, match=f"are not block {CID.for_block(DATA)}"):
        files.put([(KEY, OTHER)])
    assert files.get(KEY) == DATA


@pytest.mark.parametrize("hash_name", ["sha2-512", "blake2b-256", "sha1", "shake-256"])
def test_blocks_of_every_hash_are_verified(tmp_path: Path, hash_name: str) -> None:
    key = CID.for_block(DATA, hash=hash_name).multihash
    files = FlatFiles(tmp_path)
    files.put([(key, DATA)])
    assert files.get(key) == DATA
    damage(path_of(tmp_path, key))
    assert files.get(key) is None


def test_what_cannot_be_verified_is_not_given_out(tmp_path: Path) -> None:
    unknown = wrap(0x3FFF, bytes(32))
    FlatFiles(tmp_path).put([(unknown, DATA)])
    with pytest.raises(BlockStoreError, match="cannot be verified"):
        FlatFiles(tmp_path).get(unknown)
    assert FlatFiles(tmp_path, verify=False).get(unknown) == DATA


def test_without_verifying_blocks_are_given_as_they_are(files: FlatFiles, tmp_path: Path) -> None:
    damage(path_of(tmp_path))
    assert FlatFiles(tmp_path, verify=False).get(KEY) == b"something else"
    assert set_aside(tmp_path) == []


def test_damage_of_the_old_layout_is_set_aside(tmp_path: Path) -> None:
    text = CID.for_block(DATA).encode("base58btc")
    path = tmp_path / text[:2] / text[2:]
    path.parent.mkdir()
    path.write_bytes(OTHER)
    files = FlatFiles(tmp_path)
    assert files.get(KEY) is None
    assert not path.exists()
    assert files.damage_of(KEY) is not None
    assert files.size(KEY) is None
    assert list(files.multihashes()) == []


def test_a_block_that_is_too_long_is_neither_stored_nor_read(
    files: FlatFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("files", "flatfs"):
        name = f"libp2p.blockstore.{module}.MAX_BLOCK_FILE_BYTES"
        monkeypatch.setattr(name, len(DATA) - 1)
    with pytest.raises(BlockStoreError, match="at most 9999"):
        files.put([(KEY, DATA)])
    assert files.get(KEY) is None


# -- what cannot be moved -------------------------------------------------------------------------


def failing(number: int) -> Callable[..., int]:
    def fail(*args: object, **kwargs: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_damaged_file_on_a_disk_that_cannot_be_written_is_not_given_out(
    files: FlatFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = path_of(tmp_path)
    damage(path)
    monkeypatch.setattr(os, "replace", failing(errno.EROFS))
    for _ in range(2):
        assert files.get(KEY) is None
    assert files.damage_of(KEY) == str(path)
    (record,) = caplog.records  # it is told once
    assert "cannot be set aside: Read-only file system" in record.getMessage()


def test_only_so_many_are_remembered_as_told(
    files: FlatFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libp2p.blockstore.flatfs._MAX_TOLD", 1)
    for key in (KEY, OTHER_KEY):
        damage(path_of(tmp_path, key))
        assert files.get(key) is None
    assert files._told == {OTHER_KEY}


@pytest.mark.parametrize(
    ("number", "call"), [(errno.EIO, "open"), (errno.EACCES, "open"), (errno.EIO, "read")]
)
def test_a_file_that_cannot_be_read_is_a_missing_block(
    files: FlatFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    path = path_of(tmp_path)
    monkeypatch.setattr(os, call, failing(number))
    assert files.get(KEY) is None
    # Of a file that may not be read nothing is known: it stays.
    assert path.exists() is (number == errno.EACCES)
    assert files.damage_of(KEY) is not None
    monkeypatch.undo()
    files.put([(KEY, DATA)])
    assert files.get(KEY) == DATA


def test_a_disk_that_fails_is_no_damage(
    files: FlatFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in ("open", "read", "fstat"):
        monkeypatch.setattr(os, call, failing(errno.ENOMEM))
        with pytest.raises(BlockStoreError, match="Cannot allocate memory"):
            files.get(KEY)
        monkeypatch.undo()
    assert files.get(KEY) == DATA


# -- the folder -----------------------------------------------------------------------------------


def test_what_was_set_aside_goes_when_its_block_is_stored_or_deleted(
    files: FlatFiles, tmp_path: Path
) -> None:
    for key in (KEY, OTHER_KEY):
        damage(path_of(tmp_path, key))
        files.get(key)
    assert len(set_aside(tmp_path)) == 2
    # Another program does not know of them, and stores one.
    again = FlatFiles(tmp_path)
    again._has_damaged = False
    again.put([(KEY, DATA)])
    assert len(set_aside(tmp_path)) == 2
    (tmp_path / ".damaged" / "foreign").write_bytes(b"")
    third = FlatFiles(tmp_path)
    assert {path.name for path in set_aside(tmp_path)} == {
        "foreign",
        file_stem(OTHER_KEY) + ".data",
    }
    third.delete(OTHER_KEY)
    assert {path.name for path in set_aside(tmp_path)} == {"foreign"}
    assert third.damage_of(OTHER_KEY) is None


def test_a_folder_in_place_of_a_block_is_kept(files: FlatFiles, tmp_path: Path) -> None:
    for _ in range(3):
        path = path_of(tmp_path)
        DAMAGES["a folder"](path, random.Random(1))
        assert files.get(KEY) is None
        files.put([(KEY, DATA)])
        assert files.get(KEY) == DATA
    assert len([path for path in set_aside(tmp_path) if (path / "something").exists()]) == 3
    DAMAGES["a folder"](path, random.Random(1))
    files.get(KEY)
    path.write_bytes(DATA)
    FlatFiles(tmp_path)  # does not fail at sweeping it


# -- races ----------------------------------------------------------------------------------------


def test_a_good_file_that_was_written_meanwhile_stays(
    files: FlatFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(tmp_path)
    damage(path)
    replace = os.replace

    def late(source: str, target: str) -> None:
        monkeypatch.setattr(os, "replace", replace)
        path.write_bytes(DATA)  # by another program
        replace(source, target)

    monkeypatch.setattr(os, "replace", late)
    assert files.get(KEY) == DATA
    assert path.read_bytes() == DATA
    assert set_aside(tmp_path) == []


@pytest.mark.parametrize("is_healed", [True, False])
def test_a_file_that_another_reader_has_set_aside_is_no_error(
    files: FlatFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_healed: bool
) -> None:
    path = path_of(tmp_path)
    damage(path)
    replace = os.replace

    def late(source: str, target: str) -> None:
        monkeypatch.setattr(os, "replace", replace)
        path.unlink()
        try:
            replace(source, target)
        finally:
            if is_healed:
                path.write_bytes(DATA)

    def stubborn(source: str, target: str) -> None:
        if source == str(path):
            late(source, target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", stubborn)
    monkeypatch.setattr(FlatFiles, "_move", lambda self, source, target: os.replace(source, target))
    assert files.get(KEY) == (DATA if is_healed else None)


@pytest.mark.slow
def test_readers_and_writers_of_one_damaged_block_lose_nothing(
    files: FlatFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    others = [FlatFiles(tmp_path) for _ in range(4)]  # as other programs
    path = path_of(tmp_path)
    wrong: list[bytes] = []

    def read(store: FlatFiles) -> None:
        for _ in range(300):
            if (data := store.get(KEY)) is not None and data != DATA:
                wrong.append(data)

    def write(store: FlatFiles) -> None:
        for _ in range(300):
            store.put([(KEY, DATA)])

    for _ in range(5):
        damage(path)
        threads = [
            threading.Thread(target=work, args=(store,))
            for store in others
            for work in (read, write)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert files.get(KEY) == DATA
