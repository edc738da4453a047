"""
The embeddable IPFS peer: files in and out by CID, over bitswap, without a daemon.

The names are loaded when they are first used. So the command line has dealt with signals before it
loads what takes a while.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from libp2p.ipfs_lite.adder import AddResult as AddResult
    from libp2p.ipfs_lite.config import Config as Config
    from libp2p.ipfs_lite.config import default_repo_path as default_repo_path
    from libp2p.ipfs_lite.errors import ForeignRepoError as ForeignRepoError
    from libp2p.ipfs_lite.errors import InvalidSource as InvalidSource
    from libp2p.ipfs_lite.errors import IpfsLiteError as IpfsLiteError
    from libp2p.ipfs_lite.errors import OfflineError as OfflineError
    from libp2p.ipfs_lite.errors import OutputError as OutputError
    from libp2p.ipfs_lite.errors import PeerClosedError as PeerClosedError
    from libp2p.ipfs_lite.errors import ReaderClosedError as ReaderClosedError
    from libp2p.ipfs_lite.errors import RepoError as RepoError
    from libp2p.ipfs_lite.errors import RepoLockedError as RepoLockedError
    from libp2p.ipfs_lite.errors import SourceError as SourceError
    from libp2p.ipfs_lite.output import save as save
    from libp2p.ipfs_lite.peer import Peer as Peer
    from libp2p.ipfs_lite.reader import UnixFSReader as UnixFSReader
    from libp2p.ipfs_lite.repo import Repo as Repo

#: The module that each public name lives in, if it is not ``errors``.
_HOMES: Final = {
    "AddResult": "adder",
    "Config": "config",
    "default_repo_path": "config",
    "save": "output",
    "Peer": "peer",
    "UnixFSReader": "reader",
    "Repo": "repo",
}

__all__ = [
    "Peer",
    "AddResult",
    "UnixFSReader",
    "save",
    "Repo",
    "Config",
    "default_repo_path",
    "IpfsLiteError",
    "RepoError",
    "RepoLockedError",
    "ForeignRepoError",
    "OfflineError",
    "PeerClosedError",
    "ReaderClosedError",
    "SourceError",
    "InvalidSource",
    "OutputError",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
