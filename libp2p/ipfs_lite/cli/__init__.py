"""The command ``ipfs-lite``."""

from libp2p.ipfs_lite.cli.entry import main

__all__ = ["main"]
