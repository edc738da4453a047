"""A file object behaves as Python's own, whatever is read in whatever order."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.ipfs_lite import file_object
from libp2p.ipfs_lite.file_object import FileObject

CONTENT = random.Random(1).randbytes(5000).replace(b"\n", b"") + b"a line\nand\n\nmore"


class Reader:
    """A reader that counts the reads."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self.size = len(content)
        self.reads = 0
        self.closed = False

    def seek(self, offset: int, /) -> int:
        return self._file.seek(offset)

    def read(self, size: int, /) -> bytes:
        self.reads += 1
        return self._file.read(size)

    def close(self) -> None:
        self.closed = True


CALLS = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 6000)),
    st.tuples(st.just("readinto"), st.integers(0, 6000)),
    st.tuples(st.just("readline"), st.just(-1)),
    st.tuples(st.just("seek"), st.integers(0, 6000)),
    st.tuples(st.just("skip"), st.integers(-50, 50)),
    st.tuples(st.just("end"), st.integers(-len(CONTENT), 10)),
)


@given(st.lists(CALLS, max_size=30), st.sampled_from([1, 16, 1000, 10**6]))
def test_it_reads_and_seeks_as_a_file_of_pythons(calls: list[tuple[str, int]], beside: int) -> None:
    real, ours = io.BytesIO(CONTENT), FileObject(Reader(CONTENT))

    def run(file: io.BytesIO | FileObject, name: str, number: int) -> object:
        try:
            match name:
                case "readinto":
                    buffer = bytearray(number)
                    return file.readinto(buffer), buffer
                case "skip":
                    return file.seek(max(number, -file.tell()), io.SEEK_CUR)
                case "end":
                    return file.seek(number, io.SEEK_END)
            return getattr(file, name)(number)
        except ValueError:
            return ValueError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_object, "BESIDE_BYTES", beside)
        for name, number in calls:
            assert run(ours, name, number) == run(real, name, number), (name, number)
            assert ours.tell() == real.tell()


def test_lines_cost_a_read_for_many() -> None:
    reader = Reader(b"a line\n" * 10_000)
    assert len(list(FileObject(reader))) == 10_000
    assert reader.reads == 1


def test_a_closed_file_says_so() -> None:
    reader = Reader(CONTENT)
    with FileObject(reader) as file:
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        with pytest.raises(ValueError, match="whence"):
            file.seek(0, 7)
    assert reader.closed
    for call in (file.read, file.tell, file.peek, lambda: file.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            call()
