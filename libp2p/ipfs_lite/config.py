"""The settings that a repo remembers. Everything else is an argument."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidAddrError
from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipld.profile_names import DEFAULT_PROFILE, PROFILE_NAMES
from libp2p.utils import arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The environment variable that names the repo's folder.
REPO_VARIABLE: Final = "IPFS_LITE_PATH"

#: Kubo's port: one that firewalls of IPFS users already let through.
DEFAULT_LISTEN: Final = "/ip4/0.0.0.0/tcp/4001"


@dataclass(frozen=True, slots=True)
class Config:
    """
    What ``init`` chooses and ``config.json`` holds beside the identity.

    :param profile: how files are cut and laid out unless `add` names another profile.
    :param listen: where ``serve`` listens by default; a single address need not be in a tuple.
    :param sync: flush every block to the disk before it counts as stored. It survives a power
        loss, and adds at a tenth of the speed.
    :raises RepoError: if there is no such profile.
    :raises InvalidAddrError: if an address cannot be read.
    """

    profile: str = DEFAULT_PROFILE
    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    sync: bool = False

    def __post_init__(self) -> None:
        if self.listen != (DEFAULT_LISTEN,):  # reading the others loads multiaddr
            from libp2p.peer.addresses import to_multiaddrs

            listen = to_multiaddrs(self.listen, "listen")
            object.__setattr__(self, "listen", tuple(map(str, listen)))
        arguments.instance(self.sync, bool, "sync")
        arguments.instance(self.profile, str, "profile")
        if self.profile not in PROFILE_NAMES:
            raise RepoError(
                f"unknown profile {self.profile!r}: use one of {', '.join(PROFILE_NAMES)}"
            )

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Config:
        """
        Take the known settings out of a decoded file; unknown ones belong to later versions.

        :raises RepoError: if a setting has the wrong type or an impossible value.
        """
        profile = values.get("profile", DEFAULT_PROFILE)
        listen = values.get("listen", [DEFAULT_LISTEN])
        sync = values.get("sync", False)
        if not isinstance(profile, str):
            raise RepoError("profile must be a text")
        if not (isinstance(listen, list) and all(isinstance(item, str) for item in listen)):
            raise RepoError("listen must be a list of multiaddrs")
        if not isinstance(sync, bool):
            raise RepoError("sync must be true or false")
        try:
            return cls(profile, tuple(listen), sync)
        except InvalidAddrError as error:
            raise RepoError(f"listen must be a list of multiaddrs: {error}") from error

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def default_repo_path() -> Path:
    """
    Return the default repo: ``$IPFS_LITE_PATH``, else a folder in the user's data folder.

    :raises RepoError: if the user has no home folder.
    """
    try:
        if named := os.environ.get(REPO_VARIABLE):
            return Path(named).expanduser()
        path = _data_path()
    except RuntimeError:  # of pathlib
        path = Path()
    if not path.is_absolute():  # else a folder whose name is "~" would be made
        raise RepoError(f"no home folder is known: name a repo with --repo or {REPO_VARIABLE}")
    return path


def _data_path() -> Path:
    try:
        from platformdirs import user_data_path
    except ImportError:  # the library without its command line
        return Path.home() / ".ipfs-lite"
    return user_data_path("ipfs-lite", appauthor=False)
