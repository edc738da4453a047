"""Options that several verbs have."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict

import click

from libp2p.ipfs_lite.cli.parameters import NONE, BootstrapAddress, Duration, RouterUrl
from libp2p.ipfs_lite.config import DHT_MODES
from libp2p.ipld.profile_names import PROFILE_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.ipfs_lite.config import Config

as_json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="Write JSON, one object a line."
)
profile_option: Final = click.option(
    "--profile", type=click.Choice(PROFILE_NAMES), help="A named set of import options."
)


def with_time_limit(
    timeout_help: str = "Give up after this time: seconds, or 90s, or 2m.",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the option ``--timeout`` to a command; its first argument becomes an `At`."""

    def with_timeout(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--timeout", type=Duration(), help=timeout_help)
        @click.pass_obj
        @functools.wraps(command)
        def run(repo: Path | None, /, timeout: float | None, **options: object) -> None:
            from libp2p.ipfs_lite.cli.at import At

            command(At(repo, timeout), **options)

        return run

    return with_timeout


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

    def settings(self) -> NetworkSettings:
        """Return it as options of `Peer.open`."""
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
        return (self.dht or config.dht) != "off"

    @staticmethod
    def _named(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(value for value in values if value != NONE)


def networked(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say whom to ask; the command gets a `NetworkChoice`, ``network``."""

    @click.option(
        "--bootstrap",
        multiple=True,
        type=BootstrapAddress(),
        help="Find others by this peer; repeatable. `none` is nobody at all.",
    )
    @click.option("--dht", type=click.Choice(DHT_MODES), help="The part in the DHT.")
    @click.option(
        "--router",
        "routers",
        multiple=True,
        type=RouterUrl(),
        help="Ask this delegated router; repeatable. `none` is none at all.",
    )
    @functools.wraps(command)
    def run(
        *args: object,
        bootstrap: tuple[str, ...],
        dht: str | None,
        routers: tuple[str, ...],
        **options: object,
    ) -> None:
        command(*args, network=NetworkChoice(bootstrap, dht, routers), **options)

    return run
