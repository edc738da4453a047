"""What ``config``, ``version`` and ``completion`` do and print."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from libp2p.ipfs_lite.cli import terminal
from libp2p.ipfs_lite.cli.entry import COMPLETE_VARIABLE
from libp2p.ipfs_lite.cli.terminal import PROGRAM, say, say_now
from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipfs_lite.repo import VERSION, Repo
from libp2p.utils.version import __version__

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At


async def show_one(at: At, key: str) -> None:
    value = (await _settings(at)).get(key)
    if value is None:
        raise RepoError(f"there is no setting {key}: `config show` prints all")
    await say(value if isinstance(value, str) else json.dumps(value))


async def show(at: At) -> None:
    for line in json.dumps(await _settings(at), indent=2).splitlines():
        await say(line)


async def change(at: At, key: str, text: str, *, is_json: bool) -> None:
    value = _parsed(await _settings(at), key, text, is_json)
    await trio.to_thread.run_sync(Repo.configure, at.repo, {key: value})


async def edit(at: At) -> None:
    import click

    before = json.dumps(await _settings(at), indent=2) + "\n"
    edited = await trio.to_thread.run_sync(
        lambda: click.edit(before, extension=".json"), abandon_on_cancel=True
    )
    if edited is None or edited == before:
        return
    try:
        values = json.loads(edited)
    except ValueError as error:
        raise RepoError(f"nothing was changed, for that is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise RepoError("nothing was changed, for that is no object")
    await trio.to_thread.run_sync(Repo.configure, at.repo, values)


def version(*, number: bool, repo: bool, everything: bool, as_json: bool) -> None:
    facts = {"version": __version__, "repo": VERSION.rpartition(" ")[2]}
    facts["system"] = f"{platform.machine()}/{platform.system().lower()}"
    facts["python"] = platform.python_version()
    if as_json:
        return say_now(terminal.as_json(facts) + "\n")
    lines = [__version__] if number else [f"{PROGRAM} version {__version__}"]
    if repo:
        lines = [facts["repo"]]
    elif everything:
        lines = [
            f"{PROGRAM} version: {__version__}",
            f"Repo version: {facts['repo']}",
            f"System version: {facts['system']}",
            f"Python version: {facts['python']}",
            f"trio version: {trio.__version__}",
        ]
    say_now("".join(f"{line}\n" for line in lines))


def completion(shell: str) -> None:
    from click.shell_completion import get_completion_class

    from libp2p.ipfs_lite.cli.commands import cli

    kind = get_completion_class(shell)
    assert kind is not None
    say_now(kind(cli, {}, PROGRAM, COMPLETE_VARIABLE).source() + "\n")


async def _settings(at: At) -> dict[str, object]:
    identity = await trio.to_thread.run_sync(Repo.identity_of, at.repo)
    return identity.config.to_json()


def _parsed(settings: Mapping[str, object], key: str, text: str, is_json: bool) -> object:
    """Return what a text stands for; a setting of another type than text may be written plainly."""
    old = settings.get(key)
    if is_json or (old is not None and not isinstance(old, (str, list, tuple))):
        with suppress(ValueError):
            return json.loads(text)
        raise RepoError(f'{text!r} is no JSON: write true, 3600 or ["a", "b"]')
    return [text] if isinstance(old, (list, tuple)) else text
