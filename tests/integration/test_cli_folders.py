"""The verbs for folders, paths and CAR files."""

from __future__ import annotations

import gzip
import json
import os
import random
import tarfile
import threading
from pathlib import Path

import pytest

from libp2p.ipld.cid import CID
from tests.integration.test_cli import Terminal, terminal

__all__ = ["terminal"]

SMALL = CID.for_block(b"small")


@pytest.fixture
def folder(terminal: Terminal) -> Path:
    folder = terminal.folder / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "small").write_bytes(b"small")
    (folder / "large").write_bytes(b"large" * 1_000_000)
    (folder / ".hidden").write_bytes(b"hidden")
    return folder


def root_of(terminal: Terminal, *flags: object) -> str:
    assert terminal("add", "-Qr", *flags) == 0
    return terminal.out.strip()


def test_add_prints_every_entry(terminal: Terminal, folder: Path) -> None:
    assert terminal("add", "-r", folder) == 0
    lines = terminal.out.splitlines()
    assert f"added {SMALL} folder/a/b/small" in lines
    assert [line.split()[2] for line in lines] == [
        "folder/a/b/small", "folder/a/b", "folder/a", "folder/large", "folder",
    ]  # fmt: skip
    root = lines[-1].split()[1]
    assert root_of(terminal, folder) == root
    assert root_of(terminal, "--hidden", folder) != root
    assert root_of(terminal, "-n", f"{folder}/") == root


def test_what_add_leaves_out_and_keeps(terminal: Terminal, folder: Path) -> None:
    assert terminal("add", "-r", "--ignore", "b/", "--ignore", "l*e", folder) == 0
    assert [line.split()[2] for line in terminal.out.splitlines()] == ["folder/a", "folder"]
    plain = root_of(terminal, "-n", "--raw-leaves=false", folder)
    assert root_of(terminal, "-n", "--preserve-mode", folder) != plain
    assert root_of(terminal, "-n", "--preserve-mtime", folder) != plain
    (folder / "link").symlink_to("large")
    linked = root_of(terminal, "-n", folder)
    assert root_of(terminal, "-n", "--dereference-symlinks", folder) != linked


def test_a_single_file_keeps_its_mode_and_its_time_too(terminal: Terminal, folder: Path) -> None:
    large = folder / "large"
    large.chmod(0o640)
    plain = root_of(terminal, "-n", "--raw-leaves=false", large)
    for flag in ("--preserve-mode", "--preserve-mtime"):
        alone = root_of(terminal, "-n", flag, large)
        assert alone != plain
        wrapped = root_of(terminal, flag, folder)
        assert terminal("ls", wrapped) == 0
        assert alone in terminal.out.split()
    os.utime(large, ns=(0, 1_000_000_000_000_000_005))
    whole = root_of(terminal, "--preserve-mode", "--preserve-mtime", large)
    there = terminal.file("there", b"there")
    there.chmod(0o600)
    for target in (there, terminal.folder / "new"):
        assert terminal("get", "-o", target, whole) == 0
        status = target.stat()
        assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 1_000_000_000_000_000_005)


