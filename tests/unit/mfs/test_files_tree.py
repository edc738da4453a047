"""The mutable tree against a model: a dictionary of paths and bytes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

import pytest

from libp2p.exceptions import (
    InvalidFilesPath,
    InvalidUnixFS,
    NameNotInDirectory,
    NotADirectory,
    NotAFile,
    PathExists,
)
from libp2p.ipld import dag_pb
from libp2p.ipld.cid import CID
from libp2p.ipld.importer import FileImporter
from libp2p.ipld.profiles import ImportOptions
from libp2p.ipld.unixfs import DataType, Mtime, UnixFSData
from libp2p.mfs import file_editor
from libp2p.mfs.file_editor import FLUSH_BYTES, FileEditor
from libp2p.mfs.tree import FilesPath, Tree
from libp2p.mfs.workspace import Format, Workspace

if TYPE_CHECKING:
    from libp2p.ipld.block import Block
    from libp2p.mfs.workspace import Step

T = TypeVar("T")
P = FilesPath.parse


class Store:
    """Blocks; runs steps over them."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}
        self.asked: list[CID] = []

    def run(self, step: Step[T]) -> T:
        try:
            wanted = next(step)
            while True:
                self.asked.append(wanted)
                wanted = step.send(self.blocks[wanted.multihash])
        except StopIteration as end:
            result: T = end.value
            return result

    def keep(self, blocks: list[Block]) -> list[Block]:
        self.blocks.update((block.cid.multihash, block.data) for block in blocks)
        return blocks

    def add(self, data: bytes, **choices: object) -> CID:
        importer = FileImporter(ImportOptions(**choices))  # type: ignore[arg-type]
        self.keep([*importer.feed([data]), *importer.finish()])
        return importer.root

    def content(self, cid: CID) -> bytes:
        node = self.run(Workspace().read(cid))
        parts = [bytes(node.data)]
        return b"".join(parts + [self.content(link.cid) for link in node.links])


def edited(store: Store, cid: CID, *, raw: bool = True, now: Mtime | None = None) -> FileEditor:
    return FileEditor(Workspace(), cid, raw_leaves=raw, chunker="size-1000", now=now)


def finish(store: Store, editor: FileEditor) -> CID:
    cid = store.run(editor.finish())
    store.keep(editor._workspace.take_new(cid))
    return cid


EMPTY_FILE = UnixFSData(DataType.FILE, filesize=0)


def empty(store: Store, version: int = 1) -> CID:
    workspace = Workspace()
    cid, _ = workspace.put_node(EMPTY_FILE, (), Format(version, "sha2-256"))
    store.keep(workspace.take_new(cid))
    return cid


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("most", [2, 3, 174])
def test_a_walk_of_writes_has_the_bytes_of_a_bytearray(
    monkeypatch: pytest.MonkeyPatch, most: int, raw: bool
) -> None:
    monkeypatch.setattr(file_editor, "MAX_LEAVES", most)
    for seed in range(30):
        chosen = random.Random(seed)
        store, model = Store(), bytearray()
        cid = empty(store, chosen.randrange(2))
        if chosen.random() < 0.5:
            model = bytearray(chosen.randbytes(7000))
            cid = store.add(bytes(model), chunker="size-900", raw_leaves=raw, max_file_links=3)
        for _ in range(25):
            editor = edited(store, cid, raw=raw)
            if chosen.random() < 0.2:
                size = chosen.randrange(12_000)
                store.run(editor.truncate(size))
                model = model[:size] + bytes(max(0, size - len(model)))
            offset = chosen.randrange(len(model) + 2000)
            data = chosen.randbytes(chosen.choice((0, 1, 999, 1000, 1001, 5000)))
            store.run(editor.seek(offset))
            store.run(editor.write(memoryview(data)))
            model += bytes(max(0, offset - len(model)))
            model[offset : offset + len(data)] = data
            cid = finish(store, editor)
            assert store.content(cid) == model
            assert store.run(Workspace().read(cid)).file_size == len(model)


