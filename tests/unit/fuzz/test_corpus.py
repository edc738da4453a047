"""What is in the fuzzers' corpus, and a little around it, is read or refused as it should be."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import pytest

from fuzz.certificates import VALUES, build
from fuzz.inputs import FOLDER, MAX_INPUT_BYTES, Edit, apply, kept, mutant
from fuzz.run import main
from fuzz.targets import NOW, TARGETS, Target
from libp2p.exceptions import HandshakeFailure
from libp2p.security.tls.certificate import verify_certificate

if TYPE_CHECKING:
    from pathlib import Path

MUTANTS = 40
CERTIFICATES = 2000


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


def test_certificates_of_every_kind_are_accepted_or_refused() -> None:
    target, random = TARGETS["tls_extensions"], Random("certificates")
    for _ in range(CERTIFICATES):
        target.try_on(random.randbytes(random.randrange(40)))


def test_certificates_are_made_to_be_read_to_their_ends() -> None:
    # Most of the seeds are certificates in order, each with another kind of extension.
    made = [build(seed) for seed in kept("tls_extensions")]
    accepted = 0
    for der in made:
        with suppress(HandshakeFailure):
            verify_certificate(der, now=NOW)
            accepted += 1
    assert accepted > len(VALUES)


def test_a_number_of_inputs_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[bytes] = []
    monkeypatch.setitem(TARGETS, "cid", Target(tried.append, ()))
    monkeypatch.setattr("sys.argv", ["fuzz", "--inputs", "7", "cid"])
    assert main() == 0
    assert len(tried) == 7
    assert "7 inputs: ok" in capsys.readouterr().out
    first = tried.copy()
    tried.clear()
    assert main() == 0
    assert tried == first
    monkeypatch.setattr("sys.argv", ["fuzz", "--inputs", "7", "--number", "1", "cid"])
    assert main() == 0
    assert tried[7:] != first


@pytest.mark.parametrize("oddity", [KeyError, SystemExit])
def test_what_a_target_must_not_raise_is_kept(
    oddity: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(data: bytes) -> None:
        raise oddity(1)

    monkeypatch.setattr("fuzz.inputs.kept", lambda name: [b"seed"])
    monkeypatch.setattr("fuzz.inputs.FOLDER", tmp_path)
    monkeypatch.setitem(TARGETS, "cid", Target(fail, (ValueError,)))
    monkeypatch.setattr("sys.argv", ["fuzz", "--inputs", "7", "cid"])
    assert main() == 1
    assert "FAILED" in capsys.readouterr().out
    assert len(list((tmp_path / "cid").glob("crash-*"))) == 1
