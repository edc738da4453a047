"""``key gen``, ``list``, ``export``, ``import``, ``rename`` and ``rm``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from libp2p.ipfs_lite.cli.inputs import read_small
from libp2p.ipfs_lite.cli.terminal import DASH, say, write_bytes
from libp2p.ipfs_lite.errors import KeystoreError, OutputError
from libp2p.ipfs_lite.keystore import (
    KEY_TYPES,
    MAX_KEY_FILE_BYTES,
    OWN_NAME,
    PEM,
    Keystore,
    NamedKey,
    decode_key,
    encode_key,
    generate_key,
)
from libp2p.ipfs_lite.repo import Repo
from libp2p.utils import owner_files

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipns.name import Name


def id_of(name: Name, base: str) -> str:
    """Return a name of IPNS in the base that was chosen."""
    return str(name.peer_id) if base == "b58mh" else name.peer_id.to_multibase(base)


async def _show(at: At, key: NamedKey, base: str, before: str = "", after: str = "") -> None:
    """Print a key: its name of IPNS, between two texts."""
    key_id = id_of(key.ipns_name, base)
    await at.say({"name": key.name, "id": key_id}, f"{before}{key_id}{after}")


async def open_keystore(at: At) -> Keystore:
    """Return the keystore of the repo, which is made if it is not there."""
    identity = await trio.to_thread.run_sync(Repo.identity_of, at.repo)
    return Keystore(at.repo, identity.private_key)


async def generate(at: At, name: str, kind: str, size: int | None, base: str) -> None:
    store = await open_keystore(at)
    made = await trio.to_thread.run_sync(lambda: store.add(name, generate_key(kind, size)))
    await _show(at, made, base)


async def show_all(at: At, with_ids: bool, base: str) -> None:
    store = await open_keystore(at)
    if not with_ids and not at.as_json:
        # The names of keys that are damaged, too.
        for name in await trio.to_thread.run_sync(store.names):
            await say(name)
        return
    for found in await trio.to_thread.run_sync(lambda: list(store.all())):
        await _show(at, found, base, after=f" {found.name}")


async def export(at: At, name: str, output: str | None, form: str) -> None:
    if name == OWN_NAME:
        raise KeystoreError(f"{OWN_NAME!r} is the repo's identity, which is not exported")
    target = output or f"{name}.{'pem' if form == PEM else 'key'}"
    store = await open_keystore(at)
    data = encode_key(await trio.to_thread.run_sync(store.get, name), form)
    if target == DASH:
        return await write_bytes(data)
    await trio.to_thread.run_sync(partial(_create, Path(target), data))


def _create(path: Path, data: bytes) -> None:
    try:
        owner_files.create_file(path, data)
    except FileExistsError as error:
        raise OutputError(f"{path} is there already: name another file with -o") from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


async def import_from(
    at: At, name: str, file: str, form: str | None, *, any_type: bool, base: str
) -> None:
    data = await read_small(file, MAX_KEY_FILE_BYTES, "key")
    key = decode_key(data, form)
    kind = key.get_type().name.lower()
    if kind not in KEY_TYPES and not any_type:
        raise KeystoreError(
            f"the key is of the kind {kind}, which few peers know: "
            "if that is intended, say --allow-any-key-type"
        )
    store = await open_keystore(at)
    await _show(at, await trio.to_thread.run_sync(store.add, name, key), base)


async def rename(at: At, name: str, new_name: str, force: bool, base: str) -> None:
    store = await open_keystore(at)
    renamed = await trio.to_thread.run_sync(partial(store.rename, name, new_name, force=force))
    await _show(at, renamed, base, "Key ", f" renamed to {new_name}")


async def remove(at: At, names: Sequence[str], with_ids: bool, base: str) -> None:
    store = await open_keystore(at)
    for name in names:
        # All of them are looked at before the first one is gone.
        await trio.to_thread.run_sync(store.check_removable, name)
    for name in names:
        removed = await trio.to_thread.run_sync(store.remove, name)
        if with_ids or at.as_json:
            await _show(at, removed, base, after=f" {name}")
        else:
            await say(name)
