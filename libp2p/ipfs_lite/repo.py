"""
The folder of a peer: identity, settings, blocks, and the locks with which processes share it.

    config.json   settings and the private key, readable by the owner only
    version       "ipfs-lite 2": says whose folder this is; written last
    repo.lock     shared by all processes that have the repo open, exclusive to one that makes it or
                  brings it to a new version (``repo.lock.turn``: one at a time, also of those
                  that change settings); the files stay
    blocks/       see `libp2p.blockstore.flatfs`
    keystore/     further private keys, for names of IPNS: see `libp2p.ipfs_lite.keystore`
    state.sqlite  pins, and what else must not be lost: see `libp2p.ipfs_lite.state`
    state.sqlite.spare  room on the disk, which is given up when there is no other
    slices        empty: made with the first slice of a file
    gc.lock       shared by who renews some blocks, exclusive to who removes some
    leases/       what running operations need: see `libp2p.ipfs_lite.leases`
    listeners/    who hears of what is stored: see `libp2p.ipfs_lite.neighbours`
    identity.lock  of the process that is online with the repo's key
    swarm.key     the key of a private network, if the peer is in one: see `libp2p.security.pnet`
    datastore.sqlite  peers, records of others, what is announced: see `libp2p.datastore`

A repo makes itself on first use. A folder that holds anything else is refused untouched, above all
one of Kubo's: this peer cannot read its keys and pins, and both programs would write into it.

The folder itself may be a link; its files must not be links, pipes or devices. Another user could
have put one there, to have the key written where they can read it. New files get names that cannot
be guessed.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from libp2p.exceptions import CryptographyError, InvalidArgument, NotARegularFile
from libp2p.ipfs_lite.config import Config
from libp2p.ipfs_lite.errors import ForeignRepoError, RepoError, RepoLockedError
from libp2p.utils import arguments, file_locks, owner_files
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey

VERSION: Final = "ipfs-lite 2"
#: It had no pins, and its programs locked each other out.
VERSION_1: Final = "ipfs-lite 1"
VERSION_FILE: Final = "version"
CONFIG_FILE: Final = "config.json"
LOCK_FILE: Final = "repo.lock"
TURN_FILE: Final = "repo.lock.turn"
BLOCKS_FOLDER: Final = "blocks"
ROOTS_FILE: Final = "roots"
STATE_FILE: Final = "state.sqlite"
SLICES_FILE: Final = "slices"
GC_LOCK_FILE: Final = "gc.lock"
LEASES_FOLDER: Final = "leases"
LISTENERS_FOLDER: Final = "listeners"
IDENTITY_FILE: Final = "identity.lock"
DATASTORE_FILE: Final = "datastore.sqlite"
SWARM_KEY_FILE: Final = "swarm.key"

#: Files that an interrupted creation leaves, or that the owner has put there before it. A folder
#: that has no other files is finished, not refused.
_UNFINISHED: Final = {
    LOCK_FILE, TURN_FILE, CONFIG_FILE, SWARM_KEY_FILE,
    *(STATE_FILE + end for end in ("", "-journal", "-wal", "-shm", ".spare")),
}  # fmt: skip
#: Files that were not renamed yet; the names without a number are those of earlier versions.
_NEW_FILES: Final = re.compile(r"(config\.json|version)(\.[0-9a-f]{16})?\.new")
#: Larger files are not read.
MAX_CONFIG_BYTES: Final = 1024 * 1024
_KUBO_FILES: Final = {"config", "datastore_spec", "datastore", "keystore"}
#: Seconds to wait for a process that makes the repo or brings it to a new version. A program of
#: version 1 holds the lock for as long as it runs.
LOCK_SECONDS: Final = 10.0
#: Attempts to get the lock of the identity, and seconds between them: `Repo.is_in_use` holds it for
#: some microseconds.
CLAIMS: Final = 3
CLAIM_SECONDS: Final = 0.01

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key, and the settings that are kept with it."""

    private_key: PrivateKey
    config: Config


