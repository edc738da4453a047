"""
A web server for `RoutingServer` within a program; needs the extra ``gateway``.

It is hypercorn, with limits that a server of strangers needs. A program that has a web server on
trio already gives it the application instead.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio import serve

from libp2p.exceptions import InvalidArgument, OpenConnectionError
from libp2p.hostile_input import refused_as
from libp2p.utils import arguments
from libp2p.utils.background import background_nursery

#: A client without a request for this time is disconnected: also one that sends its request slowly.
KEEP_ALIVE_SECONDS: Final = 10.0
#: A client that takes nothing of its answer for this time is disconnected by the kernel (Linux).
#: hypercorn itself waits for it without end, and does not end before.
TAKE_SECONDS: Final = 10.0
#: What is being answered when the server ends has this time.
GRACE_SECONDS: Final = 1.0
#: Bytes of the head of a request. A path has 1,024 characters at most, a query 8,192.
MAX_HEAD_BYTES: Final = 16 * 1024
#: Streams of one HTTP/2 connection.
MAX_STREAMS: Final = 32

#: Connections that wait to be accepted; further ones try again.
BACKLOG: Final = 128

#: Where hypercorn logs: quiet unless the program listens.
_LOG: Final = "libp2p.routing.http_listener"


class _Config(Config):
    """hypercorn's configuration, with a socket that is there already."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__()
        self._listener = listener

    def create_sockets(self) -> Sockets:
        secure, insecure = ([self._listener], []) if self.ssl_enabled else ([], [self._listener])
        return Sockets(secure, insecure, [])


def _listen(bind: str) -> socket.socket:
    """Open a socket whose connections do not wait for their clients without end."""
    with refused_as(InvalidArgument, f"{bind!r:.100} is no address with a port"):
        parts = urlsplit(f"//{bind}")
        host, port = parts.hostname or "", parts.port or 0
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        listener = socket.create_server((str(address), port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise OpenConnectionError(f"cannot listen on {bind}: {error.strerror}") from error
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # on Linux only; connections inherit it
    if option is not None:
        listener.setsockopt(socket.IPPROTO_TCP, option, int(TAKE_SECONDS * 1000))
    return listener


@asynccontextmanager
async def listening(
    app: Any,
    bind: str = "127.0.0.1:8080",
    *,
    certificate: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
) -> AsyncIterator[str]:
    """
    Serve an application for the length of the block; yield its URL.

    :param app: a `RoutingServer`, or any ASGI application that runs on trio.
    :param bind: the address and the port, ``"[::]:8080"`` for all; port 0 lets the system choose.
    :param certificate: a file with the certificate, for TLS and HTTP/2.
    :param key: a file with the private key of the certificate.
    :raises OpenConnectionError: if the address cannot be listened on.
    :raises InvalidArgument: if it is no address.
    """
    config = _Config(_listen(bind))
    if certificate is not None and key is not None:
        config.certfile = arguments.path(certificate, "certificate")
        config.keyfile = arguments.path(key, "key")
    config.errorlog = logging.getLogger(_LOG)
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.graceful_timeout = GRACE_SECONDS
    config.h11_max_incomplete_size = MAX_HEAD_BYTES
    config.h2_max_concurrent_streams = MAX_STREAMS
    ending = trio.Event()
    async with background_nursery() as nursery:
        urls: list[str] = await nursery.start(
            partial(serve, app, config, shutdown_trigger=ending.wait)
        )
        try:
            yield urls[0]
        finally:
            ending.set()
