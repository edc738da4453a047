from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from libp2p.exceptions import HashNotSupported, InvalidImportOptions
from libp2p.ipld.profile_names import DEFAULT_PROFILE, PROFILE_NAMES
from libp2p.ipld.profiles import PROFILES, ImportKnobs, ImportOptions, resolve_options
from libp2p.ipld.unixfs import Mtime

V0_2015 = ImportOptions(0, False, "sha2-256", "size-262144", 174, hamt_estimation="links-bytes")
V1_2025 = ImportOptions(1, True, "sha2-256", "size-1048576", 1024)


def test_every_name_is_that_of_a_profile() -> None:
    assert set(PROFILE_NAMES) == PROFILES.keys()
    assert DEFAULT_PROFILE in PROFILE_NAMES


def test_the_default_is_v1_2025() -> None:
    assert ImportOptions() == V1_2025
    assert resolve_options() == V1_2025


@pytest.mark.parametrize(
    ("profile", "options"),
    [("unixfs-v0-2015", V0_2015), ("legacy-cid-v0", V0_2015), ("unixfs-v1-2025", V1_2025)],
)
def test_the_named_profiles(profile: str, options: ImportOptions) -> None:
    assert resolve_options(profile) == options


@pytest.mark.parametrize(
    "knobs",
    [{"max_file_links": "5"}, {"cid_version": 1.0}, {"mode": True}, {"inline_limit": b"1"},
     {"chunker": 5}, {"layout": 5}, {"raw_leaves": "yes"}, {"mtime": 5}, {"hash": True},
     {"hash": []}, {"chunk_size": 5}],
)  # fmt: skip
def test_choices_of_a_wrong_kind_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises((InvalidImportOptions, HashNotSupported)):
        resolve_options(**knobs)


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidImportOptions, match="unixfs-v0-2015"):
        resolve_options("unixfs-v9")


@pytest.mark.parametrize(
    ("profile", "knobs", "expected"),
    [
        (None, ImportKnobs(cid_version=0), {"cid_version": 0, "raw_leaves": False}),
        (None, ImportKnobs(cid_version=0, raw_leaves=True), {"cid_version": 0}),
        (None, ImportKnobs(raw_leaves=False), {"raw_leaves": False}),
        (None, ImportKnobs(hash="blake3"), {"hash": "blake3"}),
        (None, ImportKnobs(cid_version=None, chunker=None), {}),
        (None, ImportKnobs(mode=0o644), {"raw_leaves": False, "mode": 0o644}),
        (None, ImportKnobs(mtime=Mtime(1)), {"raw_leaves": False, "mtime": Mtime(1)}),
        (None, ImportKnobs(mode=0), {"mode": 0}),
        (None, ImportKnobs(max_file_links=0), {"max_file_links": 174}),
        (None, ImportKnobs(max_file_links=-5), {"max_file_links": 174}),
        (None, ImportKnobs(max_file_links=2), {"max_file_links": 2}),
        (None, ImportKnobs(inline_limit=128), {"inline_limit": 128}),
        ("unixfs-v1-2025", ImportKnobs(cid_version=0), {"cid_version": 0}),
        (
            "unixfs-v1-2025",
            ImportKnobs(hash="SHA3", chunker="size-5"),
            {"hash": "SHA3", "chunker": "size-5"},
        ),
    ],
)
def test_single_choices(
    profile: str | None, knobs: ImportKnobs, expected: dict[str, object]
) -> None:
    assert resolve_options(profile, **knobs) == dataclasses.replace(
        V1_2025,
        **expected,  # type: ignore[arg-type]  # a table of fields
    )


def test_version_1_keeps_the_leaves_of_the_2015_profile() -> None:
    options = resolve_options("unixfs-v0-2015", cid_version=1)
    assert options == dataclasses.replace(V0_2015, cid_version=1)


@pytest.mark.parametrize(
    ("profile", "knobs", "reason"),
    [
        (None, ImportKnobs(cid_version=0, hash="sha2-512"), "sha2-256 only"),
        ("unixfs-v0-2015", ImportKnobs(hash="blake3"), "sha2-256 only"),
        ("unixfs-v1-2025", ImportKnobs(mode=0o644), "raw_leaves=False"),
        ("unixfs-v1-2025", ImportKnobs(mtime=Mtime(0)), "raw_leaves=False"),
        (None, ImportKnobs(raw_leaves=True, mode=0o644), "raw_leaves=False"),
        (None, ImportKnobs(cid_version=2), "version 2"),
        (None, ImportKnobs(max_file_links=1), "2 links or more"),
        (None, ImportKnobs(chunker="rabin-47"), "rabin"),
        (None, ImportKnobs(layout="flat"), "flat"),
        (None, ImportKnobs(inline_limit=129), "0 to 128"),
        (None, ImportKnobs(inline_limit=-1), "0 to 128"),
        (None, ImportKnobs(mode=-1), "mode"),
        (None, ImportKnobs(mode=2**32), "mode"),
        (None, ImportKnobs(mtime=Mtime(0, 10**9)), "not a time"),
    ],
)
def test_contradictions_are_refused(profile: str | None, knobs: ImportKnobs, reason: str) -> None:
    with pytest.raises(InvalidImportOptions, match=reason):
        resolve_options(profile, **knobs)


@pytest.mark.parametrize("name", ["md5", "sha2-384", "blake2b-152", "nonsense"])
def test_content_is_not_added_under_a_weak_or_unknown_hash(name: str) -> None:
    with pytest.raises(HashNotSupported, match=name):
        resolve_options(hash=name)
