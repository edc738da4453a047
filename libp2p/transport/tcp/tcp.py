"""
TCP: dial and listen, IPv4 and IPv6, names resolved with the system's resolver.

Addresses: ``/ip4/…/tcp/…``, ``/ip6/…/tcp/…``, the latter behind ``/ip6zone/…`` if it is link-local,
``/dns4``, ``/dns6`` and ``/dns`` names.
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Awaitable, Callable
from functools import lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from libp2p.abc import IListener, ITransport
from libp2p.exceptions import OpenConnectionError
from libp2p.peer.addresses import KEPT_ADDRESSES, is_link_local_6
from libp2p.peer.host_names import ascii_name
from libp2p.transport.tcp.tcp_connection import TcpConnection, multiaddr_of
from libp2p.transport.unattended import UnattendedListener
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from multiaddr import Multiaddr


logger = get_logger(__name__)

#: Connections that the kernel completes before they are accepted.
LISTEN_BACKLOG: Final = 1024
#: Bytes that the kernel takes beyond what it may send at once. By default it takes megabytes,
#: and a short message waits behind them. With much less, the link idles until a writer runs.
MAX_UNSENT_BYTES: Final = 512 * 1024
#: Seconds before accepting goes on after it failed for lack of descriptors or buffers, or for an
#: unknown reason.
ACCEPT_PAUSE: Final = 0.1
#: Seconds in which such a failure is logged once.
COMPLAINT_INTERVAL: Final = 60.0


def _numbers(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


#: The connection was gone before it could be accepted. Linux also reports what went wrong on the
#: network of the new connection (accept(2)).
_GONE: Final = _numbers(
    "ECONNABORTED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH",
    "ENONET", "ENOPROTOOPT", "EOPNOTSUPP", "EPERM", "EPROTO", "ETIMEDOUT",
)  # fmt: skip
#: The listening socket cannot be used any more.
_BROKEN: Final = _numbers("EBADF", "EINVAL", "ENOTSOCK")

_FAMILIES: Final = {
    "ip4": socket.AF_INET,
    "ip6": socket.AF_INET6,
    "dns4": socket.AF_INET,
    "dns6": socket.AF_INET6,
    "dns": socket.AF_UNSPEC,
}


#: Where a connection to "all interfaces" leads: to this machine. Windows has to be told so.
_LOOPBACK_OF: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@lru_cache(KEPT_ADDRESSES)
def tcp_endpoint(maddr: Multiaddr) -> tuple[str, str, int] | None:
    """
    Return (protocol of the host part, host, port) of a TCP multiaddr; None if it is another.

    The zone of a link-local address is behind its host: ``fe80::1%eth0``.
    """
    parts = str(maddr).split("/")[1:]
    zone = ""
    if parts[0] == "ip6zone" and parts[2:3] == ["ip6"]:
        zone = f"%{parts[1]}"
        parts = parts[2:]
    if len(parts) < 4 or parts[0] not in _FAMILIES or parts[2] != "tcp":
        return None
    if len(parts) > 4 and (parts[4] != "p2p" or len(parts) > 6):
        return None  # /ws, /tls, /p2p-circuit: another transport
    return parts[0], parts[1] + zone, int(parts[3])


def _endpoint(maddr: Multiaddr, lack: str = "no TCP component") -> tuple[str, str, int]:
    endpoint = tcp_endpoint(maddr)
    if endpoint is None:
        raise OpenConnectionError(f"{maddr} is not a TCP address: {lack}")
    protocol, host, _ = endpoint
    if protocol == "ip6":
        host, _, zone = host.partition("%")
        if not zone and is_link_local_6(IPv6Address(host)):
            raise OpenConnectionError(f"{maddr} needs an interface: write /ip6zone/<name>{maddr}")
        if zone and not _is_interface(zone):
            raise OpenConnectionError(f"there is no network interface {zone!r} for {maddr}")
    return endpoint


def _is_interface(zone: str) -> bool:
    try:
        return zone.isdecimal() or socket.if_nametoindex(zone) > 0
    except (OSError, ValueError):
        return False


def _set_up(sock: socket.socket) -> None:
    """Let the kernel send each batch at once, and take few bytes that it cannot send yet."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # not on Windows
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)


_SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


async def _resolve(protocol: str, host: str, port: int) -> list[tuple[int, _SocketAddress]]:
    """
    Return (family, socket address) for a host and a port; an IP address without a zone at once.

    :raises OpenConnectionError: if ``host`` is no valid name, or has no address.
    """
    if protocol.startswith("ip") and "%" not in host:
        return [(_FAMILIES[protocol], (host, port))]
    try:
        if protocol.startswith("dns"):
            host = ascii_name(host)
        found = await trio.socket.getaddrinfo(
            host, port, family=_FAMILIES[protocol], type=socket.SOCK_STREAM
        )
    except OSError as error:
        raise OpenConnectionError(f"cannot resolve {host}: {error.strerror or error}") from error
    except (ValueError, OverflowError) as error:  # no name, or no port
        raise OpenConnectionError(f"cannot resolve {host!r}: {error}") from error
    return [(family, address) for family, _, _, _, address in found]


