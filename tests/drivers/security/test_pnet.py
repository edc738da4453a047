"""A private network: its hosts talk to each other and to nobody else."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest
import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.exceptions import ConnectionFailure, SecurityUpgradeFailure
from libp2p.security.pnet.key import key_file
from libp2p.security.pnet.protector import ENCRYPT_BYTES, ProtectedConnection, new_protected_conn
from libp2p.transport.memory.memory import MemoryTransport
from libp2p.transport.memory.memory_connection import MemoryConnection, Pipe, connection_pair
from tests.support.hosts import ECHO, LOOPBACK, info_of, transport_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p import BasicHost
    from libp2p.abc import INetStream
    from libp2p.base_types import Buffer

KEY = bytes(range(32))
OTHER_KEY = bytes(32)


class Narrow(MemoryConnection):
    """An end whose kernel takes and gives a few bytes at a time."""

    def receive_into(self, buffer: memoryview) -> int | None:
        return super().receive_into(buffer[: random.randint(1, 7)])

    def send_some(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        joined = b"".join(buffers)
        count = random.randint(0, 11)
        rest = super().send_some([joined[:count]])
        return [b"".join(rest) + joined[count:]] if rest or joined[count:] else []


def narrow_pair() -> tuple[ProtectedConnection, ProtectedConnection]:
    there, back = Pipe(50), Pipe(50)
    address = Multiaddr("/memory/1")
    first = Narrow(back, there, address, is_initiator=True)
    second = Narrow(there, back, address, is_initiator=False)
    return new_protected_conn(first, KEY.hex()), new_protected_conn(second, key_file(KEY))


async def transfer(ends: tuple[ProtectedConnection, ProtectedConnection], size: int) -> None:
    """Send ``size`` bytes in buffers of all sizes, and read them at the other end."""
    sender, receiver = ends
    data = random.randbytes(size)
    buffers: list[Buffer] = [b""]
    while sum(map(len, buffers)) < size:
        at = sum(map(len, buffers))
        buffers.append(memoryview(data)[at : at + random.randint(0, max(1, size // 3))])
    received: list[Buffer] = []

    async def receive() -> None:
        while pieces := await receiver.receive():
            received.extend(pieces)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await sender.send(buffers)
        sender.shutdown_write()
    assert b"".join(received) == data


async def test_bytes_come_through_however_they_are_cut() -> None:
    for size in (1, 23, 24, 25, 999):
        for ends in (narrow_pair(), narrow_pair()[::-1]):
            await transfer(ends, size)


async def test_more_than_is_encrypted_at_once_comes_through() -> None:
    pair = connection_pair(Multiaddr("/memory/1"), Multiaddr("/memory/2"))
    first, second = (new_protected_conn(end, KEY) for end in pair)
    assert (first.is_initiator, second.is_initiator) == (True, False)
    await transfer((first, second), 3 * ENCRYPT_BYTES + 5)


async def test_on_the_way_it_is_noise_and_never_the_same() -> None:
    seen = []
    for _ in range(2):
        ours, theirs = connection_pair(Multiaddr("/memory/1"), Multiaddr("/memory/2"))
        await new_protected_conn(ours, KEY).write(b"secret" * 100)
        seen.append(await theirs.read(10_000))
        assert len(seen[-1]) == 624
        assert b"secret" not in seen[-1]
    assert seen[0] != seen[1]


async def test_what_was_put_back_is_not_decrypted_again() -> None:
    first, second = narrow_pair()
    await first.write(b"abc")
    data = b""
    while len(data) < 3:
        data += await second.read(3)
    second.unread(data)
    await second.wait_readable()
    assert await second.read(3) == b"abc"


async def test_an_end_within_the_nonce_is_the_end() -> None:
    ours, theirs = connection_pair(Multiaddr("/memory/1"), Multiaddr("/memory/2"))
    await ours.write(b"short")
    ours.shutdown_write()
    assert await new_protected_conn(theirs, KEY).receive() == []


async def echo(stream: INetStream) -> None:
    await stream.write(await stream.read(100))
    await stream.close()


def member(psk: bytes | str | None) -> BasicHost:
    host = new_host(psk=psk, negotiate_timeout=2)
    host.set_stream_handler(ECHO, echo)
    return host


@pytest.mark.parametrize("psk", [KEY, KEY.hex(), key_file(KEY)])
async def test_members_talk(psk: bytes | str) -> None:
    first, second = member(KEY), member(psk)
    async with first.run([LOOPBACK]), second.run([LOOPBACK]):
        await first.connect(info_of(second))
        stream = await first.new_stream(second.get_id(), [ECHO])
        await stream.write(b"hello")
        assert await stream.read(100) == b"hello"
        await stream.close()


async def test_members_talk_over_any_raw_transport() -> None:
    first, second = (new_host(psk=KEY, transports=[MemoryTransport()]) for _ in range(2))
    async with first.run(["/memory/0"]), second.run(["/memory/0"]):
        await first.connect(info_of(second))
        assert first.get_connected_peers() == [second.get_id()]


@pytest.mark.parametrize(("ours", "theirs"), [(KEY, None), (None, KEY), (KEY, OTHER_KEY)])
async def test_strangers_are_not_let_in(ours: bytes | None, theirs: bytes | None) -> None:
    stranger, host, friend = member(ours), member(theirs), member(theirs)
    async with stranger.run([LOOPBACK]), host.run([LOOPBACK]), friend.run([LOOPBACK]):
        with trio.fail_after(30), pytest.raises(ConnectionFailure):
            await stranger.connect(info_of(host))
        assert not host.get_connected_peers()
        await friend.connect(info_of(host))
        assert host.get_connected_peers() == [friend.get_id()]


async def test_noise_is_told_to_be_that_perhaps() -> None:
    host = new_host(psk=KEY)
    async with host.run([LOOPBACK]):
        upgrader = transport_of(host.get_network()).upgrader
        ours, theirs = connection_pair(Multiaddr("/memory/1"), Multiaddr("/memory/2"))
        await theirs.write(random.randbytes(100))
        theirs.shutdown_write()
        with pytest.raises(SecurityUpgradeFailure, match="is the peer in it"):
            await upgrader.upgrade(ours, host.get_id())


def test_a_host_without_the_cipher_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Crypto.Cipher", None)
    with pytest.raises(ValueError, match=r"pip install 'libp2p\[pnet\]'"):
        new_host(psk=KEY)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="psk is not 32 bytes"):
        new_host(psk="00")

    class Whole:
        """A transport that secures its connections itself."""

        def can_dial(self, maddr: object) -> bool:
            return True

        can_listen = dial = listen = can_dial

    with pytest.raises(ValueError, match="cannot keep to a private network"):
        new_host(psk=KEY, transports=[Whole()])  # type: ignore[list-item]
