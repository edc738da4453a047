"""Files by CID over HTTP: FastAPI on asyncio, the peer on trio in a thread of its own."""

from __future__ import annotations

import os
import tempfile
from asyncio import to_thread, wrap_future
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from libp2p.bitswap import BlockUnavailableError
from libp2p.ipfs_lite import Peer

REPO = os.environ.get("FILES_REPO", "files-repo")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with start_blocking_portal("trio") as portal:
        opening = Peer.open(REPO, listen=["/ip4/127.0.0.1/tcp/0"])
        with portal.wrap_async_context_manager(opening) as app.state.peer:
            app.state.start = portal.start_task_soon
            yield


app = FastAPI(lifespan=lifespan)


@app.post("/files")
async def add(request: Request) -> dict[str, object]:
    """Add the body of the request, which may be larger than the memory."""
    with tempfile.TemporaryFile() as body:
        async for chunk in request.stream():
            await to_thread(body.write, chunk)
        body.seek(0)
        added = await wrap_future(app.state.start(app.state.peer.add_file, body))
    return {"cid": str(added.cid), "size": added.size}


@app.get("/files/{cid}")
async def get(cid: str) -> StreamingResponse:
    try:
        file = await wrap_future(app.state.start(app.state.peer.get_file, cid))
    except ValueError as error:  # no CID, or not that of a file
        raise HTTPException(400, str(error)) from error
    except BlockUnavailableError as error:
        raise HTTPException(404, str(error)) from error
    except TimeoutError as error:
        raise HTTPException(504, str(error)) from error

    async def content() -> AsyncIterator[bytes]:
        try:
            while buffers := await wrap_future(app.state.start(file.receive)):
                yield b"".join(buffers)
        finally:
            app.state.start(file.close)

    return StreamingResponse(content(), headers={"Content-Length": str(file.size)})
