"""The embeddable IPFS peer: files in and out by CID, over bitswap, without a daemon."""

from libp2p.ipfs_lite.adder import AddResult
from libp2p.ipfs_lite.config import Config, default_repo_path
from libp2p.ipfs_lite.errors import (
    ForeignRepoError,
    InvalidSource,
    IpfsLiteError,
    OfflineError,
    OutputError,
    PeerClosedError,
    ReaderClosedError,
    RepoError,
    RepoLockedError,
    SourceError,
)
from libp2p.ipfs_lite.output import save
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipfs_lite.reader import UnixFSReader
from libp2p.ipfs_lite.repo import Repo

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
