"""
IPFS in plain Python: no ``await``, nothing to set up, no daemon.

    from libp2p.ipfs_lite import sync

    cid = sync.add(b"hello")
    sync.get(cid)

A peer in the background of this process does the work: it is opened at the first call, in the repo
that ``repo=`` names, and closed at exit. All functions may be called from any thread, from a
notebook, and in a forked worker, which gets a peer of its own. Ctrl-C interrupts them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from libp2p.bridge.remote import bridged
from libp2p.bridge.side import BlockingSide
from libp2p.ipfs_lite import background, everyday
from libp2p.ipfs_lite.file_object import FileObject
from libp2p.ipfs_lite.operations import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from libp2p.ipfs_lite.everyday import PathInput, Repo

__all__ = [
    "add", "addresses", "cat", "connect", "get", "ls", "open", "peer", "pin", "start", "stop",
    "unpin",
]  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")

_SIDE: Final = BlockingSide()


def blocking(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Return a coroutine function of trio as one of plain Python."""
    call: Callable[P, T] = bridged(_SIDE, function)
    return call


add = blocking(everyday.add)
get = blocking(everyday.get)
cat = blocking(everyday.cat)
ls = blocking(everyday.ls)
pin = blocking(everyday.pin)
unpin = blocking(everyday.unpin)
connect = blocking(everyday.connect)
addresses = blocking(everyday.addresses)
stop = blocking(background.stop)
_open: Callable[..., Any] = blocking(everyday.open)


def open(
    path: PathInput, *, repo: Repo = None, timeout: float | None = DEFAULT_TIMEOUT
) -> FileObject:
    """
    Open a file for reading and seeking, as `open` of Python does in mode ``rb``.

    What is not here is fetched while it is read.

    :raises NotAFile: if it is a folder.
    :raises BitswapError: if its first block cannot be had.
    """
    return FileObject(_open(path, repo=repo, timeout=timeout))


def peer(repo: Repo = None) -> Any:
    """
    Return the background peer of a repo: all that `Peer` can do, without ``await``.

    ``async with`` is ``with`` there, and ``async for`` is ``for``. It stays open until the process
    ends, or until `stop`.
    """
    return blocking(background.peer)(repo)


def start(repo: Repo = None, **options: Any) -> Any:
    """
    Open the background peer of a repo with options of `Peer.open`, such as ``listen``.

    Without it the peer is opened when it is first used, and does not listen.

    :return: what `peer` returns.
    :raises IpfsLiteError: if it is open with other options already: `stop` it first.
    """
    return blocking(background.start)(repo, **options)
