"""What is in the fuzzers' corpus, and a little around it, is read or refused as it should be."""

from __future__ import annotations

from random import Random

import pytest

from fuzz.inputs import FOLDER, MAX_INPUT_BYTES, Edit, apply, kept, mutant
from fuzz.targets import TARGETS

MUTANTS = 40


@pytest.mark.parametrize("name", TARGETS)
def test_everything_in_the_corpus_is_read_or_refused(name: str) -> None:
    assert kept(name), "no seeds: run python -m fuzz.seeds"
    for data in kept(name):
        TARGETS[name].try_on(data)


@pytest.mark.parametrize("name", TARGETS)
def test_mutants_of_the_corpus_are_read_or_refused(name: str) -> None:
    random, seeds = Random(name), kept(name)
    for _ in range(MUTANTS):
        TARGETS[name].try_on(mutant(random, seeds))


def test_the_corpus_has_no_folder_without_a_target() -> None:
    assert {folder.name for folder in FOLDER.iterdir()} == set(TARGETS)


@pytest.mark.parametrize(
    ("kind", "result"),
    [(0, b"abXYcd"), (1, b"abXY"), (2, b"ab"), (3, b"ab"), (4, b"abbcd")],
)
def test_edits(kind: int, result: bytes) -> None:
    assert apply([Edit(kind, 7, b"XY")], b"abcd") == result


def test_inputs_do_not_grow_without_end() -> None:
    assert len(apply([Edit(0, 0, bytes(100))] * 100, b"")) == MAX_INPUT_BYTES
