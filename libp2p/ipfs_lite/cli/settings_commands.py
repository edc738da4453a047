"""``config``, ``version`` and ``completion``. Names and flags are Kubo's where Kubo has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, with_time_limit

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At

_SHELLS = ("bash", "zsh", "fish")


class _KeyOrVerb(click.Group):
    """``config KEY [VALUE]`` beside ``config show``: what is no verb is a key."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            return "KEY", _one_setting, args
        return super().resolve_command(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["show | edit | KEY [VALUE]"]


@click.group(cls=_KeyOrVerb, context_settings={"ignore_unknown_options": True})
def config() -> None:
    """
    Read and change the settings of the repo.

    `config KEY` prints a setting, `config KEY VALUE` changes it. A running `serve` goes on with
    those it began with.
    """


@click.command()
@click.argument("key")
@click.argument("value", required=False)
@click.option("--bool", "as_bool", is_flag=True, help="VALUE is true or false.")
@click.option("--json", "is_json", is_flag=True, help="VALUE is JSON, such as a list of texts.")
@with_time_limit()
def _one_setting(at: At, key: str, value: str | None, as_bool: bool, is_json: bool) -> None:
    from libp2p.ipfs_lite.cli import settings

    if value is None:
        at.run(settings.show_one, key)
    else:
        at.run(settings.change, key, value, is_json=is_json or as_bool)


@config.command()
@with_time_limit()
def show(at: At) -> None:
    """Print all settings as JSON, without the private key."""
    from libp2p.ipfs_lite.cli import settings

    at.run(settings.show)


@config.command()
@with_time_limit()
def edit(at: At) -> None:
    """Change the settings in $EDITOR."""
    from libp2p.ipfs_lite.cli import settings

    at.run(settings.edit)


@click.command()
@click.option("-n", "--number", is_flag=True, help="The number alone.")
@click.option("--repo", is_flag=True, help="The version of the repo's layout.")
@click.option("--all", "everything", is_flag=True, help="Also of Python, libraries and the system.")
@as_json_option
def version(number: bool, repo: bool, everything: bool, as_json: bool) -> None:
    """Print versions."""
    from libp2p.ipfs_lite.cli import settings

    settings.version(number=number, repo=repo, everything=everything, as_json=as_json)


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """
    Print the script by which a shell completes verbs and options.

    For bash: `eval "$(ipfs-lite completion bash)"` in ~/.bashrc.
    """
    from libp2p.ipfs_lite.cli import settings

    settings.completion(shell)
