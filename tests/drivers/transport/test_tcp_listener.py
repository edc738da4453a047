"""A listener whose system refuses to accept."""

from __future__ import annotations

import errno
import logging
import os
import socket
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from multiaddr import Multiaddr

from libp2p.transport.tcp.tcp import ACCEPT_PAUSE, TCPListener

if TYPE_CHECKING:
    from libp2p.transport.tcp.tcp_connection import TcpConnection


class FailingSocket(socket.socket):
    """Reports these errors before it accepts anything."""

    errors: tuple[int, ...] = ()

    def accept(self) -> tuple[socket.socket, object]:
        if self.errors:
            number, *rest = self.errors
            self.errors = tuple(rest)
            raise OSError(number, os.strerror(number))
        return super().accept()


def listening(errors: tuple[int, ...]) -> FailingSocket:
    sock = FailingSocket()
    sock.errors = errors
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


async def accept_one(errors: tuple[int, ...]) -> float:
    """Connect once to a listener that has ``errors`` first; return how long accepting took."""
    accepted = trio.Event()

    async def handle(connection: TcpConnection) -> None:
        connection.abort()
        accepted.set()

    sock = listening(errors)
    listener = TCPListener(handle)
    listener._sockets.append(sock)
    started = trio.current_time()
    with sock, socket.create_connection(sock.getsockname()):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.serve, nursery)
            with trio.fail_after(5):
                await accepted.wait()
            await listener.close()
    return trio.current_time() - started


@pytest.mark.parametrize(
    "number",
    [
        *(errno.EAGAIN, errno.ECONNABORTED, errno.EPERM, errno.EHOSTUNREACH, errno.ENETDOWN),
        *(errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.ETIMEDOUT, errno.ECONNRESET),
    ],
)
async def test_a_connection_that_is_gone_already_does_not_stop_the_listener(number: int) -> None:
    assert await accept_one((number, number)) < ACCEPT_PAUSE


async def test_a_system_without_descriptors_is_asked_again_after_a_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        assert await accept_one((errno.EMFILE,)) >= ACCEPT_PAUSE
    assert "cannot accept" in caplog.text


async def test_an_error_that_nobody_expects_is_told_once_and_accepting_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await accept_one((errno.EIO, errno.EDOM, errno.EIO)) >= 3 * ACCEPT_PAUSE
    assert caplog.text.count("cannot accept") == 1


async def test_a_socket_that_is_none_any_more_ends_its_listener_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, good = listening((errno.EBADF,)), listening(())
    accepted = trio.Event()

    async def handle(connection: TcpConnection) -> None:
        connection.abort()
        accepted.set()

    listener = TCPListener(handle)
    listener._sockets += [broken, good]
    with broken, good, socket.create_connection(broken.getsockname()):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.serve, nursery)
            await trio.testing.wait_all_tasks_blocked()
            with socket.create_connection(good.getsockname()), trio.fail_after(5):
                await accepted.wait()
            await listener.close()
    assert caplog.text.count("listening on") == 1


class Reset(socket.socket):
    """An accepted socket whose peer has reset it; macOS says so at the first option set."""

    def setsockopt(self, *_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


async def test_a_connection_that_takes_no_options_is_gone_and_no_more() -> None:
    handled: list[TcpConnection] = []

    async def handle(connection: TcpConnection) -> None:
        handled.append(connection)

    gone = Reset()
    async with trio.open_nursery() as nursery:
        TCPListener(handle)._begin(gone, nursery)
    assert gone.fileno() == -1
    assert not handled


async def test_a_listener_may_be_closed_while_it_pauses() -> None:
    sock = listening((errno.EMFILE,))

    async def handle(connection: TcpConnection) -> None:
        connection.abort()

    listener = TCPListener(handle)
    listener._sockets.append(sock)
    with trio.fail_after(5), sock, socket.create_connection(sock.getsockname()):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.serve, nursery)
            await trio.testing.wait_all_tasks_blocked()
            assert not sock.errors
            await listener.close()


async def test_the_address_of_a_listener_is_a_multiaddr() -> None:
    listener = TCPListener(lambda connection: connection.close())
    await listener.listen(Multiaddr("/ip4/127.0.0.1/tcp/0"))
    port = listener._sockets[0].getsockname()[1]
    assert listener.get_addrs() == (Multiaddr(f"/ip4/127.0.0.1/tcp/{port}"),)
    await listener.close()
