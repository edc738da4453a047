"""The keys of a repo: named, kept for their owner alone, whole or not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import trio

from libp2p.crypto.ecc import ECCPrivateKey
from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.serialization import deserialize_private_key
from libp2p.ipfs_lite import KeyExistsError, KeyNotFoundError, Keystore, KeystoreError
from libp2p.ipfs_lite.keystore import (
    FORMATS,
    KEY_TYPES,
    MAX_NAME_BYTES,
    PEM,
    PROTOBUF,
    decode_key,
    encode_key,
    generate_key,
)
from libp2p.ipns.name import Name

OWN = Ed25519PrivateKey.new(bytes(32))
ONE, TWO = (Ed25519PrivateKey.new(bytes([n]) * 32) for n in (1, 2))


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path, OWN)


def test_keys_are_kept_by_name(store: Keystore, tmp_path: Path) -> None:
    assert store.names() == ["self"]
    store.add("site", ONE)
    store.add("Äpfel & Birnen", TWO)
    again = Keystore(str(tmp_path), OWN)
    assert again.names() == ["self", "site", "Äpfel & Birnen"]
    assert [(found.name, found.key) for found in again.all()] == [
        ("self", OWN),
        ("site", ONE),
        ("Äpfel & Birnen", TWO),
    ]
    assert again.get("site") == ONE == again.get("site")
    assert repr(store) == f"<Keystore {tmp_path / 'keystore'}>"


def test_the_files_are_kubos_and_for_the_owner_alone(store: Keystore) -> None:
    before = os.umask(0)
    try:
        store.add("site", ONE)
    finally:
        os.umask(before)
    (file,) = store.folder.iterdir()
    assert file.name == "key_onuxizi"
    assert deserialize_private_key(file.read_bytes()) == ONE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_a_key_is_never_written_over(store: Keystore) -> None:
    store.add("site", ONE)
    with pytest.raises(KeyExistsError, match="'site' already"):
        store.add("site", TWO)
    assert store.get("site") == ONE
    store.add("SITE", TWO)
    assert store.get("SITE") == TWO
    assert len(list(store.folder.iterdir())) == 2


def test_disks_without_hard_links(store: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError("not on this file system")

    monkeypatch.setattr(os, "link", no_links)
    store.add("site", ONE)
    with pytest.raises(KeyExistsError):
        store.add("site", TWO)
    store.rename("site", "blog")
    store.add("site", TWO)
    with pytest.raises(KeyExistsError):
        store.rename("site", "blog")
    assert (store.get("blog"), store.get("site")) == (ONE, TWO)
    assert len(list(store.folder.iterdir())) == 2


def test_keys_are_removed(store: Keystore) -> None:
    store.add("site", ONE)
    removed = store.remove("site")
    assert (removed.name, removed.key, removed.ipns_name) == ("site", ONE, Name.of(ONE))
    assert store.names() == ["self"]
    for use in (store.get, store.remove, store.find):
        with pytest.raises(KeyNotFoundError, match="'site'"):
            use("site")
    store.add("site", TWO)
    assert store.get("site") == TWO


def test_keys_are_renamed(store: Keystore) -> None:
    store.add("one", ONE)
    store.add("two", TWO)
    assert store.rename("one", "one").key == ONE
    with pytest.raises(KeyExistsError):
        store.rename("one", "two")
    assert store.rename("one", "three").name == "three"
    assert store.names() == ["self", "three", "two"]
    store.rename("three", "two", force=True)
    assert store.names() == ["self", "two"]
    assert store.get("two") == ONE
    with pytest.raises(KeyNotFoundError):
        store.rename("one", "four")


def test_the_identity_is_reserved(store: Keystore) -> None:
    assert store.get("self") == OWN
    with pytest.raises(KeystoreError, match="identity"):
        store.add("self", ONE)
    with pytest.raises(KeystoreError, match="identity"):
        store.remove("self")
    with pytest.raises(KeystoreError, match="identity"):
        store.rename("self", "other")
    store.add("one", ONE)
    with pytest.raises(KeystoreError, match="identity"):
        store.rename("one", "self", force=True)


@pytest.mark.parametrize(
    "name",
    [
        *("", "a/b", ".hidden", "..", "-f", "a\nb", "a\0b", " a", "a ", "a" * (MAX_NAME_BYTES + 1)),
        str(Name.of(ONE)),
        str(Name.of(ONE).peer_id),
    ],
)
def test_what_cannot_name_a_key(store: Keystore, name: str) -> None:
    with pytest.raises(KeystoreError, match=r"cannot name|at most|is a name of IPNS"):
        store.add(name, ONE)
    assert not store.folder.exists()


def test_the_longest_name_fits_into_a_files_name(store: Keystore) -> None:
    store.add("ü" * (MAX_NAME_BYTES // 2), ONE)
    assert len(store.names()) == 2


def test_a_key_is_found_by_its_name_of_ipns(store: Keystore) -> None:
    store.add("one", ONE)
    name = Name.of(ONE)
    for text in ("one", str(name), str(name.peer_id), name.path):
        assert store.find(text) == ("one", ONE)
    assert store.find(str(Name.of(OWN))).name == "self"
    with pytest.raises(KeyNotFoundError):
        store.find(str(Name.of(TWO)))


async def test_a_publisher_finds_keys(store: Keystore) -> None:
    await trio.to_thread.run_sync(store.add, "one", ONE)
    assert await store.key_of(Name.of(ONE)) == ONE
    assert await store.key_of(Name.of(OWN)) == OWN
    assert await store.key_of(Name.of(TWO)) is None


def test_other_files_are_no_keys(store: Keystore) -> None:
    store.add("one", ONE)
    for name in ("README", "key_", "key_onuxizi.0123.new", "key_!", "key_onswyzq", "onuxizi"):
        (store.folder / name).write_bytes(b"x")
    assert store.names() == ["self", "one"], "key_onswyzq says self"


def test_damaged_keys(store: Keystore, caplog: pytest.LogCaptureFixture) -> None:
    store.add("one", ONE)
    store.add("site", TWO)
    (store.folder / "key_onuxizi").write_bytes(b"x")
    with pytest.raises(KeystoreError, match="damaged"):
        store.get("site")
    assert [found.name for found in store.all()] == ["self", "one"]
    assert "reading the key 'site' failed" in caplog.text
    os.unlink(store.folder / "key_onuxizi")
    os.symlink("/dev/zero", store.folder / "key_onuxizi")
    with pytest.raises(KeystoreError, match="not a regular file"):
        store.get("site")


def test_a_folder_that_cannot_be_used(store: Keystore) -> None:
    store.folder.write_bytes(b"")
    with pytest.raises(KeystoreError, match="Not a directory"):
        store.names()
    with pytest.raises(KeystoreError, match=r"exists|Not a directory"):
        store.add("one", ONE)


def test_nothing_is_left_of_a_failed_write(
    store: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store.add("one", ONE)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeystoreError, match="No space left"):
        store.add("two", TWO)
    assert [file.name for file in store.folder.iterdir()] == ["key_n5xgk"]


@pytest.mark.parametrize("kind", KEY_TYPES)
@pytest.mark.parametrize("form", FORMATS)
def test_every_kind_is_written_and_read(store: Keystore, kind: str, form: str) -> None:
    key = generate_key(kind)
    data = encode_key(key, form)
    assert decode_key(data) == decode_key(data, form) == key
    store.add("key", key)
    assert Keystore(store.folder.parent, OWN).get("key") == key


def test_sizes_and_kinds() -> None:
    assert generate_key("rsa", 3072) != generate_key("rsa", 3072)
    for kind, bits, why in (
        ("rsa", 1024, "2048"),
        ("ed25519", 256, "one size"),
        ("dsa", None, "unknown kind"),
    ):
        with pytest.raises(KeystoreError, match=why):
            generate_key(kind, bits)


def test_formats() -> None:
    with pytest.raises(KeystoreError, match="unknown format"):
        encode_key(ONE, "der")
    with pytest.raises(KeystoreError, match="unknown format"):
        decode_key(b"", "der")
    with pytest.raises(KeystoreError, match="looks like pem-pkcs8"):
        decode_key(encode_key(ONE, PEM), PROTOBUF)
    with pytest.raises(KeystoreError, match="looks like libp2p-protobuf"):
        decode_key(encode_key(ONE, PROTOBUF), PEM)
    with pytest.raises(KeystoreError, match="no private key in the format"):
        decode_key(b"nothing")
    assert decode_key(encode_key(ECCPrivateKey.new(), PEM)).get_type().name == "ECDSA"
