"""Reading an exact number of bytes."""

from __future__ import annotations

import pytest

from libp2p.exceptions import IncompleteReadError, StreamEOF, StreamReset
from libp2p.io.utils import read_exactly
from tests.support.immediate import PiecewiseReader, run


def read(reader: PiecewiseReader, count: int) -> bytes:
    return run(read_exactly(reader, count))


def test_pieces_are_put_together_and_nothing_more_is_read() -> None:
    reader = PiecewiseReader([b"ab", b"c", b"defg"])
    assert read(reader, 0) == b""
    assert read(reader, 5) == b"abcde"
    assert read(reader, 2) == b"fg"


@pytest.mark.parametrize("end", [None, StreamEOF("end")])
def test_an_early_end_says_how_much_came(end: Exception | None) -> None:
    with pytest.raises(IncompleteReadError, match="2 of 3") as caught:
        read(PiecewiseReader([b"ab"], end), 3)
    assert (caught.value.expected_bytes, caught.value.received_bytes) == (3, 2)
    assert not caught.value.is_clean_close
    with pytest.raises(IncompleteReadError) as caught:
        read(PiecewiseReader([], end), 3)
    assert caught.value.is_clean_close


def test_other_errors_pass() -> None:
    with pytest.raises(StreamReset):
        read(PiecewiseReader([b"a"], StreamReset()), 2)
