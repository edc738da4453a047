"""Identities in files, as py-libp2p's programs keep them."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path

import pytest

from libp2p import generate_peer_id_from, load_keypair, new_host, save_keypair
from libp2p.crypto import rsa, secp256k1
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keystore import (
    FileSystemKeyStore,
    provider_from_keystore,
    provider_from_path,
    provider_new_ed25519,
)
from libp2p.crypto.pem import write_private_pem
from libp2p.identity_utils import (
    create_identity_from_seed,
    identity_exists,
    load_identity,
    save_identity,
)
from libp2p.utils import paths

PAIRS = {
    "ed25519": create_new_key_pair(),
    "rsa": rsa.create_new_key_pair(),
    "secp256k1": secp256k1.create_new_key_pair(),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_an_identity_is_written_and_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "identity"
    assert not identity_exists(path)
    before = os.umask(0)
    try:
        save_identity(PAIRS["ed25519"], path)
        save_identity(PAIRS[kind], str(path))
    finally:
        os.umask(before)
    assert identity_exists(path)
    assert load_identity(path) == PAIRS[kind]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_the_key_pair_of_the_folder_that_a_program_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_keypair() is None
    save_keypair(PAIRS["ed25519"])
    assert load_keypair("ed25519") == PAIRS["ed25519"]
    written = tmp_path / paths.ED25519_PATH
    assert written.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    for refuse in (
        partial(save_keypair, PAIRS["ed25519"], "rsa"),
        partial(save_keypair, PAIRS["rsa"]),
        partial(load_keypair, "secp256k1"),
    ):
        with pytest.raises(ValueError, match="unsupported key type"):
            refuse()
    for content in (b"", write_private_pem(PAIRS["rsa"].private_key), bytes(100_000)):
        written.write_bytes(content)
        with pytest.raises(ValueError, match=r"PEM|unsupported"):
            load_keypair()


def test_an_identity_may_be_a_link(tmp_path: Path) -> None:
    save_identity(PAIRS["ed25519"], tmp_path / "secret")
    (tmp_path / "identity").symlink_to("secret")
    assert load_identity(tmp_path / "identity") == PAIRS["ed25519"]


def test_what_is_no_identity(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_identity(tmp_path / "nothing")
    for content in (b"", b"x", bytes(100_000)):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(ValueError, match="holds no private key"):
            load_identity(tmp_path / "bad")


def test_an_identity_of_a_seed() -> None:
    seed = bytes(range(32))
    assert create_identity_from_seed(seed) == create_identity_from_seed(seed)
    for wrong in (b"", bytes(31), bytes(64)):
        with pytest.raises(ValueError, match="32 bytes"):
            create_identity_from_seed(wrong)


def test_identities_by_name(tmp_path: Path) -> None:
    store = FileSystemKeyStore(tmp_path / "keys")
    assert store.list() == []
    store.put("b", PAIRS["rsa"])
    store.put("a.1", PAIRS["ed25519"])
    store.put("b", PAIRS["secp256k1"])
    assert store.list() == ["a.1", "b"]
    assert FileSystemKeyStore(str(tmp_path / "keys")).get("b") == PAIRS["secp256k1"]
    store.delete("b")
    assert not store.has("b")
    assert store.has("a.1")
    for use in (store.get, store.delete):
        with pytest.raises(FileNotFoundError):
            use("b")
    assert "keys" in repr(store)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", ".a", "a\n", "ä", "a" * 129])
def test_names_are_safe(name: str, tmp_path: Path) -> None:
    store = FileSystemKeyStore(tmp_path)
    with pytest.raises(ValueError, match="cannot name a key"):
        store.put(name, PAIRS["ed25519"])
    assert store.list() == []


def test_hosts_get_their_identities_from_them(tmp_path: Path) -> None:
    store = FileSystemKeyStore(tmp_path)
    store.put("default", PAIRS["ed25519"])
    expected = generate_peer_id_from(PAIRS["ed25519"])
    for provider in (provider_from_keystore(store), provider_from_path(tmp_path / "default.key")):
        assert new_host(key_pair_provider=provider).get_id() == expected
    provider = provider_new_ed25519()
    assert provider() != provider()
