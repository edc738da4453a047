"""Options that several verbs have."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, TypedDict

import click

from libp2p.ipfs_lite.cli.parameters import (
    NONE,
    BootstrapAddress,
    Duration,
    KeptPeer,
    PeerAddress,
    RouterUrl,
)
from libp2p.ipfs_lite.config import DHT_MODES
from libp2p.ipld.profile_names import PROFILE_NAMES

if TYPE_CHECKING:
    from libp2p.ipfs_lite.config import Config
    from libp2p.ipfs_lite.tree_adder import TreeOptions
    from libp2p.peer.peerinfo import PeerInfo

Decorator: TypeAlias = "Callable[[Callable[..., None]], Callable[..., None]]"


def as_json_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--json``, and Kubo's ``--enc=json`` for it, to a command."""

    @click.option("--json", "as_json", is_flag=True, help="Write JSON, one object a line.")
    @click.option("--enc", type=click.Choice(("json", "text")), hidden=True)
    @functools.wraps(command)
    def run(*args: object, as_json: bool, enc: str | None, **options: object) -> None:
        command(*args, as_json=as_json or enc == "json", **options)

    return run


profile_option: Final = click.option(
    "--profile", type=click.Choice(PROFILE_NAMES), help="A named set of import options."
)
#: A bar is shown on terminals alone, whatever is said.
progress_option: Final = click.option(
    "-p", "--progress", is_flag=True, expose_value=False, help="A terminal always shows it."
)
peering_option: Final = click.option(
    "--peering",
    multiple=True,
    type=KeptPeer(),
    metavar="MULTIADDR",
    help="Stay connected to this peer; repeatable.",
)