def test_a_write_in_the_middle_makes_its_leaf_and_parents_alone() -> None:
    store = Store()
    data = random.Random(1).randbytes(400_000)
    cid = store.add(data, chunker="size-1000", max_file_links=20)
    editor = edited(store, cid)
    store.asked.clear()
    store.run(editor.seek(200_500))
    store.run(editor.write(memoryview(b"changed")))
    new = store.run(editor.finish())
    made = editor._workspace.take_new(new)
    assert len(made) == 3  # a leaf, its parent, the root
    assert len(set(store.asked)) == 3
    store.keep(made)
    assert store.content(new) == data[:200_500] + b"changed" + data[200_507:]


def test_bytes_in_a_node_with_links_are_written_over() -> None:
    store = Store()
    cid = store.add(b"inline", raw_leaves=False)
    editor = edited(store, cid, raw=False)
    store.run(editor.seek(6))
    store.run(editor.write(memoryview(b"beyond")))
    cid = finish(store, editor)
    editor = edited(store, cid, raw=False)
    store.run(editor.seek(4))
    store.run(editor.write(memoryview(b"NEBE")))
    cid = finish(store, editor)
    assert store.content(cid) == b"inliNEBEyond"
    editor = edited(store, cid, raw=False)
    store.run(editor.truncate(3))
    assert store.content(finish(store, editor)) == b"inl"


def test_many_bytes_are_written_out_at_kubos_boundary() -> None:
    store = Store()
    editor = FileEditor(Workspace(), empty(store), raw_leaves=True, chunker="size-1048576")
    store.run(editor.write(memoryview(bytes(FLUSH_BYTES + 5))))
    cid = store.run(editor.finish())
    sizes = store.run(editor._workspace.read(cid)).file_message().blocksizes
    assert sizes == (1048576, 1048576, 32768, 5)


def test_a_file_with_a_time_gets_a_new_one_only_if_it_changes() -> None:
    store, old, now = Store(), Mtime(5), Mtime(9)
    cid = store.add(b"x" * 10, raw_leaves=False, mtime=old)
    unchanged = finish(store, edited(store, cid, now=now))
    assert unchanged == cid
    editor = edited(store, cid, now=now)
    store.run(editor.write(memoryview(b"y")))
    message = store.run(Workspace().read(finish(store, editor))).message
    assert message is not None
    assert message.mtime == now


def test_a_raw_leaf_to_which_nothing_is_written_stays_the_file() -> None:
    store = Store()
    leaf = store.add(b"leaf", raw_leaves=True)
    assert leaf.codec == "raw"
    assert finish(store, edited(store, leaf)) == leaf
    fresh = Workspace().empty_file(Format(0, "sha2-256"))
    assert str(fresh) == "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"


def test_a_large_identity_node_gets_a_hash() -> None:
    workspace = Workspace()
    assert workspace.put(b"x" * 128, "raw", Format(1, "identity")).is_identity
    assert workspace.put(b"x" * 129, "raw", Format(1, "identity")).hash_name == "sha2-256"
    inline = workspace.put(b"x", "raw", Format(1, "identity"))
    assert workspace.take_new(inline) == []
    assert Store().run(workspace.read(inline)).data == b"x"


def test_what_is_no_file_is_refused() -> None:
    store, workspace = Store(), Workspace()
    cbor = CID.for_block(b"\xa0", "dag-cbor")
    store.blocks[cbor.multihash] = b"\xa0"
    with pytest.raises(NotAFile):
        store.run(workspace.read(cbor))
    directory, _ = workspace.put_node(UnixFSData(DataType.DIRECTORY), (), Format(1, "sha2-256"))
    with pytest.raises(NotAFile):
        store.run(workspace.read(directory)).file_message()
    link = dag_pb.PBLink(directory)
    silent, _ = workspace.put_node(
        UnixFSData(DataType.FILE, filesize=4), (link,), Format(1, "sha2-256")
    )
    with pytest.raises(InvalidUnixFS):
        store.run(workspace.read(silent)).file_message()
    symlink, _ = workspace.put_node(
        UnixFSData(DataType.SYMLINK, b"there"), (), Format(1, "sha2-256")
    )
    assert store.run(workspace.read(symlink)).file_size == 5
    bare = dag_pb.encode(())
    with pytest.raises(InvalidUnixFS):
        store.run(workspace.read(workspace.put(bare, "dag-pb", Format(1, "sha2-256"))))


