"""py-libp2p's ways to read and write, over sockets of trio."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.exceptions import IncompleteReadError, IOException, MessageTooLarge
from libp2p.io.msgio import (
    FixedSizeLenMsgReadWriter,
    VarIntLengthMsgReadWriter,
    encode_msg_with_length,
)
from libp2p.io.trio import TrioTCPStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TwoBytes(FixedSizeLenMsgReadWriter):
    size_len_bytes = 2


class Short(VarIntLengthMsgReadWriter):
    max_msg_size = 300


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[TrioTCPStream, TrioTCPStream]]:
    """Two ends of a TCP connection on loopback."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        first = await trio.open_tcp_stream("127.0.0.1", port)
        async with first, await listener.accept() as second:
            yield TrioTCPStream(first), TrioTCPStream(second)


async def test_a_stream_is_read_and_written() -> None:
    async with pair() as (first, second):
        await first.write(b"hello")
        assert await second.read(3) == b"hel"
        assert await second.read(0) == b""
        address = first.get_remote_address()
        assert address is not None
        assert address[0] == "127.0.0.1"
        await first.close()
        await first.close()
        assert await second.read() == b"lo"
        assert await second.read(1) == b""
        assert first.get_remote_address() is None
        assert await first.read(1) == b""
        with pytest.raises(IOException):
            await first.write(b"x")


@pytest.mark.parametrize("kind", [TwoBytes, Short])
async def test_messages_come_whole(kind: type[TwoBytes | Short]) -> None:
    async with pair() as (first, second):
        writer, reader = kind(first), kind(second)
        for message in (b"", b"a", b"b" * 300):
            await writer.write_msg(message)
            assert await reader.read_msg() == message
        await first.write(writer.encode_msg(b"whole")[:-1])
        await writer.close()
        with pytest.raises(IncompleteReadError):
            await reader.read_msg()


async def test_messages_are_bounded() -> None:
    async with pair() as (first, second):
        with pytest.raises(MessageTooLarge, match="301 bytes, at most 300"):
            await Short(first).write_msg(bytes(301))
        await VarIntLengthMsgReadWriter(first, 1000).write_msg(bytes(301))
        with pytest.raises(MessageTooLarge):
            await Short(second).read_msg()
        for size in (None, 0, -1):
            with pytest.raises(ValueError, match="max_msg_size"):
                VarIntLengthMsgReadWriter(first, size)
    with pytest.raises(ValueError, match="65536 bytes does not fit into 2"):
        encode_msg_with_length(bytes(65536), 2)
