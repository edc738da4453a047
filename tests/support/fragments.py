"""Splitting bytes the way networks do: anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libp2p.base_types import Buffer

#: Sizes of the pieces that a byte string arrives in; the rest comes in one piece.
piece_sizes = st.lists(st.integers(min_value=1, max_value=80), max_size=40)


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[Buffer]:
    """Yield ``data`` in pieces of ``sizes``, every second one as a view."""
    offset = 0
    for index, size in enumerate(sizes):
        if offset >= len(data):
            return
        piece = data[offset : offset + size]
        yield memoryview(piece) if index % 2 else piece
        offset += size
    if offset < len(data):
        yield data[offset:]
