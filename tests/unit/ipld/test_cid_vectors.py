"""Every published CID of files and blocks; those of trees are in test_directory.py."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from libp2p.exceptions import HashNotSupported, InvalidImportOptions
from libp2p.ipld.cid import CID, InvalidCID, cid_maker
from libp2p.ipld.importer import FileImporter, name_block
from libp2p.ipld.profiles import ImportOptions, resolve_options
from libp2p.ipld.unixfs import Mtime
from tests.support.content import content

VECTORS: dict[str, dict[str, Any]] = {
    vector["name"]: vector
    for vector in json.loads(
        (Path(__file__).parents[2] / "data" / "cid_vectors.json").read_text("utf-8")
    )["vectors"]
}
TOO_LARGE = "spec-identity-129-bytes-MUST-REJECT"

#: What a test of a quarter of a second can hash; ChaCha8 is computed in Python.
FAST_BYTES = 64 * 1024 * 1024
FAST_CHACHA8_BYTES = 1024 * 1024
LONG = [pytest.mark.slow, pytest.mark.timeout(300)]
"""A hundred megabytes are made and hashed in Python, under coverage as well."""


def is_ours(vector: dict[str, Any]) -> bool:
    return bool(
        vector["kind"] == "unixfs-file"
        # The bytes of these three are random and not published anywhere that can be read.
        and vector["input"]["type"] != "file"
        and vector["name"] != TOO_LARGE
    )


def is_slow(recipe: dict[str, Any]) -> bool:
    limit = FAST_CHACHA8_BYTES if recipe["type"] == "go-chacha8" else FAST_BYTES
    return bool(recipe.get("size", 0) > limit)


def options_of(params: dict[str, Any]) -> ImportOptions:
    """Translate a vector's parameters; what it does not say is as in Kubo."""
    hash_name = params.get("hash")
    mode = params.get("mode")
    mtime = Mtime(params["mtime"], params.get("mtime_nsecs", 0)) if "mtime" in params else None
    return resolve_options(
        cid_version=params.get("cid_version", 0 if hash_name is None else None),
        raw_leaves=params.get("raw_leaves"),
        hash=hash_name,
        chunker=params.get("chunker", "size-262144"),
        layout=params.get("layout"),
        max_file_links=params.get("max_links", 174),
        inline_limit=params.get("inline_limit", 32) if params.get("inline") else None,
        mode=int(mode, 8) if isinstance(mode, str) else mode,
        mtime=mtime,
    )


def expected_cid(vector: dict[str, Any]) -> CID:
    cid = CID.parse(vector["cid"])
    assert str(cid) == vector["cid"]
    return cid


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=LONG if is_slow(vector["input"]) else ())
        for name, vector in VECTORS.items()
        if is_ours(vector)
    ],
)
def test_a_file_gets_its_published_cid(name: str) -> None:
    vector = VECTORS[name]
    importer = FileImporter(options_of(vector["params"]))
    said = re.search(r"sha1[ =:]+([0-9a-f]{40})", vector["input recipe"])
    sha1 = hashlib.sha1()
    for piece in content(vector["input"]):
        if said:
            sha1.update(piece)
        importer.feed([piece])
    last = importer.finish()[-1]
    assert importer.root == last.cid == expected_cid(vector)
    if said:
        assert sha1.hexdigest() == said[1], "the generator is wrong, not the importer"


@pytest.mark.parametrize("name", [n for n, v in VECTORS.items() if v["kind"] == "block"])
def test_a_block_gets_its_published_cid(name: str) -> None:
    vector = VECTORS[name]
    params = vector["params"]
    data = b"".join(content(vector["input"]))
    make = cid_maker(
        vector["input"]["codec"],
        params.get("cid_version", 1),
        params.get("hash", "sha2-256"),
        params.get("mhlen"),
    )
    cid = expected_cid(vector)
    assert make(data) == cid
    assert cid.matches(data)
    assert CID.from_prefix_and_data(cid.prefix, data) == cid


def test_the_profiles_of_the_vectors_are_the_named_ones() -> None:
    named = [v["params"] for v in VECTORS.values() if "profile" in v["params"] and is_ours(v)]
    assert named
    for params in named:
        assert options_of(params) == resolve_options(params["profile"])


def test_an_identity_of_129_bytes_is_neither_read_nor_made() -> None:
    vector = VECTORS[TOO_LARGE]
    with pytest.raises(InvalidCID, match="129"):
        CID.parse(vector["cid"])
    with pytest.raises(InvalidImportOptions):
        options_of(vector["params"])
    data = b"".join(content(vector["input"]))
    with pytest.raises(HashNotSupported):
        CID.for_block(data, hash="identity")
    allowed = resolve_options(inline_limit=128)
    assert not name_block(data, "raw", allowed).cid.is_identity
    assert name_block(data[1:], "raw", allowed).cid.is_identity
