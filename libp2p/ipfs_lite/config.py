"""The settings that a repo remembers. Everything else is an argument."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from libp2p.exceptions import InvalidAddrError, InvalidArgument
from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipld.profile_names import DEFAULT_PROFILE, PROFILE_NAMES
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.ipld.profiles import ImportKnobs, ImportOptions

#: The environment variable that names the repo's folder.
REPO_VARIABLE: Final = "IPFS_LITE_PATH"

#: Kubo's port: one that firewalls of IPFS users already let through.
DEFAULT_LISTEN: Final = "/ip4/0.0.0.0/tcp/4001"

#: The name of the DHT among the routers of a peer, in errors and reports.
DHT_NAME: Final = "DHT"
#: What a peer does in the distributed hash table: "auto" answers others when it can be reached,
#: "client" only asks, "server" always answers, "off" has no part in it.
DHT_MODES: Final = ("auto", "client", "server", "off")

#: Where a repo keeps its blocks, besides a URL of fsspec: files in Kubo's layout, or a database.
BLOCKS: Final = ("flatfs", "sqlite", "lmdb")

#: The strategy that announces nothing.
NO_STRATEGY: Final = "off"
#: What is announced: every block, the roots of pins, these with all that is below them (which with
#: "+unique" is gone over once), what is here of the mutable tree, or nothing. The names are Kubo's.
PROVIDE_STRATEGIES: Final = (
    "all",
    "roots",
    "pinned",
    "pinned+unique",
    "mfs",
    "pinned+mfs",
    "pinned+mfs+unique",
    NO_STRATEGY,
)

#: Seconds between two announcements of a block: Kubo's. Records are kept for 48 hours.
PROVIDE_INTERVAL: Final = 22 * 3600.0
#: Shorter intervals announce nothing that the records do not say yet, and are a burden on others.
LEAST_PROVIDE_INTERVAL: Final = 60.0


@dataclass(frozen=True, slots=True)
class Config:
    """
    What ``init`` chooses and ``config.json`` holds beside the identity.

    :param profile: how files are cut and laid out unless `add` names another profile.
    :param listen: where ``serve`` listens by default; a single address need not be in a tuple.
    :param sync: flush every block to the disk before it counts as stored. It survives a power
        loss, and adds at a tenth of the speed.
    :param blocks: where the repo keeps its blocks: one of `BLOCKS`, or a URL of a file system that
        fsspec knows, such as ``s3://bucket/prefix``. It is chosen when the repo is made.
    :param bootstrap: the peers by which others are found, besides those seen before; see
        `libp2p.discovery.bootstrap` for what may stand there. None of them is needed.
    :param dht: what the peer does in the DHT: one of `DHT_MODES`.
    :param routers: URLs of delegated routers (``/routing/v1``), which are asked beside the DHT.
    :param peering: peers to stay connected to, by addresses that end in ``/p2p/<peer id>``.
    :param provide: what ``serve`` announces: one of `PROVIDE_STRATEGIES`.
    :param provide_interval: seconds between two announcements of the same.
    :raises RepoError: if there is no such profile, mode or strategy, or a URL is none.
    :raises InvalidAddrError: if an address cannot be read.
    """

    profile: str = DEFAULT_PROFILE
    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    sync: bool = False
    bootstrap: tuple[str, ...] = ()
    dht: str = "auto"
    routers: tuple[str, ...] = ()
    provide: str = "all"
    provide_interval: float = PROVIDE_INTERVAL
    blocks: str = BLOCKS[0]
    peering: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.listen != (DEFAULT_LISTEN,):  # reading the others loads multiaddr
            from libp2p.peer.addresses import to_multiaddrs

            listen = to_multiaddrs(self.listen, "listen")
            object.__setattr__(self, "listen", tuple(map(str, listen)))
        arguments.instance(self.sync, bool, "sync")
        _one_of(self.profile, PROFILE_NAMES, "profile")
        check_dht(self.dht)
        check_blocks(self.blocks)
        _one_of(self.provide, PROVIDE_STRATEGIES, "provide")
        if arguments.seconds(self.provide_interval, "provide_interval") < LEAST_PROVIDE_INTERVAL:
            raise arguments.out_of_range(
                "provide_interval", self.provide_interval, f"{LEAST_PROVIDE_INTERVAL:g} s or more"
            )
        object.__setattr__(self, "routers", _texts(self.routers, "routers"))
        for url in self.routers:
            check_router_url(url)
        object.__setattr__(self, "bootstrap", _texts(self.bootstrap, "bootstrap"))
        if self.bootstrap:  # reading them loads multiaddr
            from libp2p.discovery.bootstrap.sources import read_sources

            read_sources(self.bootstrap)

        object.__setattr__(self, "peering", _texts(self.peering, "peering"))
        if self.peering:
            from libp2p.discovery.peering.keeper import peers_to_keep

            peers_to_keep(self.peering)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Config:
        """
        Take the known settings out of a decoded file; unknown ones belong to later versions.

        :raises RepoError: if a setting has the wrong type or an impossible value.
        """
        taken: dict[str, Any] = {}
        for field in fields(cls):
            if field.name not in values:
                continue
            value = values[field.name]
            kind, expected = _JSON_KINDS[type(field.default)]
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise RepoError(f"{field.name} must be {expected}")
            if isinstance(value, list):
                if not all(isinstance(item, str) for item in value):
                    raise RepoError(f"{field.name} must be a list of texts")
                value = tuple(value)
            taken[field.name] = value
        try:
            return cls(**taken)
        except (InvalidAddrError, InvalidArgument) as error:
            raise RepoError(f"a setting is wrong: {error}") from error

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def import_options(config: Config, profile: str | None, choices: ImportKnobs) -> ImportOptions:
    """
    Return how a file is imported: a profile, by default that of the settings, and single choices.

    Choices of a named profile count as the caller's; those of the default do not, so that
    ``cid_version=0`` alone has no raw leaves.

    :raises InvalidImportOptions: if the choices contradict each other.
    """
    from libp2p.ipld.profiles import resolve_options  # the command line reads settings without it

    if profile is None and config.profile != DEFAULT_PROFILE:
        profile = config.profile
    return resolve_options(profile, **choices)


_JSON_KINDS: Final[Mapping[type, tuple[Any, str]]] = {
    str: (str, "a text"),
    bool: (bool, "true or false"),
    tuple: (list, "a list of texts"),
    float: ((int, float), "a number"),
}
"""What stands in ``config.json``, by the type of the field."""


def check_router_url(url: str) -> None:
    """:raises RepoError: unless it is the URL of a delegated router."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest or any(map(str.isspace, url)):
        raise RepoError(f"{url!r} is not the URL of a router: write https://router.example")


def check_blocks(blocks: object) -> None:
    """:raises RepoError: unless it names a store of a repo."""
    arguments.instance(blocks, str, "blocks")
    scheme, _, rest = str(blocks).partition("://")
    if blocks not in BLOCKS and not (scheme and rest):
        raise RepoError(
            f"unknown blocks {blocks!r}: use one of {', '.join(BLOCKS)}, or a URL such as "
            "s3://bucket/prefix"
        )


def check_dht(mode: object) -> None:
    """:raises RepoError: unless it is one of `DHT_MODES`."""
    _one_of(mode, DHT_MODES, "dht")


def _one_of(value: object, names: Sequence[str], name: str) -> None:
    arguments.instance(value, str, name)
    if value not in names:
        raise RepoError(f"unknown {name} {value!r}: use one of {', '.join(names)}")


def _texts(values: object, name: str) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(arguments.texts(values, name))


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
