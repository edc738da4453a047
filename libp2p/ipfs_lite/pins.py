"""The pins of a peer: which blocks stay when `Peer.gc` removes the others."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, get_args

import trio

from libp2p.blockstore import read_blocks
from libp2p.exceptions import InvalidArgument, ParseError, UnknownCodec
from libp2p.ipfs_lite.errors import NotPinnedError
from libp2p.ipfs_lite.operations import DEFAULT_TIMEOUT
from libp2p.ipfs_lite.pin_table import Pin, PinKind
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import RAW
from libp2p.pinning.block_set import BlockSet
from libp2p.pinning.reach import Reach
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.ipfs_lite.adder import Progress
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipfs_lite.operations import Operations
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID

#: Kubo's limit too.
MAX_NAME_BYTES: Final = 255
#: Blocks that are read or fetched at once: 64 MiB at most.
BLOCKS_AT_ONCE: Final = 32
#: Raw blocks that are looked for at once.
LOOKED_FOR_AT_ONCE: Final = 1024
#: Blocks of one pin that `Pins.verify` names.
MAX_BAD_BLOCKS: Final = 1000


class Pins:
    """`Peer.pins`: pins direct and recursive, with names and times at which they expire."""

    def __init__(self, work: Operations) -> None:
        self._work = work
        self._table = work.parts.pins
        self._store = work.parts.store
        self._leases = work.parts.leases

    async def add(
        self,
        cid: CIDInput,
        *,
        recursive: bool = True,
        name: str = "",
        expiry: float | None = None,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        progress: Progress | None = None,
    ) -> Pin:
        """
        Pin a block, by default with all below it; what is not here is fetched first.

        :param name: for people, of 255 bytes at most; without, a name that is there stays.
        :param expiry: Unix seconds after which the pin counts no more.
        :param progress: called with the bytes that were looked at or fetched.
        :raises BitswapError: if a block cannot be had; then nothing is pinned.
        :raises UnknownCodec: if the links of a block cannot be read.
        :raises PinError: if it is pinned recursively and is to be pinned directly.
        """
        root = CID.of(cid)
        check_name(name)
        expiry = _checked_expiry(expiry)
        with self._work.call(), self._leases.hold([root]):
            await self._leases.settled()
            with self._work.open_source(peers, timeout) as source:
                if recursive:
                    await _Fetch(self._store, source, progress).all_below(root)
                elif not root.is_identity:
                    await source.fetch([root])
            await self.note(root, recursive=recursive, name=name, expiry=expiry)
        return Pin(root, "recursive" if recursive else "direct", name, expiry)

    async def note(
        self, root: CID, *, recursive: bool = True, name: str = "", expiry: float | None = None
    ) -> None:
        """Pin what is known to be here, as after an add."""
        await trio.to_thread.run_sync(
            lambda: self._table.put([root], recursive=recursive, name=name, expiry=expiry)
        )

    async def rm(self, cid: CIDInput, *, recursive: bool = True) -> None:
        """
        Remove a pin; the blocks go with the next `Peer.gc`.

        :param recursive: False to remove a direct pin only.
        :raises NotPinnedError: if there is no such pin.
        :raises PinError: if it is recursive and ``recursive`` is False.
        """
        root = CID.of(cid)
        with self._work.call():
            await trio.to_thread.run_sync(lambda: self._table.remove(root, recursive=recursive))

    async def update(
        self,
        start: CIDInput,
        target: CIDInput,
        *,
        unpin: bool = True,
        peers: Iterable[ID] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        progress: Progress | None = None,
    ) -> None:
        """
        Pin ``target`` in place of ``start``, with its name; only blocks that differ are fetched.

        :param unpin: False to keep the pin of ``start`` too.
        :raises PinError: if ``start`` is not pinned recursively, or ``target`` is already.
        :raises BitswapError: if a block cannot be had; then nothing changes.
        """
        old, new = CID.of(start), CID.of(target)
        with self._work.call(), self._leases.hold([new]):
            await trio.to_thread.run_sync(self._table.check_move, old, new)
            await self._leases.settled()
            with self._work.open_source(peers, timeout) as source:
                await _Fetch(self._store, source, progress).all_below(new)
            await trio.to_thread.run_sync(lambda: self._table.move(old, new, unpin=unpin))

    async def find(self, cid: CIDInput, kind: PinKind | None = None) -> Pin:
        """
        Return why a block stays: its own pin, or else a recursive one that it is below.

        :param kind: look for such a pin only.
        :raises NotPinnedError: if there is none.
        """
        wanted = CID.of(cid)
        _check_kind(kind)
        with self._work.call():
            pin = await trio.to_thread.run_sync(self._table.get, wanted)
            if pin is not None and kind in (None, pin.kind):
                return pin
            if kind in (None, "indirect") and (pin is None or pin.kind == "direct"):
                root = await self._root_above(wanted)
                if root is not None:
                    return Pin(wanted, "indirect", through=root)
        raise NotPinnedError(f"path '{wanted}' is not pinned")

    async def ls(self, kind: PinKind | None = None, name: str = "") -> AsyncGenerator[Pin, None]:
        """
        Yield pins in the order in which they were made, recursive ones first; then blocks below.

        :param kind: list pins of this kind only. "indirect" are the blocks below recursive pins.
        :param name: list pins whose names contain this text; indirect ones have none.
        """
        _check_kind(kind)
        arguments.instance(name, str, "name")
        pinned = BlockSet(os.urandom(32))
        kinds: tuple[PinKind, ...] = ("recursive", "direct")
        for own in kinds:
            async with aclosing(self._pins(own)) as pins:
                async for pin in pins:
                    pinned.add(pin.cid.buffer)
                    if kind in (None, own) and name in pin.name:
                        yield pin
        if kind not in (None, "indirect") or name:
            return
        walk = _new_walk()
        async with aclosing(self._pins("recursive")) as pins:
            async for pin in pins:
                async with aclosing(self._below(walk, pin.cid)) as below:
                    async for links in below:
                        for cid in links:
                            if pinned.add(cid.buffer):
                                yield Pin(cid, "indirect", through=pin.cid)

    async def verify(self) -> AsyncGenerator[tuple[Pin, list[tuple[CID, str]]], None]:
        """
        Yield each recursive pin with the blocks below it that are missing or cannot be read.

        Raw blocks are looked for and not read.
        """
        async with aclosing(self._pins("recursive")) as pins:
            async for pin in pins:
                with self._work.call():
                    bad = await self._bad_blocks(pin.cid)
                yield pin, bad

    # -- walks --------------------------------------------------------------------------------

    async def _pins(self, kind: PinKind) -> AsyncGenerator[Pin, None]:
        last = 0
        while rows := await trio.to_thread.run_sync(self._table.batch, last, kind):
            last = rows[-1][0]
            for _, pin in rows:
                yield pin

    async def _below(self, walk: Reach, root: CID) -> AsyncGenerator[list[CID], None]:
        """Yield the blocks below a root that ``walk`` has not reached yet."""
        walk.add([root])
        while nodes := walk.next(BLOCKS_AT_ONCE):
            for cid, data in zip(nodes, (await read_blocks(self._store, nodes))[0], strict=True):
                if data is not None:
                    yield walk.take(cid, data)

    async def _root_above(self, wanted: CID) -> CID | None:
        async with aclosing(self._pins("recursive")) as pins:
            async for pin in pins:
                if await self._is_below(wanted, pin.cid):
                    return pin.cid
        return None

    async def _is_below(self, wanted: CID, root: CID) -> bool:
        async with aclosing(self._below(_new_walk(), root)) as found:
            async for links in found:
                if wanted in links:
                    return True
        return False

    async def _bad_blocks(self, root: CID) -> list[tuple[CID, str]]:
        walk, bad = _new_walk(), list[tuple[CID, str]]()
        found = walk.add([root])
        while len(bad) < MAX_BAD_BLOCKS:
            raw = [cid for cid in found if cid.codec_code == RAW]
            sizes = await self._store.get_sizes([cid.buffer for cid in raw])
            bad += ((c, _MISSING) for c, size in zip(raw, sizes, strict=True) if size is None)
            nodes = walk.next(BLOCKS_AT_ONCE)
            if not nodes:
                break
            found = []
            for cid, data in zip(nodes, (await read_blocks(self._store, nodes))[0], strict=True):
                try:
                    if data is None:
                        bad.append((cid, _MISSING))
                    else:
                        found += walk.take(cid, data)
                except (ParseError, UnknownCodec) as error:
                    bad.append((cid, str(error)))
        return bad[:MAX_BAD_BLOCKS]


_MISSING: Final = "block not found"


class _Fetch:
    """Has all blocks below a root here."""

    def __init__(self, store: BlockStore, source: BlockSource, progress: Progress | None) -> None:
        self._store = store
        self._source = source
        self._progress = progress
        self._bytes = 0

    async def all_below(self, root: CID) -> None:
        walk = _new_walk()
        raw = [cid for cid in walk.add([root]) if cid.codec_code == RAW]
        while True:
            nodes = walk.next(BLOCKS_AT_ONCE)
            for cid, data in zip(nodes, await self._source.fetch(nodes), strict=True):
                self._bytes += len(data)
                raw += (link for link in walk.take(cid, data) if link.codec_code == RAW)
            while len(raw) >= LOOKED_FOR_AT_ONCE or (raw and not nodes):
                await self._raw(raw[:LOOKED_FOR_AT_ONCE])
                del raw[:LOOKED_FOR_AT_ONCE]
            self._tell()
            if not nodes:
                return

    async def _raw(self, cids: list[CID]) -> None:
        sizes = await self._store.get_sizes([cid.buffer for cid in cids])
        self._bytes += sum(size or 0 for size in sizes)
        missing = [cid for cid, size in zip(cids, sizes, strict=True) if size is None]
        for start in range(0, len(missing), BLOCKS_AT_ONCE):
            blocks = await self._source.fetch(missing[start : start + BLOCKS_AT_ONCE])
            self._bytes += sum(map(len, blocks))
            self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._bytes, None)


def _new_walk() -> Reach:
    return Reach(BlockSet(os.urandom(32)))


def _checked_expiry(expiry: float | None) -> float | None:
    return None if expiry is None else arguments.seconds(expiry, "expiry")


def _check_kind(kind: object) -> None:
    kinds = get_args(PinKind)
    if kind is not None and kind not in kinds:
        raise arguments.out_of_range("the kind of a pin", kind, f"one of {', '.join(kinds)}")


def check_name(name: str) -> None:
    """:raises InvalidArgument: if a pin cannot have that name."""
    arguments.instance(name, str, "name")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidArgument("pin name has a lone surrogate, which no text has") from None
    if size > MAX_NAME_BYTES:
        raise InvalidArgument(f"pin name is {size} bytes (max {MAX_NAME_BYTES} bytes)")
