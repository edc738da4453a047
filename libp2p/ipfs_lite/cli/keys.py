"""``key gen``, ``list``, ``export``, ``import``, ``rename`` and ``rm``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from libp2p.ipfs_lite.cli.small_files import read_small, write_bytes
from libp2p.ipfs_lite.cli.terminal import DASH, say, say_json
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
    from collections.abc import Callable, Sequence

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipns.name import Name


@dataclass(frozen=True, slots=True)
class Style:
    """How names of IPNS are written, and lines."""

    base: str
    as_json: bool

    def id_of(self, name: Name) -> str:
        """Return a name of IPNS in the base that was chosen."""
        return str(name.peer_id) if self.base == "b58mh" else name.peer_id.to_multibase(self.base)

    async def show(self, key: NamedKey, text: Callable[[str], str]) -> None:
        """Print a key; ``text`` makes the line of its name of IPNS."""
        key_id = self.id_of(key.ipns_name)
        if self.as_json:
            await say_json({"name": key.name, "id": key_id})
        else:
            await say(text(key_id))


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file with a key."""

    name: str
    form: str | None
    any_type: bool


async def open_keystore(at: At) -> Keystore:
    """Return the keystore of the repo, which is made if it is not there."""
    identity = await trio.to_thread.run_sync(Repo.identity_of, at.repo)
    return Keystore(at.repo, identity.private_key)


def generate(at: At, name: str, kind: str, size: int | None, style: Style) -> None:
    async def work() -> None:
        store = await open_keystore(at)
        made = await trio.to_thread.run_sync(lambda: store.add(name, generate_key(kind, size)))
        await style.show(made, str)

    at.run(work)


def show_all(at: At, with_ids: bool, style: Style) -> None:
    async def work() -> None:
        store = await open_keystore(at)
        if not with_ids and not style.as_json:
            # The names of keys that are damaged, too.
            for name in await trio.to_thread.run_sync(store.names):
                await say(name)
            return
        for found in await trio.to_thread.run_sync(lambda: list(store.all())):
            await style.show(found, lambda key_id, name=found.name: f"{key_id} {name}")  # type: ignore[misc]

    at.run(work)


def export(at: At, name: str, output: str | None, form: str) -> None:
    if name == OWN_NAME:
        raise KeystoreError(f"{OWN_NAME!r} is the repo's identity, which is not exported")
    target = output or f"{name}.{'pem' if form == PEM else 'key'}"

    async def work() -> None:
        store = await open_keystore(at)
        data = encode_key(await trio.to_thread.run_sync(store.get, name), form)
        if target == DASH:
            await write_bytes(data)
            return
        await trio.to_thread.run_sync(partial(_create, Path(target), data))

    at.run(work)


def _create(path: Path, data: bytes) -> None:
    try:
        owner_files.create_file(path, data)
    except FileExistsError as error:
        raise OutputError(f"{path} is there already: name another file with -o") from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def import_from(at: At, name: str, file: KeyFile, style: Style) -> None:
    async def work() -> None:
        data = await read_small(file.name, MAX_KEY_FILE_BYTES, "key")
        key = decode_key(data, file.form)
        kind = key.get_type().name.lower()
        if kind not in KEY_TYPES and not file.any_type:
            raise KeystoreError(
                f"the key is of the kind {kind}, which few peers know: "
                "if that is intended, say --allow-any-key-type"
            )
        store = await open_keystore(at)
        await style.show(await trio.to_thread.run_sync(store.add, name, key), str)

    at.run(work)


def rename(at: At, name: str, new_name: str, force: bool, style: Style) -> None:
    async def work() -> None:
        store = await open_keystore(at)
        renamed = await trio.to_thread.run_sync(partial(store.rename, name, new_name, force=force))
        await style.show(renamed, lambda key_id: f"Key {key_id} renamed to {new_name}")

    at.run(work)


def remove(at: At, names: Sequence[str], with_ids: bool, style: Style) -> None:
    async def work() -> None:
        store = await open_keystore(at)
        for name in names:
            # All of them are looked at before the first one is gone.
            await trio.to_thread.run_sync(store.check_removable, name)
        for name in names:
            removed = await trio.to_thread.run_sync(store.remove, name)
            if with_ids or style.as_json:
                await style.show(removed, lambda key_id, name=name: f"{key_id} {name}")  # type: ignore[misc]
            else:
                await say(name)

    at.run(work)
