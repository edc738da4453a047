"""
Fetches the blocks of one file ahead of its reader, into a walk over the file.

The walk decides, synchronously, which blocks come next. They are looked for in the store, and asked
of peers if they are not there; a block that comes goes into the walk in the call that delivers it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from libp2p.bitswap.errors import not_here
from libp2p.blockstore import read_blocks
from libp2p.blockstore.reading import damage_of
from libp2p.exceptions import BaseLibp2pError, first_few
from libp2p.io.waiter import Waiter
from libp2p.ipfs_lite.errors import PeerClosedError
from libp2p.ipfs_lite.read_ahead import WINDOW_BYTES, ReadAhead
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import RAW
from libp2p.ipld.file_walk import FileWalk

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.bitswap.errors import BitswapError, BlockUnavailableError
    from libp2p.bitswap.fetch.session import BitswapSession
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CIDInput
    from libp2p.resources import Scope

#: Is told of a block that is asked for: where it is in its file, and its length there.
Asking: TypeAlias = "Callable[[CID, int, int], object]"
#: For files of tiny chunks: as many wants as a server keeps for one peer.
WINDOW_BLOCKS: Final = 1024
#: The speed of a reader is computed anew after so many bytes.
STEP_BYTES: Final = 16 * 1024


class BlockSource:
    """
    Where the blocks of a file come from: the store, or else a bitswap session.

    :param session: gives and stores what is not in the store; None for a peer without a network.
    :param timeout: the longest time without any block, in seconds.
    :param closed: called by `close`.
    :param lent: the session is another source's, and goes on after `close`.
    :param asking: called with each raw block that peers are about to be asked for, its place in the
        file and its length there.
    """

    def __init__(
        self,
        store: BlockStore,
        session: BitswapSession | None,
        timeout: float,
        closed: Callable[[], object] | None = None,
        lent: bool = False,
        asking: Asking | None = None,
    ) -> None:
        self._closed = closed
        self._asking = asking
        self._store = store
        self._lent = lent
        self._damaged: set[CID] = set()
        self.session: Final = session
        self.timeout: Final = timeout

    async def find(self, cids: Sequence[CID]) -> Sequence[bytes | None]:
        """Return the blocks that are here, None for the others."""
        if self.session is not None:
            return await self.session.find_here(cids)
        blocks, self._damaged = await read_blocks(self._store, cids)
        return blocks

    async def fetch(self, cids: Sequence[CID]) -> list[bytes]:
        """
        Return blocks, from here or else from peers.

        :raises BitswapError: if one cannot be had.
        """
        if self.session is not None:
            blocks = self.session.get_blocks(cids, timeout=self.timeout)
            got = {cid.multihash: data async for cid, data in blocks}
            return [got[cid.multihash] for cid in cids]
        found = []
        for cid, data in zip(cids, await self.find(cids), strict=True):
            if data is None:
                raise self._not_here(cid)
            found.append(data)
        return found

    async def stream(self, cids: Iterable[CIDInput]) -> AsyncGenerator[tuple[CID, bytes], None]:
        """Yield CIDs with their blocks in order; peers are asked ahead. Raises as `fetch` does."""
        if self.session is None:
            for cid in map(CID.of, cids):
                [data] = await self.fetch([cid])
                yield cid, data
            return
        async for found in self.session.get_blocks(cids, timeout=self.timeout, ordered=True):
            yield found

    def ask(self, cids: Sequence[CID], waiter: FileFetch) -> BitswapSession:
        """
        Ask the session for blocks that were not found.

        :raises BlockUnavailableError: if there is no network; it says whether a copy is damaged.
        """
        if self.session is None:
            raise self._not_here(cids[0])
        if self._asking is not None:
            for cid in cids:
                for offset, size in waiter.places(cid) if cid.codec_code == RAW else ():
                    self._asking(cid, offset, size)
        self.session.ask(cids, waiter)
        return self.session

    def _not_here(self, cid: CID) -> BlockUnavailableError:
        return not_here(cid, damage_of(self._store, cid, self._damaged))

    def describe(self) -> str:
        """Say where the blocks came from, until `close`."""
        if self.session is None or not self.session.stats.blocks_received:
            return "from the store"
        stats = self.session.stats
        peers = first_few(map(str, self.session.active_peers)) or "peers that have gone"
        return f"{stats.blocks_received} blocks of {stats.data_received} bytes from {peers}"

    def lend(self) -> BlockSource:
        """Return a source that reads with the same session, and leaves it open."""
        return BlockSource(self._store, self.session, self.timeout, lent=True)

    def close(self) -> None:
        """Ask for nothing more."""
        if self._closed is not None:
            self._closed()
        if self.session is not None and not self._lent:
            self.session.close()


class FileFetch:
    """
    The fetching of one file; a waiter of the session (`BlockWaiter`).

    `start` begins anew at another place, which ends what was asked for the place before.
    """

    def __init__(
        self,
        cid: CID,
        source: BlockSource,
        nursery: trio.Nursery,
        scope: Scope,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        """:param scope: what is held ahead of the reader, and by the block that it reads."""
        self.cid: Final = cid
        self.source: Final = source
        self._nursery = nursery
        self._ahead = ReadAhead(scope, trio.current_time(), window_bytes)
        self._unnoted = 0
        self._left = 0  # bytes of the block that the reader has not read to its end
        self._found_sizes: dict[bytes, Sequence[int]] = {}
        # CIDs that peers were asked for, by the multihashes that the session knows them by.
        self._asked: dict[bytes, list[CID]] = {}
        self._arrived = Waiter()
        self._arrived_at = 0.0
        self._ended = False
        self.start(0)

    def seek(self, position: int) -> None:
        """Fetch from another place on."""
        self._ahead.sought(self._walk.ready + self._walk.waiting_bytes)
        self.start(position)

    def start(self, position: int, end: int | None = None) -> None:
        """Fetch from a place in the file on; what was asked for another place is taken back."""
        self._take_back()
        self._walk = FileWalk(
            self.cid,
            position,
            end,
            window_blocks=WINDOW_BLOCKS,
            window_bytes=1,
            sizes=self._found_sizes,
        )
        self._left = 0
        self._error: Exception | None = None
        # Ask again when half of what was asked for has come: fewer and larger batches.
        self._ask_again_at = 0

    def end(self) -> None:
        """Fetch nothing more, and hold nothing; whoever waits is woken."""
        self._ended = True
        self.start(0)  # drops what the old walk holds
        self._arrived.wake()

    # -- for the reader -------------------------------------------------------------------------

    @property
    def size(self) -> int | None:
        """The size of the file, None before its root has come."""
        return self._walk.size

    @property
    def position(self) -> int:
        """Where in the file the bytes begin that are taken next."""
        return self._walk.position

    @property
    def done(self) -> bool:
        """True once all bytes of the file have been taken."""
        return self._walk.done

    @property
    def error(self) -> Exception | None:
        """What the fetch has failed with."""
        return self._error

    @property
    def window(self) -> int:
        """How many bytes ahead of the reader are of use."""
        return self._ahead.window

    def reads(self, size: int) -> None:
        """Note that the reader wants ``size`` bytes more than it has taken."""
        self._ahead.reads(size)

    async def wait(self) -> None:
        """
        Wait until something has come.

        :raises Exception: what the fetch has failed with.
        """
        if self._error is not None:
            # A reader that is cancelled together with the peer is not told that the peer has ended.
            await trio.lowlevel.checkpoint_if_cancelled()
            raise self._error
        await self._arrived.wait()

    def take(self, limit: int) -> list[Buffer]:
        """Take about ``limit`` bytes that have come; none if the next ones have not."""
        self.ask_ahead()
        if buffers := self._walk.take(limit):
            size = sum(map(len, buffers))
            self._ahead.took(size)
            self._left = max(size - limit, 0)
            self.ask_ahead()  # there is room in the window again
        return buffers

    def consumed(self, size: int, left: int) -> None:
        """
        Note that the reader has read ``size`` bytes, with ``left`` more of the block at hand.

        The speed is not computed at every small step: that would cost more than the reading.
        """
        self._left = left
        self._unnoted += size
        if self._unnoted >= STEP_BYTES:
            self._ahead.consumed(self._unnoted, trio.current_time())
            self._unnoted = 0
            self.ask_ahead()

    def nothing_left(self) -> None:
        """Note that the reader has read its block to the end."""
        self._left = 0

    # -- asking ---------------------------------------------------------------------------------

    def ask_ahead(self) -> None:
        """Ask for the next blocks, if there is room for them in the window."""
        if self._error is not None or self._ended:
            return
        walk, ahead = self._walk, self._ahead
        window = ahead.room(self._left)
        walk.set_window(window)
        unasked = window - walk.ready - walk.waiting_bytes
        if walk.waiting <= self._ask_again_at or 4 * unasked >= window + self._left:
            self._ask(walk)
        ahead.hold(self._left, walk.ready + walk.waiting_bytes)

    def _ask(self, walk: FileWalk) -> None:
        try:
            wanted = walk.wanted()
        except BaseLibp2pError as error:  # of a block at hand: what is before it can be read
            self._error = error
            return
        if wanted:
            self._ask_again_at = walk.waiting // 2
            try:
                self._nursery.start_soon(self._fetch, wanted, walk)
            except RuntimeError:  # the nursery has ended with the peer
                self._error = PeerClosedError()

    async def _fetch(self, cids: list[CID], walk: FileWalk) -> None:
        """Supply the walk with the blocks that are here, and ask peers for the others."""
        error: Exception = PeerClosedError()  # if this task is cancelled with the peer
        failed = True
        try:
            found = await self.source.find(cids) if walk is self._walk else ()
            if walk is self._walk and found:
                self._take_found(cids, found)
            failed = False
        except Exception as failure:  # noqa: BLE001 - task's edge: the reader raises it
            error = failure
        finally:
            if failed and walk is self._walk:
                self._fail(error)

    def _take_found(self, cids: Sequence[CID], found: Sequence[bytes | None]) -> None:
        missing: list[CID] = []
        for cid, data in zip(cids, found, strict=True):
            if data is not None:
                self._walk.supply(cid, data)
                self._ahead.arrived(len(data))
            elif (asked := self._asked.get(cid.multihash)) is not None:
                asked.append(cid)  # another name of a block that was asked for
            else:
                self._asked[cid.multihash] = [cid]
                missing.append(cid)
        self._note_arrival()
        if missing:
            session = self.source.ask(missing, self)
            # An earlier time stays; `expire` sets the next one.
            session.limit_time(self, self._arrived_at + self.source.timeout)

    def _take_back(self) -> None:
        asked, self._asked = self._asked, {}
        if asked and (session := self.source.session) is not None:
            session.take_back(list(asked), self)

    def places(self, cid: CID) -> list[tuple[int, int]]:
        """Return where in the file a block belongs that has not come, and its length there."""
        return self._walk.places(cid)

    # -- what comes -----------------------------------------------------------------------------

    def deliver(self, key: bytes, data: bytes) -> None:
        """Take a block that a peer has sent; for the session."""
        try:
            for cid in self._asked.pop(key, ()):
                self._walk.supply(cid, data)
            self._ahead.arrived(len(data))
            self._note_arrival()
        except Exception as error:  # noqa: BLE001 - task's edge: the reader raises it
            self._fail(error)

    def fail(self, key: bytes, error: BitswapError) -> None:
        """Learn that a block does not come; for the session."""
        if self._asked.pop(key, None) is not None:
            self._fail(error)

    def expire(self) -> None:
        """The time is over in which a block had to come, if none has."""
        if not self._asked or self.source.session is None:
            return
        when = self._arrived_at + self.source.timeout
        if when > trio.current_time():
            self.source.session.limit_time(self, when)
        else:
            cid = next(iter(self._asked.values()))[0]
            self._fail(self.source.session.timed_out(cid, self.source.timeout))

    def _note_arrival(self) -> None:
        self._arrived_at = trio.current_time()
        if self._walk.waiting <= self._ask_again_at:
            self.ask_ahead()
        self._arrived.wake()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._take_back()
        self._arrived.wake()
