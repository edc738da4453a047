"""Files by CID in plain Python: the peer runs in the background, and there is nothing to set up."""

from __future__ import annotations

import os
import tempfile

os.environ["IPFS_LITE_PATH"] = tempfile.mkdtemp()  # by default a folder in your home

from libp2p.ipfs_lite import sync

cid = sync.add(b"hello, world")
print(cid, sync.get(cid))

folder = sync.add(os.path.dirname(__file__))
print("pins.py" in [entry.name for entry in sync.ls(folder)])
with sync.open(f"{folder}/plain_python.py") as file:
    print(file.readline())
