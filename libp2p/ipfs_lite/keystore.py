"""
The private keys of a repo beside its identity, each a name of IPNS.

Each key is a file in its protobuf form, ``keystore/key_`` and the name in base32, as in Kubo: names
that differ in case only are two files on every disk. The name ``self`` is the repo's identity,
which is not among the files. Methods block for a few file operations; they need no lock on the
repo, for a file appears and disappears as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from libp2p.crypto.pem import MAX_PEM_BYTES, is_pem, read_private_pem, write_private_pem
from libp2p.crypto.serialization import (
    MAX_KEY_MESSAGE_BYTES,
    deserialize_private_key,
)
from libp2p.exceptions import CryptographyError, InvalidMultibase, InvalidName, NotARegularFile
from libp2p.ipfs_lite.errors import KeyExistsError, KeyNotFoundError, KeystoreError
from libp2p.ipld import multibase
from libp2p.ipns.name import Name
from libp2p.utils import arguments, owner_files
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey

__all__ = [
    "FORMATS",
    "KEY_TYPES",
    "OWN_NAME",
    "PEM",
    "PROTOBUF",
    "Keystore",
    "NamedKey",
    "decode_key",
    "encode_key",
    "generate_key",
]

KEYSTORE_FOLDER: Final = "keystore"
#: The name of the repo's identity.
OWN_NAME: Final = "self"

#: A file's name may have 255 bytes, and base32 makes eight of five.
MAX_NAME_BYTES: Final = 128
#: Read of a file that is imported: the largest key, and a byte to see that it is larger.
MAX_KEY_FILE_BYTES: Final = MAX_PEM_BYTES + 1

#: Kinds of keys that can be made.
KEY_TYPES: Final = ("ed25519", "rsa", "secp256k1")
#: As in Kubo; browsers and RSA peers of any kind take it.
DEFAULT_RSA_BITS: Final = 2048

#: Forms in which keys are exported and imported, by Kubo's names.
PROTOBUF: Final = "libp2p-protobuf-cleartext"
PEM: Final = "pem-pkcs8-cleartext"
FORMATS: Final = (PROTOBUF, PEM)

_PREFIX: Final = "key_"


class NamedKey(NamedTuple):
    """A key, and what it is called here."""

    name: str
    key: PrivateKey

    @property
    def ipns_name(self) -> Name:
        """The name of IPNS that it is the key of."""
        return Name.of(self.key)


def generate_key(kind: str = "ed25519", bits: int | None = None) -> PrivateKey:
    """
    Make a random key.

    :param kind: one of `KEY_TYPES`.
    :param bits: of an RSA key, 2048 unless told; others have one size.
    :raises KeystoreError: if there is no such kind or size.
    """
    if kind not in KEY_TYPES:
        raise KeystoreError(f"unknown kind of key {kind!r:.80}: use one of {', '.join(KEY_TYPES)}")
    if kind == "rsa":
        from libp2p.crypto.rsa import RSAPrivateKey

        try:
            return RSAPrivateKey.new(DEFAULT_RSA_BITS if bits is None else bits)
        except CryptographyError as error:
            raise KeystoreError(str(error)) from error
    if bits is not None:
        raise KeystoreError(f"{kind} keys have one size: leave the size out")
    if kind == "secp256k1":
        from libp2p.crypto.secp256k1 import Secp256k1PrivateKey

        return Secp256k1PrivateKey.new()
    from libp2p.crypto.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.new()


def encode_key(key: PrivateKey, form: str = PROTOBUF) -> bytes:
    """
    Return a key as `decode_key`, ``ipfs key import`` and (as PEM) OpenSSL read it.

    :raises KeystoreError: if there is no such form.
    """
    if form not in FORMATS:
        raise KeystoreError(f"unknown format {form!r:.80}: use one of {', '.join(FORMATS)}")
    return write_private_pem(key) if form == PEM else key.serialize()


def decode_key(data: bytes, form: str | None = None) -> PrivateKey:
    """
    Read a key that `encode_key` or ``ipfs key export`` has written.

    :param form: what it must be; found out unless it is said.
    :raises KeystoreError: if it is no key in that form.
    """
    if form not in (None, *FORMATS):
        raise KeystoreError(f"unknown format {form!r:.80}: use one of {', '.join(FORMATS)}")
    found = PEM if is_pem(data) else PROTOBUF
    if form not in (None, found):
        raise KeystoreError(f"the key is not in the format {form}, it looks like {found}")
    try:
        return read_private_pem(data) if found == PEM else deserialize_private_key(data)
    except CryptographyError as error:
        raise KeystoreError(f"no private key in the format {found}: {error}") from error


class Keystore:
    """
    The keys of the repo at ``path``.

    :param own: the repo's identity, which is called ``self``.
    """

    def __init__(self, path: str | PathLike[str], own: PrivateKey) -> None:
        self.folder = Path(arguments.path(path, "the repo")) / KEYSTORE_FOLDER
        self._own = own
        self._faults = FaultLog()
        # By file and time of its last change: a key need not be read for each question.
        self._known: dict[str, tuple[int, PrivateKey]] = {}

    def __repr__(self) -> str:
        return shown(self, lambda: str(self.folder))

    def names(self) -> list[str]:
        """
        Return the names of all keys: ``self`` and then the others, sorted.

        :raises KeystoreError: if the folder cannot be read.
        """
        with self._errors("keys"):
            try:
                files = os.listdir(self.folder)
            except FileNotFoundError:
                files = []
        return [OWN_NAME, *sorted(name for file in files if (name := _name_of(file)) is not None)]

    def all(self) -> Iterator[NamedKey]:
        """Yield all keys, ``self`` first; those that are damaged are logged and left out."""
        for name in self.names():
            try:
                yield NamedKey(name, self.get(name))
            except KeyNotFoundError:
                continue  # removed since
            except KeystoreError as error:
                self._faults.note(f"reading the key {name!r}", error)

    def get(self, name: str) -> PrivateKey:
        """
        Return the key of a name.

        :raises KeyNotFoundError: if there is none.
        :raises KeystoreError: if it cannot be read, or is damaged.
        """
        if name == OWN_NAME:
            return self._own
        path = self._file_of(name)
        with self._errors(f"the key {name!r}"):
            try:
                changed = path.lstat().st_mtime_ns
                known = self._known.get(name)
                if known is not None and known[0] == changed:
                    return known[1]
                data = owner_files.read_file(path, MAX_KEY_MESSAGE_BYTES + 1)
            except FileNotFoundError as error:
                raise self._not_found(name) from error
        try:
            key = deserialize_private_key(data)
        except CryptographyError as error:
            raise KeystoreError(f"{path} is damaged: {error}") from error
        self._known[name] = changed, key
        return key

    def find(self, text: str) -> NamedKey:
        """
        Return the key that is called so here, or has this name of IPNS or peer id.

        :raises KeyNotFoundError: if there is none.
        """
        arguments.instance(text, str, "key")
        try:
            wanted = Name.of(text)
        except InvalidName:
            return NamedKey(text, self.get(text))
        for found in self.all():
            if found.ipns_name == wanted:
                return found
        raise self._not_found(text)

    async def key_of(self, name: Name) -> PrivateKey | None:
        """Return the key of a name of IPNS, None if it is not here: for `Publisher`."""

        def search() -> PrivateKey | None:
            return next((found.key for found in self.all() if found.ipns_name == name), None)

        return await trio.to_thread.run_sync(search)

    def add(self, name: str, key: PrivateKey) -> NamedKey:
        """
        Store a key by a name.

        :raises KeyExistsError: if the name is taken.
        :raises KeystoreError: if it cannot be a name, or the key cannot be stored.
        """
        path = self._new_file_of(name)
        with self._errors(f"the key {name!r}"):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            try:
                owner_files.create_file(path, key.serialize())
            except FileExistsError as error:
                raise _taken(name) from error
        return NamedKey(name, key)

    def check_removable(self, name: str) -> None:
        """Raise what `remove` would raise, as far as that can be known before."""
        self._new_file_of(name)
        self.get(name)

    def remove(self, name: str) -> NamedKey:
        """
        Remove a key, and return it.

        :raises KeyNotFoundError: if there is none.
        :raises KeystoreError: if it is ``self``, or is damaged, or cannot be removed.
        """
        path = self._new_file_of(name)
        removed = NamedKey(name, self.get(name))
        with self._errors(f"the key {name!r}"):
            path.unlink(missing_ok=True)
            owner_files.sync_folder(self.folder)
        self._known.pop(name, None)
        return removed

    def rename(self, old: str, new: str, *, force: bool = False) -> NamedKey:
        """
        Call a key by another name.

        :param force: a key that has that name already is lost.
        :raises KeyExistsError: if one has it, without ``force``.
        :raises KeyNotFoundError: if there is no key to rename.
        """
        source, target = self._new_file_of(old), self._new_file_of(new)
        key = self.get(old)
        if old != new:
            with self._errors(f"the key {old!r}"):
                try:
                    if force:
                        os.replace(source, target)
                        owner_files.sync_folder(self.folder)
                    else:
                        owner_files.move_file(source, target)
                except FileExistsError as error:
                    raise _taken(new) from error
        self._known.clear()
        return NamedKey(new, key)

    def _file_of(self, name: str) -> Path:
        encoded = multibase.encode_base32(check_key_name(name).encode())
        return self.folder / f"{_PREFIX}{encoded}"

    def _new_file_of(self, name: str) -> Path:
        if name == OWN_NAME:
            raise KeystoreError(f"{OWN_NAME!r} is the repo's identity: choose another name")
        return self._file_of(name)

    def _not_found(self, name: str) -> KeyNotFoundError:
        return KeyNotFoundError(f"no key is called {name!r}; see `ipfs-lite key list -l`")

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except NotARegularFile as error:
            raise KeystoreError(f"{what} cannot be used: {error}") from error
        except OSError as error:
            raise KeystoreError(f"{what} in {self.folder}: {error.strerror}") from error


def check_key_name(name: str) -> str:
    """
    Return what can be the name of a key.

    :raises KeystoreError: if it cannot: it is empty or long, holds a slash or what cannot be
        printed, begins with a dot or a dash, or is a name of IPNS, which would be ambiguous.
    """
    arguments.instance(name, str, "the name of a key")
    if not name or not name.isprintable() or "/" in name or name[0] in ".-" or name.strip() != name:
        raise KeystoreError(
            f"{name!r:.80} cannot name a key: use printable characters without slashes, "
            "and no dot or dash in front"
        )
    if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise KeystoreError(f"the name of a key has at most {MAX_NAME_BYTES} bytes")
    try:
        Name.of(name)
    except InvalidName:
        return name
    raise KeystoreError(f"{name} is a name of IPNS: a key must be called otherwise")


def _taken(name: str) -> KeyExistsError:
    return KeyExistsError(f"a key is called {name!r} already: remove or rename it first")


def _name_of(file: str) -> str | None:
    """Return the name of the key in a file, None for files that are none."""
    try:
        name = multibase.decode_base32(file.removeprefix(_PREFIX)).decode()
        is_key = file.startswith(_PREFIX) and check_key_name(name) != OWN_NAME
    except (InvalidMultibase, UnicodeDecodeError, KeystoreError):
        return None
    return name if is_key else None
