"""A heap whose items may be dropped or given another key (sans-I/O)."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Any, Final, Generic, TypeVar

#: Entries that are out of date stay in the heap until they come up; it is rebuilt when they are
#: more than the live ones and than this.
HEAP_SLACK: Final = 64

_T = TypeVar("_T")


class LazyHeap(Generic[_T]):
    """
    Items by key, the smallest first; of equal keys the one that was pushed first.

    An item is in the heap once at most. Dropping one costs as much as a dict does: its entry is
    passed over when it comes up.
    """

    __slots__ = ("_count", "_entries", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[Any, int, _T]] = []
        self._count = 0
        self._entries: dict[_T, tuple[Any, int, _T]] = {}  # those of the heap that count

    def __len__(self) -> int:
        """Count the items."""
        return len(self._entries)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __contains__(self, item: _T) -> bool:
        return item in self._entries

    def __iter__(self) -> Iterator[_T]:
        """Go over the items, in no order."""
        return iter(self._entries)

    def key_of(self, item: _T) -> Any:
        """Return the key of an item; None if it is not in the heap."""
        entry = self._entries.get(item)
        return None if entry is None else entry[0]

    def push(self, item: _T, key: Any) -> None:
        """Enter an item, or give it another key."""
        self._count += 1
        entry = key, self._count, item
        if item in self._entries:
            self._tidy()
        self._entries[item] = entry
        heappush(self._heap, entry)

    def discard(self, item: _T) -> None:
        """Drop an item; it is no error if it is not in the heap."""
        if self._entries.pop(item, None) is not None:
            self._tidy()

    def first(self) -> tuple[Any, _T] | None:
        """Return the key and the item that `pop` removes next; None if the heap is empty."""
        heap, entries = self._heap, self._entries
        while heap:
            entry = heap[0]
            if entries.get(entry[2]) is entry:
                return entry[0], entry[2]
            heappop(heap)
        return None

    def pop(self) -> _T:
        """
        Remove and return the item with the smallest key.

        :raises IndexError: if the heap is empty.
        """
        while True:
            entry = heappop(self._heap)
            item = entry[2]
            if self._entries.get(item) is entry:
                del self._entries[item]
                self._tidy()
                return item

    def clear(self) -> None:
        """Drop all items."""
        self._heap.clear()
        self._entries.clear()

    def _tidy(self) -> None:
        if not self._entries:
            # An item that was dropped may refer to the owner of this heap: only the garbage
            # collector would free the two.
            self._heap.clear()
        elif len(self._heap) > 2 * len(self._entries) + HEAP_SLACK:
            self._heap = list(self._entries.values())
            heapify(self._heap)