class TCPListener(IListener):
    """Listening sockets; each accepted connection is given to ``handler`` in a task of its own."""

    def __init__(
        self,
        handler: Callable[[TcpConnection], Awaitable[None]],
        admit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """:param admit: awaited before each connection is accepted; others wait in the kernel."""
        self._handler = handler
        self._admit = admit
        self._sockets: list[socket.socket] = []
        self._addresses: list[Multiaddr] = []
        self._complain_at = -math.inf

    async def listen(self, maddr: Multiaddr) -> None:
        """
        Bind and listen; connections wait in the kernel until `serve` runs.

        :raises OpenConnectionError: if the address cannot be listened on.
        """
        found = await _resolve(*_endpoint(maddr, "a TCP port is missing"))
        try:
            sock = self._bind(*found[0])
        except OSError as error:
            reason = error.strerror or error
            raise OpenConnectionError(f"cannot listen on {maddr}: {reason}") from error
        self._sockets.append(sock)
        self._addresses.append(multiaddr_of(sock.getsockname()))

    def _bind(self, family: int, address: _SocketAddress) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(LISTEN_BACKLOG)
        except OSError:
            sock.close()
            raise
        return sock

    async def serve(self, nursery: trio.Nursery) -> None:
        """Accept connections until `close`, each handled in ``nursery``."""
        async with trio.open_nursery() as accepting:
            for sock in self._sockets:
                accepting.start_soon(self._accept_loop, sock, nursery)

    async def _accept_loop(self, sock: socket.socket, nursery: trio.Nursery) -> None:
        try:
            while sock.fileno() != -1:  # it may be closed during a pause
                await trio.lowlevel.wait_readable(sock)
                if self._admit is not None:
                    await self._admit()
                try:
                    accepted, _ = sock.accept()
                except BlockingIOError:
                    continue
                except OSError as error:
                    if error.errno in _BROKEN:
                        if sock.fileno() != -1:
                            logger.error("listening on %s ended: %s", sock, error.strerror)
                        return
                    await self._accept_failed(error)
                    continue
                self._begin(accepted, nursery)
        except trio.ClosedResourceError:
            return

    def _begin(self, accepted: socket.socket, nursery: trio.Nursery) -> None:
        try:
            _set_up(accepted)
        except OSError as error:  # macOS: the peer has reset it already
            logger.debug("a connection was gone when it was accepted: %s", error)
            accepted.close()
            return
        nursery.start_soon(self._handler, TcpConnection(accepted, is_initiator=False))

    async def _accept_failed(self, error: OSError) -> None:
        """Go on at once if only one connection failed; else wait for `ACCEPT_PAUSE`."""
        if error.errno in _GONE:
            logger.debug("a connection was gone before it was accepted: %s", error)
            return
        now = trio.current_time()
        if now >= self._complain_at:
            self._complain_at = now + COMPLAINT_INTERVAL
            logger.error("cannot accept connections: %s", error.strerror or error)
        await trio.sleep(ACCEPT_PAUSE)  # time: no event says when there are descriptors

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        """Return the addresses listened on, with their real ports."""
        return tuple(self._addresses)

    async def close(self) -> None:
        """Stop listening; accepted connections are not touched."""
        for sock in self._sockets:
            trio.lowlevel.notify_closing(sock)
            sock.close()
        self._sockets.clear()
        self._addresses.clear()


class TCP(ITransport):
    """The TCP transport."""

    async def dial(self, maddr: Multiaddr) -> TcpConnection:
        """
        Connect; a name is resolved and its addresses tried in the resolver's order.

        ``0.0.0.0`` and ``::``, at which a peer may listen, lead to this machine.

        :raises OpenConnectionError: if nothing at ``maddr`` can be connected to.
        """
        protocol, host, port = _endpoint(maddr)
        near = _LOOPBACK_OF.get(host)
        found = await _resolve(protocol, near or host, port)
        where = f"{maddr}, which stands for this machine" if near else str(maddr)
        for position, (family, address) in enumerate(found, start=1):
            try:
                return await self._connect(family, address)
            except OSError as error:
                if position == len(found):
                    reason = error.strerror or str(error)
                    raise OpenConnectionError(f"cannot connect to {where}: {reason}") from error
        raise OpenConnectionError(f"{maddr} resolves to no address")

    async def _connect(self, family: int, address: _SocketAddress) -> TcpConnection:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            _set_up(sock)
            await trio.socket.from_stdlib_socket(sock).connect(address)
        except BaseException:
            sock.close()
            raise
        return TcpConnection(sock, is_initiator=True)

    def create_listener(
        self,
        handler_function: Callable[[TcpConnection], Awaitable[None]],
        admit: Callable[[], Awaitable[None]] | None = None,
    ) -> TCPListener | UnattendedListener:
        """
        Return a listener that gives each connection to ``handler_function``.

        With ``admit``, the caller runs `TCPListener.serve`; else the listener accepts by itself.
        """
        if admit is None:
            return UnattendedListener(TCPListener, handler_function)
        return TCPListener(handler_function, admit)

    def can_dial(self, maddr: Multiaddr) -> bool:
        """Tell whether ``maddr`` is a TCP address."""
        return tcp_endpoint(maddr) is not None

    def can_listen(self, maddr: Multiaddr) -> bool:
        """Tell whether ``maddr`` is a TCP address."""
        return self.can_dial(maddr)

    def protocols(self) -> list[str]:
        """Return the multiaddr protocols handled."""
        return ["tcp"]
