"""
Peers in the background: one for each repo of this process, opened when it is first used.

They run in trio's own thread (`libp2p.bridge`) until the process ends, or until `stop`. What is
here runs in that thread; `libp2p.ipfs_lite.sync` and `libp2p.ipfs_lite.aio` call it.
"""

from __future__ import annotations

from copy import copy
from os import PathLike
from pathlib import Path
from typing import Any, Final

import trio

from libp2p.bridge.trio_thread import lasting_nursery
from libp2p.ipfs_lite.config import default_repo_path
from libp2p.ipfs_lite.errors import IpfsLiteError, PeerClosedError
from libp2p.ipfs_lite.peer import Peer
from libp2p.utils.logs import get_logger

logger = get_logger(__name__)

_running: Final[trio.lowlevel.RunVar[dict[Path, _Running]]] = trio.lowlevel.RunVar("peers")


class _Running:
    """One peer, from the moment in which somebody wants it until it is closed."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options: Final = options
        self.closed: Final = trio.Event()
        self._opened = trio.Event()
        self._leaving = trio.Event()
        self._peer: Peer | None = None
        self._error: Exception | None = None

    async def run(self, repo: Path, ending: trio.Event) -> None:
        """Keep the peer open until the process ends, or until `close`."""
        try:
            async with Peer.open(repo, **self.options) as self._peer:
                self._opened.set()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._close_after, ending)
                    await self._leaving.wait()
                    nursery.cancel_scope.cancel()
        except Exception as error:  # task's edge: who uses the peer gets it
            self._error = error
            if self._opened.is_set():
                logger.exception("the background peer of %s has ended", repo)
        finally:
            peers = _peers()
            if peers.get(repo) is self:
                del peers[repo]
            self._opened.set()
            self.closed.set()

    async def _close_after(self, event: trio.Event) -> None:
        await event.wait()
        self._leaving.set()

    async def opened(self) -> Peer:
        """Wait until the peer is open; raise why it is not."""
        await self._opened.wait()
        if self._error is not None:
            raise copy(self._error)
        if self._peer is None:
            raise PeerClosedError
        return self._peer

    def close(self) -> None:
        self._leaving.set()


def _peers() -> dict[Path, _Running]:
    try:
        return _running.get()
    except LookupError:
        peers: dict[Path, _Running] = {}
        _running.set(peers)
        return peers


def _place(repo: str | PathLike[str] | None) -> Path:
    return Path(default_repo_path() if repo is None else repo).expanduser().absolute()


async def peer(repo: str | PathLike[str] | None = None) -> Peer:
    """
    Return the background peer of a repo: all that `Peer` can do.

    It stays open until the process ends, or until `stop`: do not enter it.

    :param repo: its folder, made if need be; by default `default_repo_path`.
    :raises RepoError: if the repo cannot be used.
    """
    return await _started(_place(repo)).opened()


async def start(repo: str | PathLike[str] | None = None, **options: Any) -> Peer:
    """
    Open the background peer of a repo with options of `Peer.open`, such as ``listen``.

    Without it the peer is opened when it is first used, and does not listen.

    :raises IpfsLiteError: if it is open with other options already: `stop` it first.
    """
    running = _started(_place(repo), options)
    if running.options != options:
        raise IpfsLiteError("the background peer is open with other options: stop it first")
    return await running.opened()


def _started(place: Path, options: dict[str, Any] | None = None) -> _Running:
    running = _peers().get(place)
    if running is None:
        running = _peers()[place] = _Running(options or {})
        nursery, ending = lasting_nursery()
        nursery.start_soon(running.run, place, ending)
    return running


async def stop(repo: str | PathLike[str] | None = None) -> None:
    """Close the background peer of a repo, if it is open; the next use opens it anew."""
    running = _peers().get(_place(repo))
    if running is not None:
        running.close()
        await running.closed.wait()
