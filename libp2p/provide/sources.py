"""
What is announced: everything, roots, what is pinned, or what the mutable tree has.

`key_source` makes it from a name.

Multihashes are returned in batches, as a store lists them or a DAG is walked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidArgument, ParseError
from libp2p.ipld import dag_pb
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import DAG_PB
from libp2p.ipld.file_node import Kind, kind_of
from libp2p.provide.config import MAX_KEYS, STEP_KEYS
from libp2p.provide.key_table import KeyTable
from libp2p.utils import arguments
from libp2p.utils.closing import ending
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.blockstore.base import BlockStore
    from libp2p.provide.abc import KeySource, Pins

#: Blocks that a walk reads at once.
WALK_BLOCKS: Final = 32

_BASES: Final = ("all", "roots", "pinned", "mfs")
_MODIFIERS: Final = ("unique", "entities")

logger = get_logger(__name__)


class StoredKeys:
    """
    All blocks of a store: the strategy ``all``.

    :param store: must be able to list its blocks.
    """

    def __init__(self, store: BlockStore) -> None:
        self._store = store

    def multihashes(self) -> AsyncIterator[Sequence[bytes]]:
        return self._store.multihash_batches()


class NoKeys:
    """Nothing but what `Provider.start_providing` names."""

    async def multihashes(self) -> AsyncIterator[Sequence[bytes]]:
        nothing: tuple[list[bytes], ...] = ()
        for batch in nothing:
            yield batch


class RootKeys:
    """The roots of what is pinned: the strategy ``roots``."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins

    async def multihashes(self) -> AsyncIterator[Sequence[bytes]]:
        batches = _each([self._pins.recursive, self._pins.direct])
        async with ending(batches):
            async for batch in batches:
                yield [CID.of(cid).multihash for cid in batch]


class PinnedKeys:
    """
    Everything that is pinned, with what is below it: the strategy ``pinned``.

    A block that is not here is left out, and so is what is below it.

    :param store: is read for the links of blocks.
    :param unique: go over what several pins have in common once. It takes 32 bytes for each block;
        without, only the blocks of one pin at a time are remembered.
    :param entities: announce files and directories, and not the blocks that files consist of.
    """

    def __init__(
        self, pins: Pins, store: BlockStore, *, unique: bool = False, entities: bool = False
    ) -> None:
        self._pins = pins
        self._store = store
        self._unique = unique
        self._entities = entities

    async def multihashes(self) -> AsyncIterator[Sequence[bytes]]:
        seen = KeyTable(MAX_KEYS)
        batches = self._pins.direct()
        async with ending(batches):
            async for batch in batches:
                yield [CID.of(cid).multihash for cid in batch]
        batches = self._pins.recursive()
        async with ending(batches):
            async for batch in batches:
                for root in batch:
                    if not self._unique:
                        seen = KeyTable(MAX_KEYS)
                    found = self._below(CID.of(root), seen)
                    async with ending(found):
                        async for some in found:
                            yield some

    async def _below(self, root: CID, seen: KeyTable) -> AsyncIterator[list[bytes]]:
        """Walk a DAG, from the left; the blocks that wait are the siblings on one path."""
        waiting = [root]
        while waiting:
            found: list[bytes] = []
            while waiting and len(found) < STEP_KEYS:
                some = [waiting.pop() for _ in range(min(WALK_BLOCKS, len(waiting)))]
                new = [cid for cid in some if seen.add(cid.multihash)]
                blocks = await self._store.get_blocks([cid.buffer for cid in new])
                for cid, data in zip(new, blocks, strict=True):
                    if data is not None:
                        found.append(cid.multihash)
                        waiting += reversed(self._links_of(Block(cid, data)))
            yield found

    def _links_of(self, block: Block) -> list[CID]:
        if block.cid.codec_code != DAG_PB:
            return []
        try:
            if self._entities and kind_of(block) is Kind.FILE:
                return []
            return [CID.of(link.cid) for link in dag_pb.decode(block.data).links]
        except ParseError as error:
            logger.debug("%s cannot be read for its links: %s", block.cid, error)
            return []


class JoinedPins:
    """What several say is to stay, one after the other."""

    def __init__(self, pins: Sequence[Pins]) -> None:
        self._pins = pins

    def recursive(self) -> AsyncIterator[Sequence[bytes]]:
        return _each([pins.recursive for pins in self._pins])

    def direct(self) -> AsyncIterator[Sequence[bytes]]:
        return _each([pins.direct for pins in self._pins])


class JoinedKeys:
    """What several sources have, one after the other."""

    def __init__(self, sources: Sequence[KeySource]) -> None:
        self._sources = sources

    def multihashes(self) -> AsyncIterator[Sequence[bytes]]:
        return _each([source.multihashes for source in self._sources])


async def _each(
    sources: Sequence[Callable[[], AsyncIterator[Sequence[bytes]]]],
) -> AsyncIterator[Sequence[bytes]]:
    for source in sources:
        batches = source()
        async with ending(batches):
            async for batch in batches:
                yield batch


def key_source(
    strategy: str, store: BlockStore, pins: Pins | None = None, files: Pins | None = None
) -> KeySource:
    """
    Return what a strategy announces; its names are Kubo's.

    ``all`` is every block; ``roots`` the roots of pins, or what a program names itself where there
    are no pins; ``pinned`` all that is below them; ``mfs`` all that is here of the mutable tree.
    ``roots+pinned`` are both. The modifiers ``+unique`` and ``+entities`` of ``pinned`` and ``mfs``
    are those of `PinnedKeys`.

    :param files: has the root of the mutable tree.
    :raises InvalidArgument: if there is no such strategy, or it needs what there is none of.
    """
    if not isinstance(strategy, str):
        raise arguments.wrong_type("strategy", strategy, "a name such as all")
    names = strategy.split("+") if strategy else ["all"]
    bases = [name for name in names if name in _BASES]
    modifiers = {name for name in names if name in _MODIFIERS}
    expected = "all, roots, pinned or mfs, or some of them with +, then +unique or +entities"
    if len(bases) + len(modifiers) != len(names) or len(set(names)) != len(names) or not bases:
        raise arguments.out_of_range("strategy", strategy, expected)
    if "all" in bases and len(names) > 1:
        raise InvalidArgument("the strategy all has everything already: nothing goes with it")
    walked = {"pinned": pins, "mfs": files}
    if modifiers and not walked.keys() & set(bases):
        raise InvalidArgument("+unique and +entities go with the strategies pinned and mfs")
    if "all" in bases:
        return StoredKeys(store)
    sources: list[KeySource] = []
    if "roots" in bases:
        sources.append(NoKeys() if pins is None else RootKeys(pins))
    all_roots: list[Pins] = []
    for name in walked.keys() & set(bases):
        if (roots := walked[name]) is None:
            raise InvalidArgument(f"the strategy {name} needs what it is to announce")
        all_roots.append(roots)
    if all_roots:
        unique, entities = "unique" in modifiers, "entities" in modifiers
        sources.append(PinnedKeys(JoinedPins(all_roots), store, unique=unique, entities=entities))
    return sources[0] if len(sources) == 1 else JoinedKeys(sources)
