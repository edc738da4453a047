"""The five commands of redis through which the programs of a test find each other."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Reply: TypeAlias = str | int | list["Reply"] | None

#: Seconds after which `Redis.wait_for` looks whether the key is a string.
LOOK_AGAIN: Final = 0.1
READ_SIZE: Final = 4096


class RedisError(Exception):
    """The server refuses a command, or closes the connection."""


class Redis:
    """One connection to a redis server (RESP 2); one command at a time."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received = bytearray()
        #: Our own IPv4 address on the network that the server is on.
        self.local_ip: str = stream.socket.getsockname()[0]

    async def set(self, key: str, value: str) -> None:
        """Make a string."""
        await self._command("SET", key, value)

    async def push(self, key: str, value: str) -> None:
        """Make a list of one element."""
        await self._command("DEL", key)
        await self._command("RPUSH", key, value)

    async def wait_for(self, key: str) -> str:
        """
        Wait until ``key`` exists; return the string, or take the first element of the list.

        Some programs of the suite make lists and others strings.
        """
        while True:
            try:
                reply = await self._command("BLPOP", key, str(LOOK_AGAIN))
            except RedisError as error:
                if not str(error).startswith("WRONGTYPE"):
                    raise
                return str(await self._command("GET", key))
            if isinstance(reply, list):
                return str(reply[1])

    async def _command(self, *words: str) -> Reply:
        encoded = [word.encode() for word in words]
        bulks = [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
        await self._stream.send_all(b"*%d\r\n%s" % (len(bulks), b"".join(bulks)))
        return await self._reply()

    async def _reply(self) -> Reply:
        line = (await self._read_to(b"\r\n")).decode()
        kind, text = line[:1], line[1:]
        match kind:
            case "+":
                return text
            case "-":
                raise RedisError(text)
            case ":":
                return int(text)
            case "$" | "*" if text == "-1":
                return None
            case "$":
                return (await self._read(int(text) + len(b"\r\n")))[:-2].decode()
            case "*":
                return [await self._reply() for _ in range(int(text))]
        raise RedisError(f"{line!r} is no reply")

    async def _read_to(self, end: bytes) -> bytes:
        while (found := self._received.find(end)) < 0:
            await self._receive()
        return (await self._read(found + len(end)))[:found]

    async def _read(self, size: int) -> bytes:
        while len(self._received) < size:
            await self._receive()
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    async def _receive(self) -> None:
        data = await self._stream.receive_some(READ_SIZE)
        if not data:
            raise RedisError("the server closed the connection")
        self._received += data


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Redis]:
    """
    Connect to ``host:port`` for the length of the block.

    :raises OSError: if nobody answers there.
    """
    host, _, port = address.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        yield Redis(stream)
