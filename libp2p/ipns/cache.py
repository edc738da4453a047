"""What names stand for, kept as long as their owners allow (sans-I/O)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from libp2p.ipns.config import MAX_CACHED_NAMES
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.ipns.path import ContentPath


class NameCache:
    """
    The latest path of each name; of too many, those that were used last are kept.

    :param capacity: names that are kept.
    """

    def __init__(self, capacity: int = MAX_CACHED_NAMES) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[ContentPath, tuple[ContentPath, float]] = OrderedDict()

    def __repr__(self) -> str:
        return shown(self, lambda: f"{len(self)} names")

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: ContentPath, now: float) -> tuple[ContentPath, float] | None:
        """Return what a name stands for, and for how many seconds more; None if it is not known."""
        found = self._entries.get(name)
        if found is None:
            return None
        target, until = found
        if now >= until:
            del self._entries[name]
            return None
        self._entries.move_to_end(name)
        return target, until - now

    def put(self, name: ContentPath, target: ContentPath, ttl: float, now: float) -> None:
        """Keep what a name stands for, for ``ttl`` seconds."""
        self._entries.pop(name, None)
        if ttl > 0 and self._capacity:
            self._entries[name] = target, now + ttl
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)

    def forget(self, name: ContentPath) -> None:
        """Drop what a name stood for; its owner has just changed it."""
        self._entries.pop(name, None)
