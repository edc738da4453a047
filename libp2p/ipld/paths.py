"""
Follows paths through blocks of any codec (sans-I/O): folders of UnixFS, then maps, lists and links.

``<CID>/docs/0/title``: in a folder, sharded or not, a name is that of an entry; in other dag-pb, of
a link; in the data model, of a key of a map or a place in a list. A link leads into its block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from libp2p.exceptions import NameNotInDirectory, NotADirectory
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import DAG_PB, RAW
from libp2p.ipld.directory import NameLookup
from libp2p.ipld.file_node import Kind, kind_of
from libp2p.ipld.node import Node
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.hamt_edit import Steps


class Place(NamedTuple):
    """Where a path leads to."""

    cid: CID
    """The block."""
    rest: tuple[str, ...]
    """The path inside of the block; empty for the block itself."""
    value: Any
    """What is there, in the data model; None if the block itself was not to be read."""


def names_in(path: str) -> list[str]:
    """
    Return the names in a path, which slashes divide.

    :raises WrongArgumentType: if it is no text.
    """
    arguments.instance(path, str, "the path")
    return [name for name in path.split("/") if name]


def follow(root: CID, names: Sequence[str], *, read: bool) -> Steps[Place]:
    """
    Follow a path; symbolic links are not followed.

    :param read: also read the block that the path leads to, if it leads to a whole one.
    :raises NameNotInDirectory: if a folder, map or list has no such entry.
    :raises NotADirectory: if something else is to have an entry.
    :raises UnknownCodec: if a block on the way is in a codec that cannot be read.
    :raises ParseError: if one is not in the codec that its CID says.
    """
    cid, done = root, 0
    while read or done < len(names):
        [block] = yield [cid]
        if done < len(names) and cid.codec_code in (DAG_PB, RAW):
            cid = yield from _entry(cid, block, names[done])
            done += 1
            continue
        value = Node.read(cid, bytes(block)).model
        start = done
        while done < len(names) and not isinstance(value, CID):
            value = _step(value, names[done])
            done += 1
        if not isinstance(value, CID) or (done == start == len(names)):
            return Place(cid, tuple(names[start:done]), value)
        if done == start:
            raise NotADirectory(f"{cid} is nothing but a link, which no path leads through")
        cid = value
    return Place(cid, (), None)


def _entry(cid: CID, block: Buffer, name: str) -> Steps[CID]:
    """Return what a name in a block of dag-pb leads to."""
    if cid.codec_code == DAG_PB and kind_of(Block(cid, bytes(block))) is Kind.OTHER:
        for link in Node.read(cid, bytes(block)).value.links:
            if link.name == name:
                target: CID = link.cid
                return target
        raise NameNotInDirectory(f"no link of {cid} is called {name!r:.200}")
    lookup = NameLookup(cid, name)
    found = lookup.take(block)
    while found is None:
        [block] = yield [lookup.wanted]
        found = lookup.take(block)
    return found.cid


def _step(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        if name not in value:
            raise NameNotInDirectory(f"{name!r:.200} is not a key of the map")
        return value[name]
    if isinstance(value, list):
        is_place = name.isascii() and name.isdigit() and len(name) < len(str(len(value))) + 9
        if not is_place or int(name) >= len(value):
            raise NameNotInDirectory(f"{name!r:.200} is no place in the list of {len(value)}")
        return value[int(name)]
    raise NotADirectory(f"{name!r:.200} cannot be in a {type(value).__name__}")
