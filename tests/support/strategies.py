"""Strategies that several test modules share."""

from __future__ import annotations

from hypothesis import strategies as st


def octets(max_size: int, min_size: int = 0) -> st.SearchStrategy[bytes]:
    """
    Draw bytes as `st.binary` does.

    Hypothesis files its choices in one cache: under ``python -bb`` it fails when b"" meets 0 or ""
    there, which have the same hash. So the choice that is filed is never empty.
    """
    return st.binary(min_size=min_size + 1, max_size=max_size + 1).map(lambda raw: raw[1:])
