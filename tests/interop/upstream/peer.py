"""
A bitswap peer of py-libp2p 0.8.1, its blocks in memory; it serves and asks for /echo too.

It runs in the environment that build_peers.py makes. Commands are JSON lines, each answered with
one that carries the command's "id"; they run side by side. The first line it prints is
{"id": PEER ID, "addrs": [...]}; it ends with its standard input.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any

import cid as py_cid
import multihash
import trio
from multiaddr import Multiaddr

from libp2p import generate_new_ed25519_identity, new_host
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.bitswap.cid import cid_to_text, parse_cid
from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID, Transport

ECHO = TProtocol("/echo/1.0.0")
IO_BYTES = 65536
SMALL_BLOCK = 65536
"""The size up to which a block's bytes are told too."""


async def serve_echo(stream: Any) -> None:
    """Send back what comes until the other side closes."""
    try:
        while piece := await stream.read(IO_BYTES):
            await stream.write(piece)
    except StreamEOF:
        await stream.close()


class Peer:
    """One host, its bitswap and what it is told to do."""

    def __init__(self, host: Any, exchange: Any) -> None:
        self._host = host
        self._exchange = exchange

    async def answer(self, command: Mapping[str, Any]) -> None:
        """Carry out one command; each is a method with the command's name."""
        try:
            found = await getattr(self, command["command"])(command)
        except Exception as error:  # noqa: BLE001 - the task's edge: it becomes the answer
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({**found, "id": command["id"]}), flush=True)

    async def add(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Store one block."""
        data = base64.b64decode(command["data"])
        digest = multihash.digest(data, command["hash"]).encode()
        cid = parse_cid(py_cid.make_cid(command["version"], command["codec"], digest))
        await self._exchange.add_block(cid, data)
        return {"cid": cid_to_text(cid)}

    async def get(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Fetch one block."""
        session = self._exchange.new_session()
        data = await session.get_block(parse_cid(command["cid"]), timeout=command["timeout"])
        found = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if len(data) <= SMALL_BLOCK:
            found["data"] = base64.b64encode(data).decode()
        return found

    async def connect(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Dial a full multiaddr."""
        info = info_from_p2p_addr(Multiaddr(command["addr"]))
        await self._host.connect(info)
        return {"peer": str(info.peer_id)}

    async def disconnect(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Close every connection to a peer."""
        await self._host.disconnect(ID.from_string(command["peer"]))
        return {}

    async def echo(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Have a peer send back `size` bytes, and compare them."""
        info = info_from_p2p_addr(Multiaddr(command["addr"]))
        await self._host.connect(info)
        stream = await self._host.new_stream(info.peer_id, [ECHO])
        sent = bytes((i * 7 + (i >> 8)) & 0xFF for i in range(IO_BYTES))
        sent = (sent * (command["size"] // IO_BYTES + 1))[: command["size"]]
        back = bytearray()

        async def write() -> None:
            for start in range(0, len(sent), IO_BYTES):
                await stream.write(sent[start : start + IO_BYTES])
            await stream.close_write()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            while len(back) < len(sent):
                back += await stream.read(IO_BYTES)
        await stream.close()
        if back != sent:
            raise ValueError("other bytes came back than were sent")
        return {"bytes": len(back)}


async def main() -> None:
    """Serve bitswap and carry out commands until the input ends."""
    identity = generate_new_ed25519_identity()
    noise = Transport(identity, noise_privkey=create_new_key_pair().private_key)
    host = new_host(key_pair=identity, sec_opt={PROTOCOL_ID: noise})
    host.set_stream_handler(ECHO, serve_echo)
    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    async with host.run(listen_addrs=listen), trio.open_nursery() as nursery:
        exchange = BitswapClient(host, MemoryBlockStore())
        exchange.set_nursery(nursery)
        await exchange.start()
        peer = Peer(host, exchange)
        hello = {"id": str(host.get_id()), "addrs": [str(addr) for addr in host.get_addrs()]}
        print(json.dumps(hello), flush=True)
        async with trio.wrap_file(sys.stdin) as commands:
            async for line in commands:
                nursery.start_soon(peer.answer, json.loads(line))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