class Repo:
    """
    An open repo, which other processes may have open too. Its methods block for a few file
    operations. Use `open`, or `identity_of` if only that is needed.
    """

    def __init__(self, path: Path, lock: int, identity: Identity) -> None:
        self.path = path
        self.private_key = identity.private_key
        self.config = identity.config
        self._lock = lock
        self._identity_lock = -1
        self.gc_lock: Final = file_locks.SharedLock(path / GC_LOCK_FILE)
        """Shared by who stores blocks, exclusive to who removes them."""

    def __repr__(self) -> str:
        return shown(self, lambda: f"{'closed' if self._lock < 0 else 'open'}, {self.path}")

    @classmethod
    def open(cls, path: str | PathLike[str], config: Config | None = None) -> Repo:
        """
        Open the repo; make it if the folder is empty or absent; bring it to this version.

        :param config: settings for a repo that is made now; an existing one keeps its own.
        :raises RepoLockedError: if a program of an earlier version has it open.
        :raises ForeignRepoError: if the folder is something else.
        """
        path = Path(arguments.path(path, "the repo"))
        with _file_errors(path):
            _refuse_foreign(path)
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _lock_current(path, config or Config())
            try:
                return cls(path, lock, _read_identity(path))
            except BaseException:
                file_locks.release(lock)
                raise

    @classmethod
    def identity_of(cls, path: str | PathLike[str]) -> Identity:
        """Read identity and settings, also while another process has the repo open."""
        path = Path(path)
        with _file_errors(path):
            _refuse_foreign(path)
            if not (path / VERSION_FILE).exists():
                cls.open(path).close()
            return _read_identity(path)

    @classmethod
    def configure(cls, path: str | PathLike[str], changes: Mapping[str, object]) -> None:
        """
        Change settings; processes that have the repo open go on with those that they have read.

        :param changes: as in ``config.json``.
        :raises RepoError: if there is no such setting, or it cannot have that value.
        """
        path = Path(path)
        known = cls.identity_of(path).config.to_json()
        with _file_errors(path), _turn(path):
            values = json.loads(_read_text(path / CONFIG_FILE))
            for name, value in changes.items():
                if name not in known:
                    raise RepoError(f"there is no setting {name}: use one of {', '.join(known)}")
                if name == "blocks" and value != known[name]:
                    raise RepoError("blocks stay where they are: import them into a new repo")
                values[name] = value
            Config.from_json(values)
            _remove_unfinished(path)
            _write_file(path / CONFIG_FILE, json.dumps(values, indent=2) + "\n")

    @classmethod
    def exists(cls, path: str | PathLike[str]) -> bool:
        """Return whether a finished repo of this peer is there."""
        try:
            return _version_of(Path(path)) in (VERSION, VERSION_1)
        except (OSError, RepoError):
            return False

    @classmethod
    def is_in_use(cls, path: str | PathLike[str]) -> bool:
        """
        Tell whether a process is online with the repo's identity.

        :raises RepoError: if that cannot be found out.
        """
        path = Path(path)
        with _file_errors(path):
            if not (path / IDENTITY_FILE).exists():
                return False
            lock = _try_lock(path / IDENTITY_FILE)
            if lock >= 0:
                file_locks.release(lock)
            return lock < 0

    def claim_identity(self) -> bool:
        """
        Have the repo's identity until `close`; return False if another process has it.

        Two hosts with one peer id would confuse whom they are connected to.
        """
        with _file_errors(self.path):
            for attempt in range(CLAIMS):
                if attempt:
                    time.sleep(CLAIM_SECONDS)  # time: the kernel has no wait with a limit
                self._identity_lock = _try_lock(self.path / IDENTITY_FILE)
                if self._identity_lock >= 0:
                    return True
            return False

    @classmethod
    def reset_state(cls, path: str | PathLike[str]) -> Path | None:
        """
        Set the pins and the root of the files aside, and begin anew with none.

        :return: where the old file is now; None if there was none.
        :raises RepoLockedError: if another process has the repo open.
        """
        from libp2p.ipfs_lite.state import State

        path = Path(path)
        cls.identity_of(path)
        with _file_errors(path), _only_files():
            lock = _try_lock(path / LOCK_FILE)
            if lock < 0:
                raise RepoLockedError(f"repo {path} is in use: stop the programs that use it")
            try:
                state = path / STATE_FILE
                old = path / f"{STATE_FILE}.{secrets.token_hex(4)}.old"
                for end in ("", "-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(f"{state}{end}", f"{old}{end}")
                State.create(state)
            finally:
                file_locks.release(lock)
        return old if old.exists() else None

    @property
    def state_path(self) -> Path:
        return self.path / STATE_FILE

    @property
    def leases_path(self) -> Path:
        return self.path / LEASES_FOLDER

    @property
    def listeners_path(self) -> Path:
        return self.path / LISTENERS_FOLDER

    @property
    def datastore_path(self) -> Path:
        return self.path / DATASTORE_FILE

    def swarm_key(self) -> bytes | None:
        """
        Return the key of the private network that the peer keeps to; None if it is in none.

        :raises RepoError: if the file cannot be read or holds no key.
        """
        from libp2p.security.pnet.key import MAX_FILE_BYTES, read_key

        path = self.path / SWARM_KEY_FILE
        with _file_errors(self.path), _only_files():
            try:
                return read_key(owner_files.read_file(path, MAX_FILE_BYTES))
            except FileNotFoundError:
                return None
            except InvalidArgument as error:
                raise RepoError(f"{path} is not the key of a private network: {error}") from error

    def close(self) -> None:
        """Release the locks; a second call does nothing."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            file_locks.release(lock)
            self.gc_lock.close()
            if self._identity_lock >= 0:
                file_locks.release(self._identity_lock)

    def __enter__(self) -> Repo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _refuse_foreign(path: Path) -> None:
    try:
        names = set(os.listdir(path))
        if not _is_unfinished(names):
            # Another process may be making the repo: files that come after the version were seen,
            # and a second look finds the version.
            names = set(os.listdir(path))
    except FileNotFoundError:
        return
    for name in names & {VERSION_FILE, CONFIG_FILE, LOCK_FILE, TURN_FILE, STATE_FILE}:
        if not stat.S_ISREG((path / name).lstat().st_mode):
            raise _no_file(path / name)
    if VERSION_FILE in names:
        version = _read_text(path / VERSION_FILE).strip()
        if version in (VERSION, VERSION_1):
            return
        if version.startswith("ipfs-lite "):
            raise RepoError(f"{path} is a repo of another version ({version}): update this program")
    if len(names & _KUBO_FILES) > 1 or {"config", VERSION_FILE} <= names:
        raise ForeignRepoError(
            f"{path} is a Kubo repo, which this program leaves alone: "
            "name another folder with --repo or IPFS_LITE_PATH"
        )
    if not _is_unfinished(names):
        raise ForeignRepoError(
            f"{path} is not empty and not an ipfs-lite repo: "
            "name another folder with --repo or IPFS_LITE_PATH"
        )


def _is_unfinished(names: set[str]) -> bool:
    return all(name in _UNFINISHED or _NEW_FILES.fullmatch(name) for name in names)


def _version_of(path: Path) -> str | None:
    """Return what the version file says; None if there is none."""
    try:
        return _read_text(path / VERSION_FILE).strip()
    except FileNotFoundError:
        return None


def _lock_current(path: Path, config: Config) -> int:
    """Take the shared lock of a repo; before, make it or bring it to this version if need be."""
    lock = _take_lock(path, LOCK_FILE, shared=True)
    if _is_current(path, lock):
        return lock
    # The turn lets one process at a time wait for the exclusive lock. A second one would wait for
    # the first, which holds the lock shared for as long as it runs.
    with _turn(path):
        lock = _take_lock(path, LOCK_FILE, shared=True)
        if _is_current(path, lock):
            return lock
        lock = _take_lock(path, LOCK_FILE, shared=False)
        try:
            _bring_to_version(path, config)
        finally:
            file_locks.release(lock)
        return _take_lock(path, LOCK_FILE, shared=True)


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Be the one process that makes or changes the settings or the version."""
    turn = _take_lock(path, TURN_FILE, shared=False)
    try:
        yield
    finally:
        file_locks.release(turn)


def _is_current(path: Path, lock: int) -> bool:
    """Return whether a repo that is locked is of this version; if not, release the lock."""
    try:
        if _version_of(path) == VERSION:
            (path / ROOTS_FILE).unlink(missing_ok=True)  # of version 1
            return True
    except BaseException:
        file_locks.release(lock)
        raise
    file_locks.release(lock)
    return False


def _take_lock(path: Path, name: str, *, shared: bool) -> int:
    with _open_file(path / name, os.O_RDWR | os.O_CREAT) as file:
        lock = os.dup(file.fileno())
    try:
        file_locks.lock_patiently(lock, LOCK_SECONDS, shared=shared)
    except OSError as error:
        file_locks.release(lock)
        if error.errno not in file_locks.LOCK_HELD:
            raise
        raise RepoLockedError(
            f"repo {path} is locked: an earlier version of ipfs-lite is using it; "
            "stop that one or name another folder with --repo"
        ) from error
    return lock


def _try_lock(path: Path) -> int:
    """Lock a file alone, if that can be done at once; return -1 if not."""
    with _open_file(path, os.O_RDWR | os.O_CREAT) as file:
        lock = os.dup(file.fileno())
    try:
        file_locks.lock(lock)
    except OSError as error:
        file_locks.release(lock)
        if error.errno not in file_locks.LOCK_HELD:
            raise
        return -1
    return lock


def _bring_to_version(path: Path, config: Config) -> None:
    """Make or change a repo that is locked for that."""
    from libp2p.ipfs_lite.migration import pin_roots

    with _only_files():
        pin_roots(path / ROOTS_FILE, path / STATE_FILE)
    if _version_of(path) is None:
        _create(path, config)
    else:
        _write_file(path / VERSION_FILE, VERSION + "\n")
        (path / ROOTS_FILE).unlink(missing_ok=True)
        logger.info("%s is of version 2 now: what was added to it is pinned", path)


def _create(path: Path, config: Config) -> None:
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.peer.id import ID

    pair = create_new_key_pair()
    identity = {
        "peer_id": str(ID.from_pubkey(pair.public_key)),
        "private_key": base64.b64encode(pair.private_key.serialize()).decode(),
    }
    text = json.dumps({"identity": identity, **config.to_json()}, indent=2)
    _remove_unfinished(path)
    # The version comes last: without it the folder counts as unfinished and is made again.
    _write_file(path / CONFIG_FILE, text + "\n")
    _write_file(path / VERSION_FILE, VERSION + "\n")


def _remove_unfinished(path: Path) -> None:
    """Remove what a process that was killed has left in its turn; a private key is in it."""
    for name in filter(_NEW_FILES.fullmatch, os.listdir(path)):
        (path / name).unlink()


def _write_file(path: Path, text: str) -> None:
    with _only_files():
        owner_files.write_file(path, text.encode())


def _open_file(path: Path, flags: int) -> IO[bytes]:
    """
    Open one of the repo's files; only the owner can read and write a new one.

    :raises RepoError: if it is a link, or not a regular file.
    """
    with _only_files():
        return owner_files.open_file(path, flags)


@contextlib.contextmanager
def _only_files() -> Iterator[None]:
    try:
        yield
    except NotARegularFile as error:
        raise _no_file(error.path) from error


def _no_file(path: Path) -> RepoError:
    return RepoError(f"{path} is not a regular file: remove it, or name another folder with --repo")


def _read_text(path: Path) -> str:
    with _open_file(path, os.O_RDONLY) as file:
        return file.read(MAX_CONFIG_BYTES).decode("utf-8", "replace")


def _check_owners(path: Path, config: os.stat_result) -> None:
    """
    Warn if other users can read the key or replace it.

    :raises RepoError: if the file belongs to another user, who then knows the key.
    """
    if sys.platform == "win32":
        return  # its files have no such modes
    folder, user = path.stat(), os.geteuid()
    is_anothers = config.st_uid not in (user, 0)
    if is_anothers and user != 0:  # root may act for another user, who owns its folder then
        raise RepoError(
            f"{path / CONFIG_FILE} belongs to another user (uid {config.st_uid}), who knows its "
            "private key: name another folder with --repo or IPFS_LITE_PATH"
        )
    if is_anothers or config.st_mode & 0o077:
        logger.warning(
            "others can use the private key in %s (uid %d, mode %o): own it and chmod 600 it",
            path / CONFIG_FILE,
            config.st_uid,
            stat.S_IMODE(config.st_mode),
        )
    if folder.st_uid not in (user, 0) or folder.st_mode & 0o022:
        logger.warning(
            "others can replace the files in %s (uid %d, mode %o): own it and chmod 700 it",
            path,
            folder.st_uid,
            stat.S_IMODE(folder.st_mode),
        )


def _read_identity(path: Path) -> Identity:
    from libp2p.crypto.serialization import deserialize_private_key

    name = path / CONFIG_FILE
    try:
        with _open_file(name, os.O_RDONLY) as file:
            _check_owners(path, os.fstat(file.fileno()))
            values = json.loads(file.read(MAX_CONFIG_BYTES))
        key = base64.b64decode(values["identity"]["private_key"], validate=True)
        return Identity(deserialize_private_key(key), Config.from_json(values))
    except FileNotFoundError:
        raise RepoError(f"{name} is missing: restore it, or use a new repo") from None
    except (
        ValueError,
        KeyError,
        TypeError,
        RecursionError,  # for a text of a hundred thousand brackets
        binascii.Error,
        CryptographyError,
    ) as error:
        raise RepoError(f"{name} is damaged ({error}): restore it, or use a new repo") from error


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Raise an `OSError` of the repo's own files as a `RepoError` that names the repo."""
    try:
        yield
    except OSError as error:
        raise RepoError(f"cannot use {path} as a repo: {error.strerror}") from error
