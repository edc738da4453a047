"""Tables by CID: pandas reads and writes ``ipfs://`` as it does files."""

from __future__ import annotations

import os
import tempfile

import fsspec
import pandas as pd

from libp2p import fs

os.environ["IPFS_LITE_PATH"] = tempfile.mkdtemp()  # by default a folder in your home
fs.register()  # not needed where the package is installed

table = pd.DataFrame({"city": ["Oslo", "Quito"], "height": [23, 2850]})
with fsspec.filesystem("ipfs").transaction as written:
    table.to_csv("ipfs://results/cities.csv", index=False)
print("written:", written.cid)
print(pd.read_csv(f"ipfs://{written.cid}")["height"].max())

files = fsspec.filesystem("ipfs")
folder = files.cid("results")
print([path.removeprefix(folder) for path in files.glob(f"ipfs://{folder}/*.csv")])
