"""``python -m libp2p.ipfs_lite`` is the command ``ipfs-lite``."""

from __future__ import annotations

from libp2p.ipfs_lite.cli import main

if __name__ == "__main__":
    main()
