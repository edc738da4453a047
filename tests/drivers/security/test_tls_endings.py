"""How a TLS connection ends: what the peer is told, and what is read after it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libp2p.exceptions import ConnectionClosedError, DecryptionFailedException, IOException
from libp2p.security.tls.channel import CIPHER_SUITES, TlsChannel
from tests.support.channels import MemoryConnection, connection_pair
from tests.support.memory_session import bounded_pair, numbered, secured_by

if TYPE_CHECKING:
    from trio.testing import MockClock

    from libp2p.security.secure_session import SecureSession

SUITE = CIPHER_SUITES["TLS_AES_128_GCM_SHA256"]
ONE, OTHER = bytes(32), bytes([1]) * 32


def session_pair(
    ends: tuple[MemoryConnection, MemoryConnection] | None = None,
) -> tuple[SecureSession, SecureSession]:
    dialler, listener = ends or connection_pair()
    return (
        secured_by(dialler, TlsChannel(SUITE, ONE, OTHER, is_initiator=True)),
        secured_by(listener, TlsChannel(SUITE, OTHER, ONE)),
    )


def wire_of(session: SecureSession) -> MemoryConnection:
    connection = session.raw_conn
    assert isinstance(connection, MemoryConnection)
    return connection


@pytest.mark.parametrize("way", ["shutdown_write", "abort", "close"])
async def test_the_peer_is_told_that_nothing_more_comes(way: str) -> None:
    ours, theirs = session_pair()
    await ours.write(b"last words")
    if way == "close":
        await ours.close()
    else:
        getattr(ours, way)()
    sent = bytes(wire_of(ours).sent)
    channel = TlsChannel(SUITE, OTHER, ONE)
    assert channel.open(memoryview(sent)) == ([b"last words"], len(sent))
    assert channel.ended
    assert await theirs.read() == b"last words"
    ours.abort()
    assert wire_of(ours).sent == sent, "it is told once"


async def test_after_a_close_notify_nothing_more_is_read(autojump_clock: MockClock) -> None:
    ours, theirs = session_pair()
    channel = TlsChannel(SUITE, ONE, OTHER)
    await wire_of(ours).send([*channel.seal([b"last words"]), *channel.close()])
    assert await theirs.receive() == [b"last words"]
    # The connection stays open, and the peer goes on.
    await wire_of(ours).send([bytes(100_000)])
    assert await theirs.receive() == []
    assert await theirs.receive() == []
    assert len(await wire_of(theirs).receive()) == 1, "what came then is still there"


async def test_a_close_notify_alone_is_an_end(autojump_clock: MockClock) -> None:
    ours, theirs = session_pair()
    channel = TlsChannel(SUITE, ONE, OTHER)
    await wire_of(ours).send(channel.close())
    assert await theirs.receive() == []
    await theirs.write(b"answer")
    assert await ours.receive() == [b"answer"]


async def test_what_came_before_a_forged_record_is_read_and_the_peer_is_told(
    autojump_clock: MockClock,
) -> None:
    ours, theirs = session_pair()
    await ours.write(b"last words")
    await wire_of(ours).send([b"\x17\x03\x03\x00\x14" + bytes(20)])
    assert await theirs.receive() == [b"last words"]
    for _ in range(2):
        with pytest.raises(DecryptionFailedException, match="authenticate"):
            await theirs.receive()
    with pytest.raises(ConnectionClosedError, match="bad record mac"):
        await ours.receive()
    with pytest.raises(IOException):
        await theirs.write(b"more")


async def test_an_alert_does_not_overtake_what_was_sealed() -> None:
    ours, theirs = session_pair(bounded_pair(1000))
    bulk = numbered(100_000)
    assert not theirs.send_or_keep([bulk])
    await wire_of(ours).send([b"no record"])
    with pytest.raises(DecryptionFailedException):
        await theirs.receive()
    wire_of(theirs).capacity = None
    assert theirs.raw_conn.send_some(theirs._unsent) == []
    received = b""
    while len(received) < len(bulk):
        received += b"".join(await ours.receive())
    assert received == bulk
    with pytest.raises(ConnectionClosedError, match="unexpected message"):
        await ours.receive()


async def test_a_peer_that_is_gone_is_told_nothing() -> None:
    ours, theirs = session_pair()
    wire_of(theirs).abort()
    wire_of(ours).abort()
    ours.shutdown_write()
    ours.abort()
