"""
Bitswap from the command line: a provider of blocks, a client that fetches them, or both.

    python bitswap.py --mode demo
    python bitswap.py --mode provider --file FILE
    python bitswap.py --mode client --provider MULTIADDR --cid CID

Without a file the provider has three small blocks, which the client asks for if it is given no CID.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.bitswap import BitswapClient
from libp2p.bitswap.cid import cid_to_text, compute_cid_v1
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.ipld.cid import CID
from libp2p.ipld.file_walk import FileWalk
from libp2p.ipld.importer import FileImporter
from libp2p.peer.peerinfo import info_from_p2p_addr

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SAMPLES = [b"Hello, Bitswap!", b"This is a second block.", b"And this is the third."]


@asynccontextmanager
async def running(port: int = 0, seed: str | None = None) -> AsyncIterator[BitswapClient]:
    """Run a host that speaks bitswap; the same seed gives the same peer id."""
    key = create_new_key_pair(hashlib.sha256(seed.encode()).digest()) if seed else None
    host = new_host(key_pair=key)
    listen = [Multiaddr(f"/ip4/0.0.0.0/tcp/{port}")]
    async with host.run(listen), BitswapClient(host).run() as bitswap:
        yield bitswap


async def add_samples(bitswap: BitswapClient) -> None:
    for data in SAMPLES:
        cid = compute_cid_v1(data)
        await bitswap.add_block(cid, data)
        say(f"Block: {cid_to_text(cid)}")


async def add_file(bitswap: BitswapClient, path: Path) -> CID:
    """Cut a file into blocks, and give the CID of the root, which names all of it."""
    importer = FileImporter()
    async with await trio.open_file(path, "rb") as file:
        while data := await file.read(importer.read_bytes):
            for block in importer.feed([data]):
                await bitswap.add_block(block.cid, block.data)
    for block in importer.finish():
        await bitswap.add_block(block.cid, block.data)
    say(f"File: {path.name}, {importer.file_size} bytes")
    say(f"Root CID: {importer.root}")
    return importer.root


async def fetch_samples(bitswap: BitswapClient) -> None:
    wanted = [compute_cid_v1(data) for data in SAMPLES]
    async for cid, data in bitswap.get_blocks(wanted):
        say(f"{cid}: {data.decode()}")


async def fetch_file(bitswap: BitswapClient, root: CID, folder: Path) -> Path:
    """Fetch the blocks of a file, root first, and write it as they come."""
    path, unfinished = folder / str(root), folder / f"{root}.part"
    walk = FileWalk(root)
    async with bitswap.new_session() as session, await trio.open_file(unfinished, "wb") as file:
        while not walk.done:
            async for cid, data in session.get_blocks(walk.wanted()):
                walk.supply(cid, data)
            for part in walk.take():
                await file.write(part)
    unfinished.replace(path)
    say(f"Saved: {path}, {path.stat().st_size} bytes")
    return path


async def provide(args: argparse.Namespace) -> None:
    async with running(args.port, args.seed) as bitswap:
        say(f"Peer ID: {bitswap.host.get_id()}")
        root = None
        if args.file is None:
            await add_samples(bitswap)
        else:
            root = await add_file(bitswap, args.file)
        for address in bitswap.host.get_addrs():
            say(
                f"Fetch it: --mode client --provider {address}" + (f" --cid {root}" if root else "")
            )
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            await anext(signals)


async def fetch(args: argparse.Namespace) -> None:
    async with running(args.port, args.seed) as bitswap:
        await bitswap.host.connect(info_from_p2p_addr(args.provider))
        if args.cid is None:
            await fetch_samples(bitswap)
        else:
            await fetch_file(bitswap, args.cid, args.output)


async def demo(args: argparse.Namespace) -> None:
    """Do both in one process."""
    async with running() as provider, running() as client:
        await add_samples(provider)
        root = await add_file(provider, args.file or Path(__file__))
        await client.host.connect(info_from_p2p_addr(provider.host.get_addrs()[0]))
        await fetch_samples(client)
        with TemporaryDirectory() as folder:
            copy = await fetch_file(client, root, Path(folder))
            original = args.file or Path(__file__)
            same = copy.read_bytes() == original.read_bytes()
        stat = client.stat()
        say(f"{stat.blocks_received} blocks, {stat.data_received} bytes received")
        say("The files are identical." if same else "The files differ.")


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Trade blocks and files over Bitswap.")
    parser.add_argument("--mode", choices=["provider", "client", "demo"], required=True)
    parser.add_argument("--file", type=Path, help="what a provider offers")
    parser.add_argument(
        "--provider", type=Multiaddr, help="the address that the provider has printed"
    )
    parser.add_argument("--cid", type=CID.of, help="the file to fetch")
    parser.add_argument("--output", type=Path, default=Path(), help="the folder for it")
    parser.add_argument("--port", type=int, default=0, help="to listen on; any by default")
    parser.add_argument("--seed", help="makes the peer id; random by default")
    parser.add_argument("--verbose", action="store_true", help="show the library's log")
    args = parser.parse_args()
    if args.mode == "client" and not args.provider:
        parser.error("--mode client needs --provider")
    logging.basicConfig(level=logging.DEBUG if args.verbose else logging.WARNING)
    run = {"provider": provide, "client": fetch, "demo": demo}[args.mode]
    try:
        trio.run(run, args)
    except (BaseLibp2pError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
