"""
Changes a file: only the leaves that are written to, and their parents, become new blocks.

What is added at the end grows the tree as Kubo grows it, in the shape of a trickle DAG: leaves
below the root first, then groups of `GROUP` deeper trees. The order of steps decides the CID.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidUnixFS
from libp2p.ipld.chunker import parse_chunker
from libp2p.ipld.dag_pb import PBLink
from libp2p.ipld.unixfs import DataType, Mtime, UnixFSData
from libp2p.mfs.workspace import VERSION_0, Format, Node, Step, Workspace

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID

#: Kubo's ``DefaultLinksPerBlock``: what is written is not laid out by the profile's number.
MAX_LEAVES: Final = 174
#: Trees of each depth.
GROUP: Final = 4
#: Kubo copies 32 KiB at a time and writes them out when they are more than 2 MiB. The last chunk
#: before that is short, so this number is in the CID.
FLUSH_BYTES: Final = 2 * 1024 * 1024 + 32 * 1024
#: Holes are filled with zeros in blocks of this size.
HOLE_CHUNK_BYTES: Final = 4096
#: A longer hole is refused: its links alone would take a gigabyte of memory.
MAX_HOLE_BYTES: Final = 64 * 1024**3


class _Below(NamedTuple):
    link: PBLink
    file_size: int


class _Growing:
    """A node to which children are added."""

    def __init__(self, message: UnixFSData, links: tuple[PBLink, ...], form: Format) -> None:
        self.message = message
        self.form = form
        self.children = [
            _Below(link, size) for link, size in zip(links, message.blocksizes, strict=True)
        ]

    @property
    def file_size(self) -> int:
        return len(self.message.data or b"") + sum(child.file_size for child in self.children)

    def place(self, most: int) -> tuple[int, int]:
        """Return the depth of the group that is filled now, and how many trees it has."""
        deeper = len(self.children) - most
        return (0, 0) if deeper < 0 else (deeper // GROUP + 1, deeper % GROUP)

    def commit(self, workspace: Workspace) -> _Below:
        sizes = tuple(child.file_size for child in self.children)
        message = self.message._replace(filesize=self.file_size, blocksizes=sizes)
        links = tuple(child.link for child in self.children)
        cid, dag_size = workspace.put_node(message, links, self.form)
        return _Below(PBLink(cid, "", dag_size), self.file_size)


class FileEditor:
    """
    One file that is being written; `finish` returns its new CID.

    Methods are generators, see `workspace`.
    """

    def __init__(
        self,
        workspace: Workspace,
        root: CID,
        *,
        raw_leaves: bool,
        chunker: str = "size-262144",
        now: Mtime | None = None,
    ) -> None:
        """
        :param raw_leaves: new leaves are raw.
        :param now: the new time of a file that has one.
        """
        self._workspace = workspace
        self.root = root
        self._form = Format.of(root)
        self._raw_leaves = raw_leaves
        self._chunker = chunker
        self._now = now
        self._position = 0
        self._pending = bytearray()
        self._changed = False

    def size(self) -> Step[int]:
        """Return the bytes of the file."""
        yield from self._flush()
        node = yield from self._workspace.read(self.root)
        return node.file_size

    def seek(self, offset: int) -> Step[None]:
        """Write at this offset next; a file that is shorter is filled with zeros."""
        size = yield from self.size()
        if offset > size:
            yield from self._add_hole(offset - size)
        self._position = offset

    def write(self, data: memoryview) -> Step[None]:
        """Write bytes where the last ones ended."""
        while data:
            taken = FLUSH_BYTES - len(self._pending)
            self._pending += data[:taken]
            data = data[taken:]
            if len(self._pending) == FLUSH_BYTES:
                yield from self._flush()

    def truncate(self, size: int) -> Step[None]:
        """Cut the file to a size, or fill it up with zeros."""
        now = yield from self.size()
        if size >= now:
            yield from self._add_hole(size - now)
            return
        self.root = (yield from self._cut(self.root, size)).link.cid
        self._changed = True

    def finish(self) -> Step[CID]:
        """Return the CID of the file; a lone raw leaf is the file itself."""
        yield from self._flush()
        node = yield from self._workspace.read(self.root)
        message = node.message
        if message is None:
            return self.root
        if self._changed and message.mtime is not None and self._now is not None:
            message = message._replace(mtime=self._now)
            self.root, _ = self._workspace.put_node(message, node.links, Format.of(self.root))
        if self._raw_leaves and len(node.links) == 1 and not message.mode and message.mtime is None:
            only = yield from self._workspace.read(node.links[0].cid)
            if only.message is None:
                self.root = only.cid
        return self.root

    # -- in place -----------------------------------------------------------------------------

    def _flush(self) -> Step[None]:
        data, self._pending = memoryview(bytes(self._pending)), bytearray()
        if not data:
            return
        size = (yield from self._workspace.read(self.root)).file_size
        inside = data[: max(0, size - self._position)]
        if inside:
            self.root = yield from self._overwrite(self.root, self._position, inside)
        beyond = data[len(inside) :]
        if beyond:
            chunker = parse_chunker(self._chunker)
            chunks = [bytes(chunk) for chunk in (*chunker.feed([beyond]), *chunker.finish())]
            yield from self._append(chunks)
        self._position += len(data)
        self._changed = True

    def _overwrite(self, cid: CID, start: int, data: memoryview) -> Step[CID]:
        """Write over bytes that are there; ``start`` counts from the beginning of the node."""
        node = yield from self._workspace.read(cid)
        own = len(node.data)
        written = data[: max(0, own - start)]
        content = node.data
        if written:
            content = b"".join((node.data[:start], written, node.data[start + len(written) :]))
        if node.message is None:
            if len(written) < len(data):
                raise InvalidUnixFS(f"{cid} has fewer bytes than the node above says")
            return self._workspace.put(bytes(content), "raw", Format.of(cid))
        message, links = node.file_message(), list(node.links)
        data, start, position = data[len(written) :], start + len(written), own
        for index, size in enumerate(message.blocksizes):
            part = data[: max(0, position + size - start)]
            if part:
                link = links[index]
                new = yield from self._overwrite(link.cid, start - position, part)
                links[index] = link._replace(cid=new)
                data, start = data[len(part) :], start + len(part)
            position += size
        if data:
            raise InvalidUnixFS(f"{cid} has fewer bytes than the node above says")
        if content is not node.data:
            message = message._replace(data=content)
        return self._workspace.put_node(message, tuple(links), Format.of(cid))[0]

    def _cut(self, cid: CID, size: int) -> Step[_Below]:
        node = yield from self._workspace.read(cid)
        kept = node.data[:size]
        if node.message is None:
            new = self._workspace.put(bytes(kept), "raw", Format.of(cid))
            return _Below(PBLink(new, "", size), size)
        message = node.file_message()
        if message.data is not None:
            message = message._replace(data=kept)
        if not node.links:
            # Kubo forgets the format of a leaf that it cuts.
            return _Growing(message, (), VERSION_0).commit(self._workspace)
        growing = _Growing(message, node.links, Format.of(cid))
        children, growing.children = growing.children, []
        position = len(node.data)
        while size >= position + children[0].file_size:
            position += children[0].file_size
            growing.children.append(children.pop(0))
        # Kubo keeps a child of no bytes where the cut is between two.
        cut = yield from self._cut(children[0].link.cid, max(0, size - position))
        growing.children.append(cut)
        return growing.commit(self._workspace)

    # -- at the end ---------------------------------------------------------------------------

    def _add_hole(self, size: int) -> Step[None]:
        if not size:
            return
        if size > MAX_HOLE_BYTES:
            raise InvalidUnixFS(f"{size} bytes of zeros are too many to write")
        whole, rest = divmod(size, HOLE_CHUNK_BYTES)
        yield from self._append([bytes(HOLE_CHUNK_BYTES)] * whole + [bytes(rest)] * bool(rest))
        self._changed = True

    def _append(self, chunks: list[bytes]) -> Step[None]:
        node = yield from self._workspace.read(self.root)
        raw_leaves = self._raw_leaves
        if node.message is None:
            size = len(node.data)
            message = UnixFSData(DataType.FILE, blocksizes=(size,))
            top = _Growing(message, (PBLink(self.root, "", size),), self._form)
            raw_leaves = True
        else:
            top = _Growing(node.file_message(), node.links, Format.of(self.root))
        grower = _Grower(self._workspace, self._form, raw_leaves, deque(chunks))
        yield from grower.grow(top)
        self.root = top.commit(self._workspace).link.cid


class _Grower:
    """Adds chunks to a tree; steps and so shapes are those of Kubo's ``trickle.Append``."""

    def __init__(
        self, workspace: Workspace, form: Format, raw_leaves: bool, chunks: deque[bytes]
    ) -> None:
        self._workspace = workspace
        self._form = form
        self._raw_leaves = raw_leaves
        self._chunks = chunks

    def grow(self, top: _Growing) -> Step[None]:
        depth, count = top.place(MAX_LEAVES)
        if depth == 0:
            self._add_leaves(top)
            depth = 1
        yield from self._fill_last(top, depth - 1, count)
        self._add_groups(top, depth + 1, None)

    def _fill_last(self, node: _Growing, depth: int, count: int) -> Step[None]:
        """Continue the last tree below a node, then its group."""
        if len(node.children) <= MAX_LEAVES or not self._chunks:
            return
        last = yield from self._workspace.read(node.children[-1].link.cid)
        if last.message is None:
            return  # of another layout: new trees come after it
        child = _Growing(last.file_message(), last.links, Format.of(last.cid))
        yield from self._grow_below(child, depth - 1)
        node.children[-1] = child.commit(self._workspace)
        while count and count < GROUP and self._chunks:
            node.children.append(self._new_tree(depth))
            count += 1

    def _grow_below(self, node: _Growing, limit: int) -> Step[None]:
        if limit == 0:
            return
        depth, count = node.place(MAX_LEAVES)
        if depth == 0:
            self._add_leaves(node)
            depth = 1
        if depth == limit:
            return
        yield from self._fill_last(node, depth, count)
        self._add_groups(node, depth + 1, limit)

    def _add_groups(self, node: _Growing, depth: int, limit: int | None) -> None:
        while self._chunks and (limit is None or depth < limit):
            for _ in range(GROUP):
                if self._chunks:
                    node.children.append(self._new_tree(depth))
            depth += 1

    def _new_tree(self, depth: int) -> _Below:
        node = _Growing(UnixFSData(DataType.FILE), (), self._form)
        self._add_leaves(node)
        self._add_groups(node, 1, depth)
        return node.commit(self._workspace)

    def _add_leaves(self, node: _Growing) -> None:
        while self._chunks and len(node.children) < MAX_LEAVES:
            chunk = self._chunks.popleft()
            if self._raw_leaves:
                cid, size = self._workspace.put(chunk, "raw", self._form), len(chunk)
            else:
                leaf = UnixFSData(DataType.RAW, chunk, len(chunk))
                cid, size = self._workspace.put_node(leaf, (), self._form)
            node.children.append(_Below(PBLink(cid, "", size), len(chunk)))


def with_metadata(workspace: Workspace, node: Node, mode: int | None, mtime: Mtime | None) -> CID:
    """Return a file or directory of another mode or time; None keeps what it has."""
    form, message = Format.of(node.cid), node.message
    if message is None:
        # Kubo makes a node of version 0 around a raw file.
        form, message = VERSION_0, UnixFSData(DataType.FILE, node.data or None, len(node.data))
    if mode is not None:
        message = message._replace(mode=mode)
    if mtime is not None:
        message = message._replace(mtime=mtime)
    return workspace.put_node(message, node.links, form)[0]
