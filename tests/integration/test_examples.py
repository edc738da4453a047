"""Every program in examples/ runs as it stands and prints what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

PROMISES = {
    "announcing.py": "announced: 1\nfound at this host: True\nwaiting: 0",
    "asyncio_guest.py": "bytes as a guest of asyncio",
    "asyncio_files.py": "b'hello, world'",
    "asyncio_peer.py": "bytes under asyncio\nhello, bob",
    "bitswap_client_server.py": "Hello, Bitswap!",
    "dht.py": "told others: True\nfound two: True\nthe value: b'hello, world'\nwhere two is: True",
    "events.py": "connected\nit speaks ping: True\nit asks for a greeting\ngone\nevents dropped: 0",
    "pins.py": "recursive site\n6 bytes are free",
    "mutable_files.py": "['copy.html', 'index.html'] True",
    "few_lines.py": "bafkrei",
    "folders.py": "folders.py\nidentical",
    "go_ipfs_lite.py": "b'hello, world\\n'\nhere now: True\nit is in the block store: True\n"
    "exchange: BitswapClient",
    "in_memory.py": "passed, in memory",
    "plain_python.py": "b'hello, world'\nTrue\nb'\"\"\"Files by",
    "ipfs_urls.py": "written: bafkrei",
    "layered_stores.py": "damaged: 0\ncopied again: 0 already there: 1\nin the bucket still: True",
    "names.py": "True first edition\nTrue second edition",
    "lasting_peers.py": "told of nobody\nconnected\npeers: 1",
    "nodes.py": "Ada\nb'the bytes of a picture'\nbafyrei",
    "own_router.py": "found in the catalogue\ncatalogue: 1 of 1 calls, 0 errors",
    "own_store.py": "is kept: True",
    "records.py": "/ipfs/bafkqaaa until 2030-03-17T17:46:40Z\nthe best is 1",
    "streams.py": "the answer is complete\nno stream: ProtocolNotSupportedError\n"
    "lost: MuxedStreamReset\nthe server is gone",
    "private_network.py": "found: True\nof this network only",
    "two_peers.py": "identical",
    "watching.py": "blocks wanted: 0",
    "yamux_statistics.py": "the window doubled",
}


TESTED_ELSEWHERE = {"fastapi_files.py", "routing_server.py"}
"""They need other packages."""


def test_every_example_has_a_promise() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*PROMISES, *TESTED_ELSEWHERE}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMISES)
def test_the_example_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env={
            **os.environ,
            "PYTHONPATH": str(EXAMPLES.parent),
            "IPFS_LITE_PATH": str(tmp_path / "repo"),
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert PROMISES[name] in done.stdout
