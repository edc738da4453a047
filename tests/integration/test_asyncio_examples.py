"""What asyncio's programs are told to do: the recipes of docs/asyncio.rst, FastAPI among them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
import trio

from examples.asyncio_guest import as_guest
from libp2p.ipfs_lite import sync

ROOT = Path(__file__).resolve().parents[2]
CONTENT = os.urandom(3_000_000)


class Fate:
    """What became of something that never ends by itself."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cancelled = False

    async def wait(self) -> None:
        self.begun.set()
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled = True
            raise


def test_what_asyncio_cancels_ends_in_the_guest() -> None:
    fate = Fate()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(as_guest(fate.wait), 0.2)

    asyncio.run(main())
    assert fate.cancelled


def test_what_the_guest_raises_is_raised_in_asyncio() -> None:
    async def fail() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        asyncio.run(as_guest(fail))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """FastAPI as uvicorn runs it."""
    command = [sys.executable, "-m", "uvicorn", "fastapi_files:app", "--port", "0"]
    command += ["--app-dir", str(ROOT / "examples")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FILES_REPO": str(tmp_path / "repo")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log = []
        for line in process.stderr:
            log.append(line)
            if found := re.search(r"running on (http://\S+)", line):
                break
        else:
            pytest.fail("".join(log))
        yield f"{found[1]}/files"
        process.terminate()
        log += process.stderr
    assert not any("Traceback" in line or "ERROR" in line for line in log), "".join(log)


@pytest.mark.slow
def test_fastapi_adds_and_serves_files(server: str) -> None:
    def get(cid: str) -> bytes:
        with urlopen(f"{server}/{cid}", timeout=30) as response:
            data: bytes = response.read()
            return data

    with urlopen(Request(server, data=CONTENT), timeout=30) as response:
        added = json.load(response)
    assert added["size"] == len(CONTENT)
    assert get(added["cid"]) == CONTENT
    for cid, status in (("no-cid", 400), ("bafkqaaa" + "x" * 50, 400), (MISSING, 404)):
        with pytest.raises(HTTPError) as error:
            get(cid)
        assert error.value.code == status
        error.value.close()
    # Who hangs up in the middle harms nobody.
    with urlopen(f"{server}/{added['cid']}", timeout=30) as response:
        response.read(1000)
    time.sleep(0.2)
    assert get(added["cid"]) == CONTENT


@pytest.mark.slow
def test_fastapi_serves_files_while_it_fetches_others(server: str, tmp_path: Path) -> None:
    """What is here is served all the time while files of another peer come in."""
    provider = tmp_path / "provider"
    sync.start(provider, listen="/ip4/127.0.0.1/tcp/0")
    address = quote(sync.addresses(repo=provider)[0])
    others = [sync.add(os.urandom(30_000_000), repo=provider) for _ in range(2)]
    fetched: list[int] = []

    def fetch(cid: object) -> None:
        with urlopen(f"{server}/{cid}", timeout=50) as response:
            fetched.append(sum(map(len, iter(lambda: response.read(2**20), b""))))

    with urlopen(Request(server, data=CONTENT), timeout=30) as response:
        own = json.load(response)["cid"]
    connect = Request(f"{server.removesuffix('/files')}/connect?address={address}", method="POST")
    urlopen(connect, timeout=30).close()
    threads = [threading.Thread(target=fetch, args=(cid,)) for cid in others]
    for thread in threads:
        thread.start()
    served = 0
    while not served or any(thread.is_alive() for thread in threads):
        with urlopen(f"{server}/{own}", timeout=30) as response:
            assert response.read() == CONTENT
        served += 1
    assert fetched == [30_000_000] * 2
    print(f"served {served} times while fetching")
    sync.stop(provider)


MISSING = "bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