@pytest.mark.parametrize("raw", [True, False])
def test_a_node_that_states_too_much_is_found_out(raw: bool) -> None:
    store, workspace, form = Store(), Workspace(), Format(1, "sha2-256")
    leaf = store.add(b"four", raw_leaves=raw)
    message = UnixFSData(DataType.FILE, filesize=9, blocksizes=(9,))
    cid, _ = workspace.put_node(message, (dag_pb.PBLink(leaf, "", 4),), form)
    editor = FileEditor(workspace, cid, raw_leaves=True)
    store.run(editor.seek(2))
    store.run(editor.write(memoryview(b"1234")))
    with pytest.raises(InvalidUnixFS):
        store.run(editor.finish())


def test_holes_are_bounded_and_shared() -> None:
    store = Store()
    editor = edited(store, empty(store))
    with pytest.raises(InvalidUnixFS):
        store.run(editor.seek(file_editor.MAX_HOLE_BYTES + 1))
    store.run(editor.seek(100 * 1024 * 1024 + 5))
    assert editor._workspace.new_bytes < 4 * 1024 * 1024
    assert store.run(editor.size()) == 100 * 1024 * 1024 + 5
    store.run(editor.truncate(100 * 1024 * 1024 + 9))
    store.run(editor.truncate(100 * 1024 * 1024 + 9))
    assert store.run(editor.size()) == 100 * 1024 * 1024 + 9


def test_new_trees_come_after_a_last_leaf_of_another_layout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(file_editor, "MAX_LEAVES", 2)
    store = Store()
    cid = store.add(b"abcdefgh", chunker="size-1")
    editor = edited(store, cid)
    store.run(editor.seek(8))
    store.run(editor.write(memoryview(b"ijk")))
    assert store.content(finish(store, editor)) == b"abcdefghijk"


# -- the tree -------------------------------------------------------------------------------------


class Files:
    """A tree whose blocks are stored after each call."""

    def __init__(self, **choices: object) -> None:
        self.store = Store()
        self.tree = Tree(Workspace(), ImportOptions(**choices), None)  # type: ignore[arg-type]

    def __call__(self, step: Step[T]) -> T:
        result = self.store.run(step)
        self.store.keep(self.tree.workspace.take_new(self.tree.root))
        return result

    def names(self, path: str) -> list[str]:
        return sorted(self(self.tree.entries(self(self.tree.find(P(path))))))


@pytest.fixture
def files() -> Files:
    made = Files()
    made(made.tree.mkdir(P("/a/b"), parents=True))
    made(made.tree.put(P("/a/f"), made.store.add(b"file")))
    return made


def test_paths() -> None:
    assert str(P("//a/./b/../c/")) == "/a/c"
    assert P("/a/").in_place("x") == P("/a/x")
    assert P("/a").in_place("x") == P("/a")
    with pytest.raises(InvalidFilesPath):
        P("a")


def test_directories_are_made(files: Files) -> None:
    tree = files.tree
    files(tree.mkdir(P("/a/b"), parents=True))
    for path in ("/a/b", "/a/f"):
        with pytest.raises(PathExists):
            files(tree.mkdir(P(path)))
    with pytest.raises(PathExists):
        files(tree.mkdir(P("/a/f"), parents=True))
    with pytest.raises(NameNotInDirectory):
        files(tree.mkdir(P("/no/b")))
    with pytest.raises(NotADirectory):
        files(tree.mkdir(P("/a/f/x")))
    files(tree.mkdir(P("/v0"), form=Format(0, "sha2-256")))
    assert files(tree.find(P("/v0"))).version == 0
    assert files.names("/") == ["a", "v0"]
    assert files.names("/a") == ["b", "f"]


