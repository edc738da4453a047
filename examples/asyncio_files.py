"""Files by CID in asyncio: the peer runs in the background, and there is nothing to set up."""

from __future__ import annotations

import asyncio
import os
import tempfile

from libp2p.ipfs_lite import aio


async def main() -> None:
    cid = await aio.add(b"hello, world")
    print(cid, await aio.get(cid))


os.environ["IPFS_LITE_PATH"] = tempfile.mkdtemp()  # by default a folder in your home
asyncio.run(main())
