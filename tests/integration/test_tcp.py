"""TCP over the loopback interface: what the kernel does that memory does not."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.abc
import trio.testing
from multiaddr import Multiaddr

from libp2p.connection_types import ConnectionType
from libp2p.exceptions import OpenConnectionError, RawConnError
from libp2p.peer.addresses import address_from_text
from libp2p.transport.tcp.tcp import TCP, TCPListener
from libp2p.transport.tcp.tcp_connection import MAX_GATHER, TcpConnection
from tests.support.ends import GO_AWAY, PING, SYN, WINDOW_UPDATE, RawFrame, data_frame, frame, parse
from tests.support.memory_session import numbered, yamux_over
from tests.support.sockets import LOOPBACKS, connected

if TYPE_CHECKING:
    from libp2p.io.abc import ReadWriteCloser

#: More than the buffers of both ends of a connection hold.
BULK = numbered(16_000_000)


# -- dialling and listening -----------------------------------------------------------------------


@pytest.mark.parametrize("family", LOOPBACKS)
async def test_both_ends_know_each_others_address(family: str) -> None:
    async with connected(LOOPBACKS[family]) as (ours, theirs):
        assert ours.is_initiator
        assert not theirs.is_initiator
        for end, other in ((ours, theirs), (theirs, ours)):
            assert end.get_remote_address() == other._sock.getsockname()[:2]
            host, port = end.get_remote_address() or ("", 0)
            assert end.get_transport_addresses() == [Multiaddr(f"/{family}/{host}/tcp/{port}")]
            assert end.get_connection_type() is ConnectionType.DIRECT


@pytest.mark.parametrize("family", LOOPBACKS)
async def test_a_listener_tells_the_port_that_it_got(family: str) -> None:
    listener = TCPListener(_ignore)
    await listener.listen(Multiaddr(LOOPBACKS[family]))
    await listener.listen(Multiaddr(LOOPBACKS[family]))
    ports = {str(address).rsplit("/", 1)[1] for address in listener.get_addrs()}
    assert len(ports) == 2
    assert "0" not in ports
    await listener.close()
    assert listener.get_addrs() == ()


async def read_into(connection: TcpConnection, buffer: bytearray) -> int:
    while True:
        await connection.wait_readable()
        if (count := connection.receive_into(memoryview(buffer))) is not None:
            return count


async def _ignore(connection: ReadWriteCloser) -> None:
    await connection.close()


async def test_both_families_may_have_the_same_port() -> None:
    listener = TCPListener(_ignore)
    await listener.listen(Multiaddr("/ip6/::/tcp/0"))
    port = str(listener.get_addrs()[0]).rsplit("/", 1)[1]
    await listener.listen(Multiaddr(f"/ip4/0.0.0.0/tcp/{port}"))
    addresses = [Multiaddr(f"/ip6/::/tcp/{port}"), Multiaddr(f"/ip4/0.0.0.0/tcp/{port}")]
    assert list(listener.get_addrs()) == addresses
    for near in ("/ip6/::1", "/ip4/127.0.0.1"):
        (await TCP().dial(Multiaddr(f"{near}/tcp/{port}"))).abort()
    await listener.close()


async def test_an_address_in_use_cannot_be_listened_on() -> None:
    first, second = TCPListener(_ignore), TCPListener(_ignore)
    await first.listen(Multiaddr(LOOPBACKS["ip4"]))
    with pytest.raises(OpenConnectionError, match="cannot listen"):
        await second.listen(first.get_addrs()[0])
    await first.close()


async def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(OpenConnectionError, match="cannot listen"):
        await TCPListener(_ignore).listen(Multiaddr("/ip4/192.0.2.1/tcp/0"))


async def test_nobody_listening_is_an_error_that_names_the_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = Multiaddr(f"/ip4/127.0.0.1/tcp/{unused.getsockname()[1]}")
        with pytest.raises(OpenConnectionError, match=str(address)) as caught:
            await TCP().dial(address)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


RELAY = "12D3KooWM6CgA9iBFZmcYAHA6A2qvbAxqfkmrYiRQuz3XEsk4Ksv"
OTHERS = [
    "/ip4/1.2.3.4/udp/1/quic-v1",
    "/ip4/1.2.3.4/tcp/1/ws",
    "/dns4/x/tcp/1/tls/ws",
    "/ip4/1.2.3.4",
    f"/ip4/1.2.3.4/tcp/1/p2p/{RELAY}/p2p-circuit",
    f"/p2p/{RELAY}/p2p-circuit",
    "/ip6zone/eth0/dns6/x/tcp/1",
    "/ip6zone/eth0",
    "/dnsaddr/bootstrap.libp2p.io",
    "/unix/tmp/socket",
]


def test_it_knows_which_addresses_are_its_own() -> None:
    tcp = TCP()
    for address in (
        "/ip4/1.2.3.4/tcp/1",
        "/dns/example.com/tcp/1",
        "/dns4/my_node/tcp/1",
        "/ip6zone/eth0/ip6/fe80::1/tcp/1",
        f"/ip4/1.2.3.4/tcp/1/p2p/{RELAY}",
    ):
        assert tcp.can_dial(address_from_text(address))
        assert tcp.can_listen(address_from_text(address))
    for address in OTHERS:
        assert not tcp.can_dial(Multiaddr(address)), address
    assert tcp.protocols() == ["tcp"]


@pytest.mark.parametrize(
    "address", ["/ip4/127.0.0.1/udp/1", "/ip4/127.0.0.1/tcp/1/ws", "/ip4/127.0.0.1/tcp/1/tls"]
)
async def test_an_address_of_another_transport_is_refused(address: str) -> None:
    with pytest.raises(OpenConnectionError, match="not a TCP address"):
        await TCP().dial(Multiaddr(address))
    with pytest.raises(OpenConnectionError, match="not a TCP address"):
        await TCPListener(_ignore).listen(Multiaddr(address))


async def test_a_name_is_resolved() -> None:
    listener = TCPListener(_ignore)
    await listener.listen(Multiaddr(LOOPBACKS["ip4"]))
    port = str(listener.get_addrs()[0]).rsplit("/", 1)[1]
    # The system may know localhost as ::1 first: then the second address is the good one.
    connection = await TCP().dial(Multiaddr(f"/dns/localhost/tcp/{port}"))
    assert connection.get_remote_address() == ("127.0.0.1", int(port))
    connection.abort()
    await listener.close()


class Resolver(trio.abc.HostnameResolver):
    """Knows every name, and the same addresses for each."""

    def __init__(self, *addresses: tuple[socket.AddressFamily, tuple[str, int]]) -> None:
        self.addresses = addresses

    async def getaddrinfo(  # type: ignore[override]
        self, host: object, port: object, family: int = 0, type: int = 0, *rest: object
    ) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]]:
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        return [
            (known, socket.SOCK_STREAM, 6, "", address)
            for known, address in self.addresses
            if family in (known, socket.AF_UNSPEC)
        ]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise AssertionError


async def test_every_address_of_a_name_is_tried() -> None:
    listener = TCPListener(_ignore)
    await listener.listen(Multiaddr(LOOPBACKS["ip4"]))
    good = listener._sockets[0].getsockname()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        bad = unused.getsockname()
        trio.socket.set_custom_hostname_resolver(
            Resolver((socket.AF_INET, bad), (socket.AF_INET, good))
        )
        connection = await TCP().dial(Multiaddr("/dns4/peer.test/tcp/4001"))
        assert connection.get_remote_address() == good
        connection.abort()
        trio.socket.set_custom_hostname_resolver(Resolver((socket.AF_INET, bad)))
        with pytest.raises(OpenConnectionError, match="cannot connect to /dns4"):
            await TCP().dial(Multiaddr("/dns4/peer.test/tcp/4001"))
    await listener.close()


async def test_names_that_idna_does_not_know_are_looked_up() -> None:
    """Docker compose names its containers ``my_node``."""
    asked: list[object] = []

    class Compose(Resolver):
        async def getaddrinfo(self, host: object, *rest: Any, **more: Any) -> Any:
            asked.append(host)
            return await super().getaddrinfo(host, *rest, **more)

    listener = TCPListener(_ignore)
    await listener.listen(Multiaddr(LOOPBACKS["ip4"]))
    good = listener._sockets[0].getsockname()
    trio.socket.set_custom_hostname_resolver(Compose((socket.AF_INET, good)))
    for name in ("my_node", "ab--node", "xn--mnchen-3ya.de"):
        for protocol in ("dns", "dns4"):
            connection = await TCP().dial(address_from_text(f"/{protocol}/{name}/tcp/4001"))
            assert connection.get_remote_address() == good
            connection.abort()
    await listener.close()
    assert asked == [b"my_node"] * 2 + [b"ab--node"] * 2 + [b"xn--mnchen-3ya.de"] * 2


@pytest.mark.parametrize("family", LOOPBACKS)
async def test_an_address_of_all_interfaces_leads_to_this_machine(family: str) -> None:
    listener = TCPListener(_ignore)
    await listener.listen(Multiaddr(LOOPBACKS[family]))
    anywhere = {"ip4": "0.0.0.0", "ip6": "::"}[family]
    port = str(listener.get_addrs()[0]).rsplit("/", 1)[1]
    address = Multiaddr(f"/{family}/{anywhere}/tcp/{port}")
    connection = await TCP().dial(address)
    assert connection.get_transport_addresses() == list(listener.get_addrs())
    connection.abort()
    await listener.close()
    with pytest.raises(OpenConnectionError, match=f"{address}, which stands for this machine"):
        await TCP().dial(address)


async def test_a_link_local_address_needs_an_interface_that_exists() -> None:
    with pytest.raises(OpenConnectionError, match="write /ip6zone/<name>/ip6/fe80::1/tcp/1"):
        await TCP().dial(Multiaddr("/ip6/fe80::1/tcp/1"))
    with pytest.raises(OpenConnectionError, match="no network interface 'nowhere9'"):
        await TCP().dial(Multiaddr("/ip6zone/nowhere9/ip6/fe80::1/tcp/1"))
    with pytest.raises(OpenConnectionError, match="no network interface"):
        await TCPListener(_ignore).listen(Multiaddr("/ip6zone/nowhere9/ip6/fe80::1/tcp/0"))


async def test_a_name_without_an_address_is_an_error() -> None:
    trio.socket.set_custom_hostname_resolver(Resolver((socket.AF_INET, ("127.0.0.1", 1))))
    with pytest.raises(OpenConnectionError, match="resolves to no address"):
        await TCP().dial(Multiaddr("/dns6/peer.test/tcp/4001"))
    trio.socket.set_custom_hostname_resolver(Resolver())
    with pytest.raises(OpenConnectionError, match="cannot resolve"):
        await TCP().dial(Multiaddr("/dns6/peer.test/tcp/4001"))


async def test_a_listener_that_is_closed_stops_serving() -> None:
    listener = TCPListener(_ignore)
    await listener.listen(Multiaddr(LOOPBACKS["ip4"]))
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.serve, nursery)
            await trio.testing.wait_all_tasks_blocked()
            [address] = listener.get_addrs()
            await listener.close()
            await listener.close()
    assert listener.get_addrs() == ()
    with pytest.raises(OpenConnectionError, match="refused"):
        await TCP().dial(address)


async def test_connections_made_before_serving_are_accepted() -> None:
    handled = trio.Event()

    async def handle(connection: ReadWriteCloser) -> None:
        await connection.write(b"welcome")
        await connection.close()
        handled.set()

    listener = TCPListener(handle)
    await listener.listen(Multiaddr(LOOPBACKS["ip4"]))
    early = await TCP().dial(listener.get_addrs()[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, nursery)
        assert await early.read() == b"welcome"
        await listener.close()
    early.abort()


async def test_a_dial_can_be_cancelled() -> None:
    # A full backlog does not answer: 192.0.2.0/24 would depend on the network's mood.
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        waiting = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(busy.getsockname())
            waiting.append(client)
        with trio.move_on_after(0.05) as scope:
            (await TCP().dial(Multiaddr(f"/ip4/127.0.0.1/tcp/{busy.getsockname()[1]}"))).abort()
        for client in waiting:
            client.close()
    assert scope.cancelled_caught


# -- carrying bytes -------------------------------------------------------------------------------


async def test_more_pieces_than_the_kernel_gathers_go_out_in_order() -> None:
    pieces = [bytes([n & 0xFF]) * (n % 7) for n in range(3 * MAX_GATHER)]
    async with connected() as (ours, theirs):
        assert ours.send_some(pieces) == []
        ours.shutdown_write()
        assert await theirs.read() == b"".join(pieces)


# -- the end --------------------------------------------------------------------------------------


async def test_a_connection_that_the_peer_reset_says_so() -> None:
    async with connected() as (ours, theirs):
        theirs._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.abort()
        with pytest.raises(RawConnError):
            await ours.receive()
        with pytest.raises(RawConnError):
            await ours.write(b"x")


async def test_an_accepted_connection_whose_peer_is_gone_has_no_address() -> None:
    connection = TcpConnection(socket.socket(), is_initiator=False)
    assert connection.get_remote_address() is None
    assert connection.get_transport_addresses() == []
    connection.abort()


# -- yamux over it --------------------------------------------------------------------------------


async def test_a_peer_that_breaks_the_rules_reads_why_before_the_end() -> None:
    # Closing a socket with unread input makes TCP send RST, and the peer loses what we said last.
    async with connected() as (ours, theirs), trio.open_nursery() as nursery:
        connection = yamux_over(ours)
        nursery.start_soon(connection.run)
        flood = frame(PING, SYN, 0, 1) + frame(WINDOW_UPDATE, SYN, 1) + data_frame(3, BULK[:60_000])

        async def offend() -> None:
            with suppress(RawConnError):
                await theirs.write(flood)
                while True:
                    await theirs.write(data_frame(3, BULK[:60_000]))

        nursery.start_soon(offend)
        frames = parse(b"".join(await theirs.receive()))
        if frames[-1].kind != GO_AWAY:
            frames += parse(b"".join(await theirs.receive()))
        assert frames[-1] == RawFrame(GO_AWAY, 0, 0, 1)
        assert await theirs.receive() == []
        nursery.cancel_scope.cancel()