def test_a_link_that_is_named_is_added_as_one(terminal: Terminal, folder: Path) -> None:
    links = {"file": "large", "folder": "a", "nowhere": "none"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    root = root_of(terminal, folder)
    assert terminal("ls", root) == 0
    entries = {words[2]: words[0] for words in map(str.split, terminal.out.splitlines())}
    for name in links:
        assert terminal("add", "-Q", folder / name) == 0
        assert terminal.out.strip() == entries[name]
        assert terminal("add", "-nQ", folder / name) == 0
        assert terminal.out.strip() == entries[name]
    assert terminal("add", "--dereference-symlinks", folder / "file") == 0
    assert terminal.out == f"added {entries['large']} large\n"
    assert root_of(terminal, "--dereference-symlinks", folder / "folder") == entries["a/"]
    assert terminal("add", "--dereference-symlinks", folder / "nowhere") == 1


def test_a_link_to_a_pipe_is_read(terminal: Terminal, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("pipe")
    writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(b"small",))
    writer.start()
    assert terminal("add", "-Q", folder / "link") == 0
    writer.join()
    assert terminal.out.strip() == str(SMALL)


def test_what_a_file_with_rules_leaves_out(terminal: Terminal, folder: Path) -> None:
    rules = terminal.file("rules", b"b/\n# a remark\n\nl*e\n")
    expected = root_of(terminal, "-n", "--ignore", "b/", "--ignore", "l*e", folder)
    assert root_of(terminal, "-n", "--ignore-rules-path", rules, folder) == expected
    again = root_of(terminal, "-n", "--ignore-rules-path", rules, "--ignore", "!large", folder)
    assert again == root_of(terminal, "-n", "--ignore", "b/", folder)
    assert terminal("add", "-r", "--ignore-rules-path", rules / "none", folder) == 2
    rules.write_bytes(b"\xff")
    assert terminal("add", "-r", "--ignore-rules-path", rules, folder) == 1
    assert "is no text" in terminal.error


def test_limits_of_folders(terminal: Terminal, folder: Path) -> None:
    plain = root_of(terminal, "-n", folder)
    few = root_of(terminal, "-n", "--max-directory-links", "1", folder)
    narrow = root_of(terminal, "-n", "--max-directory-links=1", "--max-hamt-fanout=8", folder)
    assert len({plain, few, narrow}) == 3
    assert terminal("add", "-r", "--max-hamt-fanout=7", folder) == 2


def test_add_puts_into_the_tree_of_files_too(terminal: Terminal, folder: Path) -> None:
    small, large = folder / "a" / "b" / "small", folder / "large"
    assert terminal("add", "--to-files=/", small, large) == 0
    assert terminal("add", "--to-files", "/other", small) == 0
    assert terminal("add", "-r", "--to-files=/", folder) == 0
    assert terminal("files", "ls", "/") == 0
    assert terminal.out.split() == ["folder", "large", "other", "small"]
    assert terminal("files", "read", "/other") == 0
    assert terminal.out == "small"
    for code, error, *words in (
        (1, "exists", "--to-files=/other", large),
        (1, "does not exist", "--to-files=/none/", small),
        (1, "room for one", "--to-files=/two", small, large),
        (1, "needs a name", "--to-files=/", "-"),
        (2, "--only-hash", "--to-files=/", "-n", small),
        (2, "--wrap-with-directory", "--to-files=/", "-w", small),
    ):
        assert terminal("add", *words) == code
        assert str(error) in terminal.error


def test_add_wraps_into_one_folder(terminal: Terminal, folder: Path) -> None:
    assert terminal("add", "-w", folder / "a" / "b" / "small", "--json") == 0
    *_, wrapper = map(json.loads, terminal.out.splitlines())
    assert (wrapper["name"], wrapper["size"]) == ("", 5)
    assert terminal("ls", wrapper["cid"]) == 0
    assert terminal.out == f"{SMALL} 5 small\n"
    assert terminal("cat", f"{wrapper['cid']}/small") == 0
    assert terminal.out == "small"


def test_a_path_leads_into_a_folder(terminal: Terminal, folder: Path) -> None:
    root = root_of(terminal, folder)
    for path in (f"{root}/a/b/small", f"/ipfs/{root}/a//b/small", f"ipfs://{root}/a/b/small/"):
        assert terminal("cat", path) == 0
        assert terminal.out == "small"
    assert terminal("ls", f"{root}/a/b", "--json") == 0
    assert json.loads(terminal.out) == {
        "cid": str(SMALL), "name": "small", "dag_size": 5, "type": "raw", "size": 5,
    }  # fmt: skip
    for path, text in {
        f"{root}/missing": "'missing' is not in the directory",
        f"{root}/large/x": "is no directory",
        f"{root}/a": "`get` writes folders",
    }.items():
        assert terminal("cat", path) == 1
        assert text in terminal.error
    for path in (f"{root}/../x", "bafy/x", f"{root}/./x"):
        assert terminal("cat", path) == 2
        assert "is not a CID" in terminal.error


def test_get_writes_a_folder(terminal: Terminal, folder: Path) -> None:
    root = root_of(terminal, "--hidden", folder)
    out = terminal.folder / "out"
    assert terminal("get", root, "-o", out) == 0
    assert terminal.out == f"saved {root} to {out}\n"
    assert (out / "a/b/small").read_bytes() == b"small"
    assert (out / ".hidden").read_bytes() == b"hidden"
    assert terminal("get", f"{root}/a", "-o", out, "--json") == 1
    assert "is there already" in terminal.error
    (out / "a").rename(terminal.folder / "moved")
    assert terminal("get", f"{root}/a", "-o", out, "--json") == 0
    assert json.loads(terminal.out)["size"] == 5
    assert terminal("get", root, "-o", "-") == 1
    assert "is not a file" in terminal.error


def test_get_makes_a_link_only_where_it_stays_inside(terminal: Terminal, folder: Path) -> None:
    targets = {"inside": "a/x", "outside": "../x", "absolute": "/etc/x"}
    for name, target in targets.items():
        (folder / name).symlink_to(target)
    root = root_of(terminal, folder)
    out = terminal.folder / "out"
    for name in ("outside", "absolute"):
        for flags in ((), ("--archive",)):
            assert terminal("get", *flags, f"{root}/{name}", "-o", out) == 1
            assert "may be outside" in terminal.error
        assert terminal("cat", f"{root}/{name}") == 0
        assert terminal.out == targets[name]
    assert not list(terminal.folder.glob("*out*"))
    assert terminal("get", f"{root}/inside", "-o", out, "--json") == 0
    assert json.loads(terminal.out)["size"] == 3
    assert os.readlink(out) == "a/x"
    assert terminal("get", f"{root}/inside", "-o", "-") == 0
    assert terminal.out == "a/x"
    (folder / "a" / "inside").mkdir()
    assert terminal("get", f"{root}/inside", "-o", folder / "a") == 1
    assert "cannot write" in terminal.error
    assert sorted(os.listdir(folder / "a")) == ["b", "inside"]


def test_a_file_that_is_named_twice_is_added_once(terminal: Terminal, folder: Path) -> None:
    large, small = folder / "large", folder / "a" / "b" / "small"
    assert terminal("add", "-wr", large, small, f"{folder}/./large", small.parent) == 0
    names = [line.split(" ", 2)[2] for line in terminal.out.splitlines()]
    assert names == ["large", "small", "b/small", "b", ""]
    assert terminal("add", "--to-files=/large", large, large) == 0


def test_a_dag_goes_through_a_car_file(terminal: Terminal, folder: Path) -> None:
    root = root_of(terminal, folder)
    car = terminal.folder / "file.car"
    assert terminal("dag", "export", root, "-o", car) == 0
    other = Terminal(terminal.folder, terminal._capture)
    other.repo = terminal.folder / "other"
    assert other("dag", "import", car, car) == 0
    assert other.out == f"Pinned root\t{root}\tsuccess\n"
    assert other("dag", "import", car, "--json") == 0
    assert json.loads(other.out)["cid"] == root
    assert other("cat", f"{root}/a/b/small") == 0
    assert other.out == "small"
    assert terminal("dag", "export", f"{root}/a/b") == 0
    assert "small" in terminal.out
    car.write_bytes(car.read_bytes()[:-1])
    assert other("dag", "import", car) == 1
    assert "is cut off" in other.error


def test_ls_says_what_entries_are(terminal: Terminal, folder: Path) -> None:
    (folder / "link").symlink_to("large")
    root = root_of(terminal, folder)
    assert terminal("ls", "-v", "-s", root) == 0
    head, a, large, link = terminal.out.splitlines()
    assert head == "Hash Size Name"
    assert a.split()[1:] == ["-", "a/"]
    assert large.split()[1:] == ["5000000", "large"]
    assert link.split()[1:] == ["5", "link"]
    assert terminal("ls", "--size=false", root, f"{root}/a") == 0
    lines = terminal.out.splitlines()
    assert lines[0] == f"{root}:"
    assert [line.split()[-1] for line in lines[1:4]] == ["a/", "large", "link"]
    assert lines[4:6] == ["", f"{root}/a:"]
    assert terminal("ls", "--size=false", "--resolve-type=false", "-v", root) == 0
    assert [line.split()[-1] for line in terminal.out.splitlines()] == [
        "Name", "a", "large", "link",
    ]  # fmt: skip


def test_refs_are_printed_as_kubo_does(terminal: Terminal, folder: Path) -> None:
    root = root_of(terminal, folder)
    assert terminal("refs", "--format=<linkname>", root) == 0
    assert terminal.out == "a\nlarge\n"
    assert terminal("refs", "-r", "-e", f"{root}/a/b") == 0
    assert terminal.out.split() == [root_of(terminal, folder / "a" / "b"), "->", str(SMALL)]
    for flags, count in [(["-r"], 9), (["-r", "-u"], 9), (["-r", "--max-depth=1"], 2), ([], 2)]:
        assert terminal("refs", *flags, root) == 0
        assert len(terminal.out.splitlines()) == count
    assert terminal("refs", "--json", f"{root}/a") == 0
    assert json.loads(terminal.out)["name"] == "b"
    assert terminal("refs", "-e", "--format=<src>", root) == 2


def test_get_writes_archives(terminal: Terminal, folder: Path) -> None:
    root = root_of(terminal, folder)
    assert terminal("get", "-a", root, "-o", terminal.folder / "out") == 0
    with tarfile.open(terminal.folder / "out.tar") as tar:
        assert sorted(tar.getnames())[:3] == [root, f"{root}/a", f"{root}/a/b"]
    assert terminal("get", "-aC", "-l9", root, "-o", terminal.folder / "out") == 0
    packed = (terminal.folder / "out.tar.gz").read_bytes()
    assert gzip.decompress(packed) == (terminal.folder / "out.tar").read_bytes()
    assert terminal("get", "-C", f"{root}/large", "-o", terminal.folder) == 0
    packed = (terminal.folder / "large.gz").read_bytes()
    assert gzip.decompress(packed) == (folder / "large").read_bytes()
    assert terminal("get", "-C", root) == 1


def test_add_takes_the_rest_of_unixfs(terminal: Terminal, folder: Path) -> None:
    large = folder / "large"
    large.write_bytes(random.Random(1).randbytes(3_000_000))
    variants: list[list[object]] = [
        ["-t", "-s", "size-5000"], ["-s", "rabin"], ["-s", "buzhash"], ["--inline"],
        ["-s", "size-9999"],
    ]  # fmt: skip
    cids = [root_of(terminal, "-n", *flags, large) for flags in variants]
    assert len(set(cids)) == len(cids)
    small = folder / "a" / "b" / "small"
    assert root_of(terminal, "-n", "--inline", small).startswith("bafkq")
    assert root_of(terminal, "-n", "--inline", "--inline-limit=4", small) == str(SMALL)
