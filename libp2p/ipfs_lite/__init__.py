"""
The embeddable IPFS peer: files in and out by CID, over bitswap, without a daemon.

The names are loaded when they are first used. So the command line has dealt with signals before it
loads what takes a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.utils.lazy import lazy_names

if TYPE_CHECKING:
    from libp2p.ipfs_lite.adder import AddResult as AddResult
    from libp2p.ipfs_lite.car_files import CarResult as CarResult
    from libp2p.ipfs_lite.config import Config as Config
    from libp2p.ipfs_lite.config import default_repo_path as default_repo_path
    from libp2p.ipfs_lite.errors import ForeignRepoError as ForeignRepoError
    from libp2p.ipfs_lite.errors import InvalidSource as InvalidSource
    from libp2p.ipfs_lite.errors import IpfsLiteError as IpfsLiteError
    from libp2p.ipfs_lite.errors import KeyExistsError as KeyExistsError
    from libp2p.ipfs_lite.errors import KeyNotFoundError as KeyNotFoundError
    from libp2p.ipfs_lite.errors import KeystoreError as KeystoreError
    from libp2p.ipfs_lite.errors import OfflineError as OfflineError
    from libp2p.ipfs_lite.errors import OutputError as OutputError
    from libp2p.ipfs_lite.errors import PeerClosedError as PeerClosedError
    from libp2p.ipfs_lite.errors import ReaderClosedError as ReaderClosedError
    from libp2p.ipfs_lite.errors import RepoError as RepoError
    from libp2p.ipfs_lite.errors import RepoLockedError as RepoLockedError
    from libp2p.ipfs_lite.errors import SourceError as SourceError
    from libp2p.ipfs_lite.go import AddParams as AddParams
    from libp2p.ipfs_lite.go import default_bootstrap_peers as default_bootstrap_peers
    from libp2p.ipfs_lite.go import new as new
    from libp2p.ipfs_lite.go import new_in_memory_datastore as new_in_memory_datastore
    from libp2p.ipfs_lite.go import setup_libp2p as setup_libp2p
    from libp2p.ipfs_lite.keystore import Keystore as Keystore
    from libp2p.ipfs_lite.output import save as save
    from libp2p.ipfs_lite.peer import Peer as Peer
    from libp2p.ipfs_lite.reader import UnixFSReader as UnixFSReader
    from libp2p.ipfs_lite.repo import Repo as Repo
    from libp2p.ipfs_lite.tree_saver import TreeResult as TreeResult

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            ".adder": ["AddResult"],
            ".car_files": ["CarResult"],
            ".config": ["Config", "default_repo_path"],
            ".errors": [
                "ForeignRepoError",
                "InvalidSource",
                "IpfsLiteError",
                "KeyExistsError",
                "KeyNotFoundError",
                "KeystoreError",
                "OfflineError",
                "OutputError",
                "PeerClosedError",
                "ReaderClosedError",
                "RepoError",
                "RepoLockedError",
                "SourceError",
            ],
            ".go": [
                "AddParams",
                "default_bootstrap_peers",
                "new",
                "new_in_memory_datastore",
                "setup_libp2p",
            ],
            ".keystore": ["Keystore"],
            ".output": ["save"],
            ".peer": ["Peer"],
            ".reader": ["UnixFSReader"],
            ".repo": ["Repo"],
            ".tree_saver": ["TreeResult"],
        },
    )
