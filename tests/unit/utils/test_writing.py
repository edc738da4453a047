"""Files are written whole and right, past the page cache where that is quicker."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libp2p.utils import writing
from libp2p.utils.writing import LEAST_BYTES, REMEMBERED, STAGE_BYTES, TRIED_AGAIN, DiskWriter

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

DIRECT = getattr(os, "O_DIRECT", 0)
pytestmark = pytest.mark.skipif(not DIRECT, reason="the system has no direct writes")


class Clock:
    """Shows later by what the way that is written costs, for a byte."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.through, self.past = 1.0, 1.0
        self.ways: list[str] = []
        for way in ("through", "past"):
            self._count(monkeypatch, way, getattr(DiskWriter, f"_write_{way}"))

    def __call__(self) -> float:
        return self.now

    def _count(self, monkeypatch: pytest.MonkeyPatch, way: str, write: Callable[..., None]) -> None:
        def counted(disk: DiskWriter, descriptor: int, buffers: list[Buffer], sync: bool) -> None:
            if way == "past":
                self._passing = True
            write(disk, descriptor, buffers, sync)
            if way == "past":
                self._passing = False
            if not self._passing:
                self.ways.append(way)
                self.now += getattr(self, way) * sum(map(len, buffers))

        self._passing = False
        monkeypatch.setattr(DiskWriter, f"_write_{way}", counted)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> DiskWriter:
    """Writes past the page cache, whatever that takes."""
    monkeypatch.setattr(DiskWriter, "_chooses_past", lambda _: True)
    return DiskWriter()


def flags_seen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that each write is told in: whether it went past the page cache."""
    import fcntl

    seen: list[bool] = []
    write = os.write

    def told(descriptor: int, data: Buffer) -> int:
        seen.append(bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & DIRECT))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", told)
    return seen


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    before=st.integers(0, 9000),
    sizes=st.lists(
        st.one_of(
            st.integers(0, 9000), st.sampled_from([4096, 2**18, 2**18 + 14, 2**20, 2**21 + 1])
        ),
        min_size=1,
        max_size=6,
    ),
    sync=st.booleans(),
)
def test_the_file_is_what_was_written(
    tmp_path: Path, past: DiskWriter, before: int, sizes: Sequence[int], sync: bool
) -> None:
    source = random.Random(0)
    buffers: list[Buffer] = [source.randbytes(size) for size in sizes]
    kinds: Sequence[Callable[[bytes], Buffer]] = (bytes, bytearray, memoryview)
    given_ = [kinds[number % 3](bytes(data)) for number, data in enumerate(buffers)]
    start = source.randbytes(before)
    path = tmp_path / "file"
    with open(path, "wb", buffering=0) as file:
        file.write(start)
        past.write(file.fileno(), given_, sync=sync)
        past.write(file.fileno(), [b"end"])
    assert path.read_bytes() == b"".join([start, *buffers, b"end"])


def test_only_whole_pages_go_past_the_page_cache(
    past: DiskWriter, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.write(descriptor, b"x" * 100)
    seen = flags_seen(monkeypatch)
    past.write(descriptor, [bytes(STAGE_BYTES + LEAST_BYTES)])
    if not past._can_pass:
        pytest.skip("the file system of the tests has no direct writes")
    assert seen == [False, True, True, False]


def test_short_files_are_never_written_directly(
    past: DiskWriter, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = flags_seen(monkeypatch)
    past.write(descriptor, [bytes(LEAST_BYTES - 1)])
    assert seen == [False]


def test_the_quicker_way_is_taken_and_the_other_one_tried_again(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    disk = DiskWriter(clock)
    data = bytes(LEAST_BYTES)

    def ways(count: int) -> list[str]:
        clock.ways.clear()
        for _ in range(count):
            os.lseek(descriptor, 0, os.SEEK_SET)
            disk.write(descriptor, [data])
        return clock.ways

    clock.through, clock.past = 1.0, 5.0
    assert sorted(ways(2 * REMEMBERED)) == ["past"] * REMEMBERED + ["through"] * REMEMBERED
    assert ways(TRIED_AGAIN).count("past") == 1
    # Copies are dear now: soon no quick one is remembered.
    clock.through = 20.0
    ways(2 * REMEMBERED)
    assert ways(TRIED_AGAIN).count("through") <= 1
    # One slow write among quick ones is somebody else's.
    clock.past = 1000.0
    ways(1)
    clock.past = 5.0
    assert ways(REMEMBERED // 2).count("past") >= REMEMBERED // 2 - 1


@pytest.mark.parametrize("place", ["flag", "write"])
def test_a_file_system_without_direct_writes_is_written_all_the_same(
    past: DiskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    write, set_flags, tries = os.write, writing._set_flags, 0

    def refuse(descriptor: int, data: Buffer) -> int:
        import fcntl

        nonlocal tries
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & DIRECT:
            tries += 1
            raise OSError(errno.EINVAL, "no direct writes")
        return write(descriptor, data)

    def refuse_flag(descriptor: int, kept: int, added: int) -> None:
        nonlocal tries
        if added:
            tries += 1
            raise OSError(errno.EINVAL, "no direct writes")
        set_flags(descriptor, kept, added)

    if place == "flag":
        monkeypatch.setattr(writing, "_set_flags", refuse_flag)
    else:
        monkeypatch.setattr(os, "write", refuse)
    data = random.Random(0).randbytes(2 * STAGE_BYTES + 5)
    for name in ("a", "b"):
        with open(tmp_path / name, "wb", buffering=0) as file:
            past.write(file.fileno(), [data])
        assert (tmp_path / name).read_bytes() == data
    assert tries == 1


def test_a_write_that_ends_early_is_gone_on_with(
    past: DiskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: 4096 + len(data) % 4096]))
    data = random.Random(0).randbytes(2 * STAGE_BYTES + 5)
    with open(tmp_path / "file", "wb", buffering=0) as file:
        past.write(file.fileno(), [data])
    assert (tmp_path / "file").read_bytes() == data


def test_a_full_disk_is_told_and_the_next_file_can_be_written(
    past: DiskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = random.Random(0).randbytes(STAGE_BYTES)
    with monkeypatch.context() as patch:

        def full(descriptor: int, data: Buffer) -> int:
            raise OSError(errno.ENOSPC, "full")

        patch.setattr(os, "write", full)
        with (
            open(tmp_path / "full", "wb", buffering=0) as file,
            pytest.raises(OSError, match="full"),
        ):
            past.write(file.fileno(), [data])
    with open(tmp_path / "file", "wb", buffering=0) as file:
        past.write(file.fileno(), [data])
    assert (tmp_path / "file").read_bytes() == data


def test_memory_to_write_from_is_bounded(past: DiskWriter, descriptor: int) -> None:
    from threading import Thread

    threads = [
        Thread(target=lambda: past.write(os.dup(descriptor), [bytes(LEAST_BYTES)]))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(writing._stages) <= writing._KEPT_STAGES
