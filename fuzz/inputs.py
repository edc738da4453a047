"""Inputs that are kept: where they are, and how others are made of them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).with_name("corpus")
#: Inputs grow by insertions; beyond this nothing new is found, only more slowly.
MAX_INPUT_BYTES: Final = 4096
#: Values at which lengths and counts go wrong.
EDGES: Final = (b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xff\xff", b"\xff\xff\xff\xff")


def kept(target: str) -> list[bytes]:
    """What is kept for a target: seeds, and what once made it fail."""
    return [file.read_bytes() for file in sorted((FOLDER / target).glob("*"))]


def keep(target: str, data: bytes, kind: str) -> Path:
    """Keep an input; `kind` begins its file's name."""
    path = FOLDER / target / f"{kind}-{sha256(data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


class Edit(NamedTuple):
    """One change of an input."""

    kind: int
    place: int
    data: bytes


def apply(edits: list[Edit], data: bytes) -> bytes:
    """``data`` with each of ``edits`` made, one after the other."""
    for kind, place, new in edits:
        at = place % (len(data) + 1)
        match kind % 5:
            case 0:
                data = data[:at] + new + data[at:]
            case 1:
                data = data[:at] + new + data[at + len(new) :]
            case 2:
                data = data[:at] + data[at + len(new) :]
            case 3:
                data = data[:at]
            case _:
                data = data[:at] + data[at // 2 : at] + data[at:]
    return data[:MAX_INPUT_BYTES]


def mutant(random: Random, seeds: list[bytes]) -> bytes:
    """One of ``seeds``, changed in a few places."""
    edits = [
        Edit(random.randrange(5), random.randrange(1 << 16), _new_bytes(random, seeds))
        for _ in range(random.choice((1, 1, 2, 4)))
    ]
    return apply(edits, random.choice(seeds))


def _new_bytes(random: Random, seeds: list[bytes]) -> bytes:
    if random.random() < 0.5:
        return random.choice(EDGES)
    other = random.choice(seeds)
    start = random.randrange(len(other) + 1)
    return other[start : start + random.randrange(1, 24)]
