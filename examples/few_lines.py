"""The shortest program: add bytes, and get them by their CID."""

from __future__ import annotations

from libp2p.ipfs_lite import sync

cid = sync.add(b"hello, world")
print(cid)
print(sync.get(cid))
