"""``init`` and ``id``, which load neither the network nor the import of files."""

from __future__ import annotations

import base64
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from libp2p.ipfs_lite.cli.terminal import say, say_json
from libp2p.ipfs_lite.config import Config
from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipfs_lite.repo import Repo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.repo import Identity


def config_of(settings: Mapping[str, object]) -> Config:
    """Return the settings with what was chosen; what was not is None or empty."""
    chosen = {name: value for name, value in settings.items() if value not in (None, (), False)}
    listen = [str(address) for address in settings.get("listen") or ()]  # type: ignore[attr-defined]
    if listen:
        chosen["listen"] = tuple(listen)
    return replace(Config(), **chosen)  # type: ignore[arg-type]  # as the options have checked


def init(at: At, config: Config, as_json: bool) -> None:
    repo = at.repo

    def make() -> Identity:
        if Repo.exists(repo):
            raise RepoError(
                f"{repo} is a repo already: remove it first, or name another with --repo"
            )
        with Repo.open(repo, config):
            return Repo.identity_of(repo)

    at.run(partial(_show, repo, make, as_json, needed=False))


def show_id(at: At, as_json: bool) -> None:
    at.run(partial(_show, at.repo, partial(Repo.identity_of, at.repo), as_json))


async def _show(
    repo: Path, find: Callable[[], Identity], as_json: bool, *, needed: bool = True
) -> None:
    from libp2p.peer.id import ID

    identity = await trio.to_thread.run_sync(find)
    public_key = identity.private_key.get_public_key()
    peer_id = str(ID.from_pubkey(public_key))
    if not as_json:
        return await say(peer_id, needed=needed)
    key_text = base64.b64encode(public_key.serialize()).decode()
    named = {"id": peer_id, "public_key": key_text, "repo": str(repo)}
    await say_json({**named, **identity.config.to_json()}, needed=needed)
