"""``init`` and ``id``, which load neither the network nor the import of files."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from libp2p.ipfs_lite.config import Config
from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipfs_lite.repo import Repo

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.repo import Identity


def config_of(settings: Mapping[str, object]) -> Config:
    """Return the settings with what was chosen; what was not is None or empty."""
    chosen = {name: value for name, value in settings.items() if value not in (None, (), False)}
    listen = [str(address) for address in settings.get("listen") or ()]  # type: ignore[attr-defined]
    if listen:
        chosen["listen"] = tuple(listen)
    return replace(Config(), **chosen)  # type: ignore[arg-type]  # as the options have checked


async def init(at: At, config: Config) -> None:
    def make() -> Identity:
        if Repo.exists(at.repo):
            raise RepoError(
                f"{at.repo} is a repo already: remove it first, or name another with --repo"
            )
        with Repo.open(at.repo, config):
            return Repo.identity_of(at.repo)

    await _show(at, await trio.to_thread.run_sync(make), needed=False)


async def show_id(at: At) -> None:
    await _show(at, await trio.to_thread.run_sync(Repo.identity_of, at.repo))


async def _show(at: At, identity: Identity, *, needed: bool = True) -> None:
    from libp2p.peer.id import ID

    public_key = identity.private_key.get_public_key()
    peer_id = str(ID.from_pubkey(public_key))
    key_text = base64.b64encode(public_key.serialize()).decode()
    named = {"id": peer_id, "public_key": key_text, "repo": str(at.repo)}
    await at.say({**named, **identity.config.to_json()}, peer_id, needed=needed)
