"""
Request filters: which peer may get which block.

The server asks its filter for each want that arrives; `BitswapClient.refilter` has it asked again
for the wants in the ledger. A denied want is answered as if the block were not here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import MAX_DENYLIST_BYTES, MAX_FILTER_DECISIONS
from libp2p.bitswap.errors import DenylistError
from libp2p.bitswap.serve.denylist import Denylist
from libp2p.ipld.cid import CID
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.bitswap.wire.entry import WantType
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID

logger = get_logger(__name__)


class RequestFilter(Protocol):
    """A function or a coroutine function; if it raises, the want is denied."""

    def __call__(self, peer_id: ID, cid: CID, want_type: WantType) -> bool | Awaitable[bool]:
        """Return whether a peer may get a block, and may learn that it is here."""


class AllowList:
    """
    Lets each peer have the blocks that it was allowed, and no others.

    :param others: True if a peer that was never named may get all blocks; else it gets none.
    """

    def __init__(self, *, others: bool = False) -> None:
        self._others = others
        self._allowed: dict[ID, set[bytes] | None] = {}

    def allow(self, peer_id: ID, cids: Iterable[CIDInput] | None = None) -> None:
        """Let a peer have these blocks too, under any version and codec; None for all blocks."""
        if cids is None:
            self._allowed[peer_id] = None
        elif (allowed := self._allowed.setdefault(peer_id, set())) is not None:
            allowed.update(CID.of(cid).multihash for cid in cids)

    def revoke(self, peer_id: ID) -> None:
        """Deny all blocks to a peer from now on."""
        self._allowed[peer_id] = set()

    def __call__(self, peer_id: ID, cid: CID, want_type: WantType) -> bool:
        if peer_id not in self._allowed:
            return self._others
        allowed = self._allowed[peer_id]
        return allowed is None or cid.multihash in allowed


@dataclass(frozen=True)
class DenylistReport:
    """The result of `DenylistFiles.reload`."""

    rules: int
    """Rules that concern blocks, in all files."""
    added: int
    """Rules that deny something and are new."""
    removed: int
    """Rules of before that deny nothing any more."""
    passed_over: int
    """Rules for paths and names, which deny no block."""
    invalid: int
    """Lines that are not rules; with ``strict`` they are an error."""


class DenylistFiles:
    """
    Denies to all peers the blocks that the denylists in some files deny; see `Denylist`.

    Everything is denied before the first `reload`.

    :param paths: files in the compact denylist format; later ones override earlier ones.
    :param strict: False to log lines that are not rules as a warning and to pass over them. The
        content that they were meant to deny is served then.
    """

    def __init__(self, *paths: str | Path, strict: bool = True) -> None:
        self._paths = [Path(path) for path in paths]
        self._strict = strict
        self._read_at_all = False
        self.denylist = Denylist()

    async def reload(self) -> DenylistReport:
        """
        Read the files again. If reading fails, the rules stay as they are.

        :raises OSError: if a file cannot be read.
        :raises DenylistError: if a line is not a rule, or a file is too large; it names the line.
        """
        self.denylist, report = await trio.to_thread.run_sync(self._read, self.denylist)
        self._read_at_all = True
        if report.invalid:
            logger.warning("passed over in denylists: %s", self.denylist.invalid_lines)
        return report

    def _read(self, before: Denylist) -> tuple[Denylist, DenylistReport]:
        denylist = Denylist(strict=self._strict)
        for path in self._paths:
            if path.stat().st_size > MAX_DENYLIST_BYTES:
                raise DenylistError(f"{path} is larger than {MAX_DENYLIST_BYTES} bytes")
            try:
                denylist.add(path.read_text(encoding="utf-8", errors="replace"))
            except DenylistError as error:
                raise DenylistError(f"{path}: {error}") from error
        old, new = before.denied(), denylist.denied()
        return denylist, DenylistReport(
            len(denylist), len(new - old), len(old - new), denylist.passed_over, denylist.invalid
        )

    def __call__(self, peer_id: ID, cid: CID, want_type: WantType) -> bool:
        if not self._read_at_all:
            raise DenylistError("the denylists were not read: call reload() before serving")
        return not self.denylist.denies(cid)


class AllOf:
    """Lets a peer have the blocks that each of several filters lets it have."""

    def __init__(self, *filters: RequestFilter) -> None:
        self._filters = filters

    async def __call__(self, peer_id: ID, cid: CID, want_type: WantType) -> bool:
        for part in self._filters:
            allowed = part(peer_id, cid, want_type)
            if not (await allowed if isawaitable(allowed) else allowed):
                return False
        return True


class Remembered:
    """
    Remembers the decisions of a slow filter for each peer, CID and want type.

    :param limit: how many decisions; the one that was used longest ago is forgotten first.
    """

    def __init__(self, slow: RequestFilter, limit: int = MAX_FILTER_DECISIONS) -> None:
        self._slow = slow
        self._limit = limit
        self._decisions: OrderedDict[tuple[ID, CID, WantType], bool] = OrderedDict()

    def forget(self) -> None:
        """Forget all decisions, so that the slow filter is asked again."""
        self._decisions.clear()

    async def __call__(self, peer_id: ID, cid: CID, want_type: WantType) -> bool:
        key = (peer_id, cid, want_type)
        known = self._decisions.get(key)
        if known is not None:
            self._decisions.move_to_end(key)
            return known
        allowed = self._slow(peer_id, cid, want_type)
        decided = bool(await allowed if isawaitable(allowed) else allowed)
        self._decisions[key] = decided
        if len(self._decisions) > self._limit:
            self._decisions.popitem(last=False)
        return decided
