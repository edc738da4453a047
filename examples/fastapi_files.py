"""Files by CID over HTTP: FastAPI on asyncio, with a peer in the same process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from libp2p import aio
from libp2p.bitswap import BlockUnavailableError

REPO = os.environ.get("FILES_REPO", "files-repo")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with aio.Peer.open(REPO, listen=["/ip4/127.0.0.1/tcp/0"]) as app.state.peer:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/files")
async def add(request: Request) -> dict[str, object]:
    """Add the body of the request as it comes: it may be larger than the memory."""
    added = await app.state.peer.add_file(request.stream())
    return {"cid": str(added.cid), "size": added.size}


@app.post("/connect")
async def connect(address: str) -> None:
    await app.state.peer.connect(address)


@app.get("/files/{cid}")
async def get(cid: str) -> StreamingResponse:
    try:
        file = await app.state.peer.get_file(cid)
    except ValueError as error:  # no CID, or not that of a file
        raise HTTPException(400, str(error)) from error
    except BlockUnavailableError as error:
        raise HTTPException(404, str(error)) from error
    except TimeoutError as error:
        raise HTTPException(504, str(error)) from error

    async def content() -> AsyncIterator[bytes]:
        async with file:
            while buffers := await file.receive():
                yield b"".join(buffers)

    return StreamingResponse(content(), headers={"Content-Length": str(file.size)})
