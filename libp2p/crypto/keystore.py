"""
Identities in files, under py-libp2p's names: one file, or a folder of named ones.

A file holds the private key in its protobuf form, unencrypted, for its owner alone. The peer of
`libp2p.ipfs_lite` keeps its keys in its repo instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Final

from libp2p.crypto.ed25519 import KEY_BYTES, create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.pem import MAX_PEM_BYTES, read_private_pem, write_private_pem
from libp2p.crypto.serialization import MAX_KEY_MESSAGE_BYTES, deserialize_private_key
from libp2p.exceptions import CryptographyError, InvalidArgument
from libp2p.utils import arguments, owner_files, paths
from libp2p.utils.shown import shown

__all__ = [
    "FileSystemKeyStore",
    "create_identity_from_seed",
    "identity_exists",
    "load_identity",
    "load_keypair",
    "provider_from_keystore",
    "provider_from_path",
    "provider_new_ed25519",
    "save_identity",
    "save_keypair",
]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_SUFFIX: Final = ".key"


def save_identity(key_pair: KeyPair, filepath: str | PathLike[str]) -> None:
    """
    Write a key pair to a file that only its owner can read; an earlier file is replaced at once.

    :raises OSError: if it cannot be written.
    """
    arguments.instance(key_pair, KeyPair, "key_pair")
    path = Path(arguments.path(filepath, "filepath")).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    owner_files.write_file(path, key_pair.private_key.serialize())


def load_identity(filepath: str | PathLike[str]) -> KeyPair:
    """
    Read the key pair of a file.

    :raises FileNotFoundError: if there is no such file.
    :raises InvalidArgument: if it holds no private key.
    """
    path = Path(arguments.path(filepath, "filepath"))
    with path.open("rb") as file:  # it may be a link: that is how secrets come into containers
        data = file.read(MAX_KEY_MESSAGE_BYTES + 1)
    try:
        private_key = deserialize_private_key(data)
    except CryptographyError as error:
        raise InvalidArgument(
            f"Invalid or corrupted: {path} holds no private key: {error}"
        ) from error
    return KeyPair(private_key, private_key.get_public_key())


def identity_exists(filepath: str | PathLike[str]) -> bool:
    """Return whether there is a file."""
    return Path(arguments.path(filepath, "filepath")).exists()


def create_identity_from_seed(seed: bytes) -> KeyPair:
    """
    Return the Ed25519 key pair of 32 secret bytes, always the same one.

    :raises InvalidArgument: if there are not 32 of them.
    """
    if len(arguments.binary(seed, "seed")) != KEY_BYTES:
        raise InvalidArgument(f"seed must be exactly {KEY_BYTES} bytes, not {len(seed)}")
    return create_new_key_pair(seed)


def save_keypair(key_pair: KeyPair, type: str = "ed25519") -> None:
    """
    Write an Ed25519 key pair as PEM to ``libp2p.utils.paths.ED25519_PATH``, for its owner alone.

    The path begins in the folder in which the program runs; `save_identity` takes any path.

    :param type: no other one is known.
    :raises ValueError: if it is another one, or the key is.
    :raises OSError: if the file cannot be written.
    """
    _only_ed25519(type)
    arguments.instance(key_pair, KeyPair, "key_pair")
    _only_ed25519(key_pair.private_key.get_type().name)
    path = paths.ED25519_PATH.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    owner_files.write_file(path, write_private_pem(key_pair.private_key))


def load_keypair(type: str = "ed25519") -> KeyPair | None:
    """
    Read what `save_keypair` has written; return None if there is no such file.

    :raises ValueError: if ``type`` is another one, or the file has no such key.
    """
    _only_ed25519(type)
    try:
        with paths.ED25519_PATH.open("rb") as file:
            private_key = read_private_pem(file.read(MAX_PEM_BYTES + 1))
    except FileNotFoundError:
        return None
    except CryptographyError as error:
        raise InvalidArgument(f"{paths.ED25519_PATH}: {error}") from error
    _only_ed25519(private_key.get_type().name)
    return KeyPair(private_key, private_key.get_public_key())


def _only_ed25519(kind: str) -> None:
    if kind.lower() != "ed25519":
        raise InvalidArgument(f"unsupported key type: {kind}")


class FileSystemKeyStore:
    """
    Key pairs by name, each in a file ``NAME.key`` of a folder.

    :param directory: the folder, made if need be.
    """

    def __init__(self, directory: str | PathLike[str]) -> None:
        self.directory = Path(arguments.path(directory, "directory")).expanduser()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return shown(self, lambda: str(self.directory))

    def put(self, name: str, key_pair: KeyPair) -> None:
        """Store a key pair, in the place of an earlier one of that name."""
        save_identity(key_pair, self._path_of(name))

    def get(self, name: str) -> KeyPair:
        """
        Return a key pair.

        :raises FileNotFoundError: if there is none of that name.
        :raises InvalidArgument: if its file holds no private key.
        """
        return load_identity(self._path_of(name))

    def has(self, name: str) -> bool:
        """Return whether there is a key pair of that name."""
        return self._path_of(name).is_file()

    def delete(self, name: str) -> None:
        """
        Remove a key pair.

        :raises FileNotFoundError: if there is none of that name.
        """
        self._path_of(name).unlink()

    def list(self) -> list[str]:
        """Return the names, sorted."""
        return sorted(path.stem for path in self.directory.glob(f"*{_SUFFIX}") if path.is_file())

    def _path_of(self, name: str) -> Path:
        arguments.instance(name, str, "name")
        if not _NAME.fullmatch(name):
            raise InvalidArgument(
                f"{name!r:.80} cannot name a key: use letters, digits, '.', '_' and '-'"
            )
        return self.directory / f"{name}{_SUFFIX}"


def provider_from_path(path: str | PathLike[str]) -> Callable[[], KeyPair]:
    """Return what `new_host` takes as ``key_pair_provider``, for the key pair of a file."""
    return lambda: load_identity(path)


def provider_from_keystore(
    store: FileSystemKeyStore, name: str = "default"
) -> Callable[[], KeyPair]:
    """Return what `new_host` takes as ``key_pair_provider``, for a key pair of a folder."""
    return lambda: store.get(name)


def provider_new_ed25519() -> Callable[[], KeyPair]:
    """Return what `new_host` takes as ``key_pair_provider``, for a new key pair each time."""
    return create_new_key_pair