def with_time_limit(
    timeout_help: str = "Give up after this time: seconds, or 90s, or 2m.",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the option ``--timeout`` to a command; it gets an `At` and no ``as_json``."""

    def with_timeout(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--timeout", type=Duration(), help=timeout_help)
        @click.pass_obj
        @functools.wraps(command)
        def run(
            repo: Path | None,
            /,
            timeout: float | None,
            as_json: bool = False,
            **options: object,
        ) -> None:
            from libp2p.ipfs_lite.cli.at import At

            command(At(repo, timeout, as_json), **options)

        return run

    return with_timeout


@dataclass(frozen=True, slots=True)
class FolderChoice:
    """What the options say of folders; see `TreeOptions`."""

    recursive: bool
    wrap: bool
    hidden: bool
    ignored: tuple[str, ...]
    rules: str | None
    follow_links: bool
    keep_mode: bool
    keep_mtime: bool
    quiet: bool
    quieter: bool
    silent: bool

    def patterns(self) -> list[str]:
        """Return what is left out, the lines of the file with rules first."""
        return [*(_rules(self.rules) if self.rules else []), *self.ignored]

    def options(self) -> TreeOptions:
        """Return it as options of a `TreeAdder`."""
        from libp2p.ipfs_lite.tree_adder import TreeOptions

        return TreeOptions(
            hidden=self.hidden,
            ignored=_ignores(self.patterns()) if self.ignored or self.rules else None,
            follow_links=self.follow_links,
            keep_mode=self.keep_mode,
            keep_mtime=self.keep_mtime,
        )


def _rules(path: str) -> list[str]:
    """Return the lines of a file."""
    from libp2p.ipfs_lite.errors import SourceError

    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no text: {error}") from error


def _ignores(patterns: Sequence[str]) -> Callable[[str, bool], bool]:
    """Return the function that tells what patterns leave out; Kubo too looks at names alone."""
    from pathspec import GitIgnoreSpec

    spec = GitIgnoreSpec.from_lines(patterns)
    return lambda name, is_folder: spec.match_file(f"{name}/" if is_folder else name)


def _gathered(
    command: Callable[..., None], kind: type[object], name: str, *options: Decorator
) -> Callable[..., None]:
    """Add options to a command, which gets them as one ``kind``: its fields have their names."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]

    def run(*args: object, **values: object) -> None:
        chosen = kind(*(values.pop(each) for each in names))
        command(*args, **values, **{name: chosen})

    decorated: Callable[..., None] = functools.wraps(command)(run)
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def with_folders(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for folders to a command, which gets them as ``folders``."""
    ignored = "Leave out names of this kind, as in .gitignore; repeatable."
    return _gathered(
        command,
        FolderChoice,
        "folders",
        click.option("-r", "--recursive", is_flag=True, help="Add folders with all below them."),
        click.option("-w", "--wrap-with-directory", "wrap", is_flag=True, help="Into one folder."),
        click.option("-H", "--hidden", is_flag=True, help="Add names that begin with a dot too."),
        click.option("--ignore", "ignored", multiple=True, metavar="PATTERN", help=ignored),
        click.option(
            "--ignore-rules-path",
            "rules",
            type=click.Path(exists=True, dir_okay=False),
            metavar="FILE",
            help="A file with such patterns.",
        ),
        click.option("--dereference-symlinks", "follow_links", is_flag=True, help="Follow links."),
        click.option("--preserve-mode", "keep_mode", is_flag=True, help="Keep permissions."),
        click.option("--preserve-mtime", "keep_mtime", is_flag=True, help="Keep times."),
        click.option("-q", "--quiet", is_flag=True, help="Print CIDs without names."),
        click.option("-Q", "--quieter", is_flag=True, help="Print the last CID alone."),
        click.option("--silent", is_flag=True, help="Print nothing."),
    )


class NetworkSettings(TypedDict):
    """What `Peer.open` is told; None stands for what the repo says."""

    bootstrap: tuple[str, ...] | None
    dht: str | None
    routers: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """What ``--bootstrap``, ``--dht`` and ``--router`` said; empty is what the repo says."""

    bootstrap: tuple[str, ...]
    dht: str | None
    routers: tuple[str, ...]
    offline: bool = False
    """Nobody is asked, whatever else is said."""

    def settings(self) -> NetworkSettings:
        """Return it as options of `Peer.open`."""
        if self.offline:
            return {"bootstrap": (), "dht": "off", "routers": ()}
        return {
            "bootstrap": None if not self.bootstrap else self._named(self.bootstrap),
            "dht": self.dht,
            "routers": None if not self.routers else self._named(self.routers),
        }

    def knows_anybody(self, config: Config) -> bool:
        """Tell whether there is a peer or router to ask, apart from peers seen before."""
        chosen = self.settings()
        bootstrap = config.bootstrap if chosen["bootstrap"] is None else chosen["bootstrap"]
        routers = config.routers if chosen["routers"] is None else chosen["routers"]
        return bool(bootstrap or routers)

    def may_ask_the_dht(self, config: Config) -> bool:
        """Tell whether the DHT is to be used."""
        return (self.settings()["dht"] or config.dht) != "off"

    def require_others(self) -> None:
        """:raises click.UsageError: for a verb that is of no use offline."""
        if self.offline:
            raise click.UsageError("this verb needs others: leave out --offline.")

    @staticmethod
    def _named(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(value for value in values if value != NONE)


#: The choice of a command without a network.
NOBODY: Final = NetworkChoice((), None, ())


@dataclass(frozen=True, slots=True)
class FetchChoice:
    """The peers to fetch from, whether blocks of the disk are verified, and who else is asked."""

    peers: tuple[PeerInfo, ...]
    verify: bool
    network: NetworkChoice

    def __post_init__(self) -> None:
        if self.peers:
            self.network.require_others()


def from_peers(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a fetch to a command, which gets them as ``fetch``."""
    peer = "Ask this peer; repeatable."
    verify = "Find blocks that the disk has damaged."
    return _gathered(
        command,
        FetchChoice,
        "fetch",
        click.option("--peer", "peers", multiple=True, type=PeerAddress(), help=peer),
        click.option("--verify/--no-verify", default=True, help=verify),
        networked,
    )


def networked(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say whom to ask; the command gets a `NetworkChoice`, ``network``."""
    bootstrap = "Find others by this peer; repeatable. `none` is nobody at all."
    router = "Ask this delegated router; repeatable. `none` is none at all."
    return _gathered(
        command,
        NetworkChoice,
        "network",
        click.option("--bootstrap", multiple=True, type=BootstrapAddress(), help=bootstrap),
        click.option("--dht", type=click.Choice(DHT_MODES), help="The part in the DHT."),
        click.option("--router", "routers", multiple=True, type=RouterUrl(), help=router),
        click.option("--offline", is_flag=True, hidden=True, callback=_is_offline),
    )


#: Where the flag that stands before the verb is kept.
_OFFLINE: Final = "libp2p.ipfs_lite.cli.offline"


def set_offline(ctx: click.Context, _: click.Parameter, offline: bool) -> None:
    """Have the verb ask nobody, if that is what the flag before it says."""
    ctx.meta[_OFFLINE] = offline


def _is_offline(ctx: click.Context, _: click.Parameter, offline: bool) -> bool:
    return offline or ctx.meta.get(_OFFLINE, False)