def test_things_are_put_in_places(files: Files) -> None:
    tree, raw = files.tree, files.store.add(b"other")
    with pytest.raises(PathExists):
        files(tree.put(P("/a/f"), raw))
    with pytest.raises(PathExists):
        files(tree.put(P("/"), raw))
    files(tree.put(P("/a/f"), raw, replaces=True))
    assert files(tree.find(P("/a/f"))) == raw
    with pytest.raises(NotADirectory):
        files(tree.put(P("/a/f/x"), raw, replaces=True))
    with pytest.raises(NotADirectory):
        files(tree.find(P("/a/f/x/y")))


def test_things_are_removed(files: Files) -> None:
    tree = files.tree
    with pytest.raises(InvalidFilesPath):
        files(tree.remove(P("/")))
    with pytest.raises(NotAFile):
        files(tree.remove(P("/a/b")))
    with pytest.raises(NameNotInDirectory):
        files(tree.remove(P("/a/none"), recursive=True))
    files(tree.remove(P("/a/f")))
    files(tree.remove(P("/a"), recursive=True))
    assert tree.root == Files().tree.root


def test_things_are_moved(files: Files) -> None:
    tree = files.tree
    content = files(tree.find(P("/a/f")))
    with pytest.raises(InvalidFilesPath):
        files(tree.move(P("/"), P("/x")))
    with pytest.raises(InvalidFilesPath):
        files(tree.move(P("/a"), P("/a/b/")))
    with pytest.raises(InvalidFilesPath):
        files(tree.move(P("/a"), P("/a/b/c")))
    before = tree.root
    files(tree.move(P("/a/f"), P("/a/f")))
    files(tree.move(P("/a/f"), P("/a/")))
    with pytest.raises(PathExists):  # the directory has it, as in Kubo
        files(tree.move(P("/a/f"), P("/a")))
    assert tree.root == before
    files(tree.move(P("/a/f"), P("/a/b")))
    assert files(tree.find(P("/a/b/f"))) == content
    files(tree.put(P("/f"), files.store.add(b"in the way")))
    files(tree.move(P("/a/b/f"), P("/")))
    assert files.names("/") == ["a", "f"]
    assert files(tree.find(P("/f"))) == content
    files(tree.mkdir(P("/a/b/f")))
    with pytest.raises(PathExists):
        files(tree.move(P("/f"), P("/a/b")))


def test_metadata_and_formats_are_set(files: Files) -> None:
    tree = files.tree
    files(tree.set_metadata(P("/a/f"), mode=0o644))
    node = files(tree.read(P("/a/f")))
    assert (node.cid.version, node.data) == (0, b"file")  # as Kubo
    files(tree.set_metadata(P("/a"), mtime=Mtime(7)))
    files(tree.set_metadata(P("/a"), mode=0o755))
    files(tree.mkdir(P("/a/more")))
    message = files(tree.read(P("/a"))).message
    assert message is not None
    assert (message.mode, message.mtime) == (0o755, Mtime(7))
    files(tree.set_format(P("/a"), Format(0, "sha2-256")))
    assert files(tree.find(P("/a"))).version == 0
    with pytest.raises(NotADirectory):
        files(tree.set_format(P("/a/f"), Format(0, "sha2-256")))
    files(tree.set_metadata(P("/"), mode=0o700))
    assert files(tree.read(P("/"))).is_directory
    files(tree.set_format(P("/a"), Format(1, "identity")))
    assert files.names("/a") == ["b", "f", "more"]


def test_directories_grow_to_shards_and_shrink_back() -> None:
    files = Files(max_directory_links=8)
    tree = files.tree
    raw = files.store.add(b"x")
    roots = []
    for number in range(20):
        roots.append(tree.root)
        files(tree.put(P(f"/{number}"), raw))
    assert files(tree.read(P("/"))).type is DataType.HAMT_SHARD
    assert len(files.names("/")) == 20
    for number in reversed(range(20)):
        files(tree.remove(P(f"/{number}")))
        assert tree.root == roots[number]
