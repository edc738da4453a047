"""
Nothing ends the host: what a caller, a peer, a notifee, a handler, a peer store, a transport or a
muxer does wrong costs the call, the dial, the connection or the stream that it belongs to.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
from multiaddr import Multiaddr
from trio.testing import wait_all_tasks_blocked

from libp2p import new_host
from libp2p.abc import INotifee
from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    ConnectionFailure,
    DialError,
    HostException,
    OpenConnectionError,
    PeerStoreError,
    StreamEOF,
    StreamFailure,
    StreamReset,
)
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import ANNOUNCED_ADDR_TTL
from libp2p.network.config import SwarmConfig
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import HEARSAY_ADDR_TTL, PeerStore
from libp2p.stream_muxer.yamux.yamux import Yamux
from tests.support.hosts import (
    ECHO,
    HOLD,
    LOOPBACK,
    connected_hosts,
    echo,
    echoed,
    hold,
    info_of,
    running_host,
    transport_of,
    yamux_of,
)
from tests.support.identities import peer_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p import BasicHost
    from libp2p.abc import INetConn, INetStream, INetwork
    from libp2p.peer.id import ID
    from libp2p.security.secure_session import SecureSession

NOBODY = peer_id_of("nobody")
ANSWER = TProtocol("/answer/1.0.0")
ODD = Multiaddr("/ip4/127.0.0.1/udp/4001/quic-v1")


async def assert_alive(host: BasicHost) -> None:
    """The host takes a new connection, and answers on it."""
    async with running_host() as other:
        with trio.fail_after(5):
            await other.connect(info_of(host))
            assert len(await PingService(other).ping(host.get_id())) == 1


# -- peers that cannot be dialled -----------------------------------------------------------------


async def test_connecting_to_a_peer_without_addresses_fails_and_says_so() -> None:
    async with running_host() as host:
        with pytest.raises(ConnectionFailure, match="no address is known"):
            await host.connect(PeerInfo(NOBODY, []))
        await assert_alive(host)


async def test_a_stream_to_an_unknown_peer_fails_and_says_so() -> None:
    async with running_host() as host:
        with pytest.raises(StreamFailure, match="no address is known"):
            await host.new_stream(NOBODY, [ECHO])
        await assert_alive(host)


async def test_a_peer_whose_addresses_have_expired_is_one_without_addresses() -> None:
    now = 0.0
    host = new_host(peerstore_opt=PeerStore(clock=lambda: now))
    async with host.run([LOOPBACK]):
        host.get_peerstore().add_addrs(NOBODY, [LOOPBACK], 10)
        now = 11.0
        with pytest.raises(ConnectionFailure, match="no address is known"):
            await host.connect(PeerInfo(NOBODY, []))
        await assert_alive(host)


async def test_an_address_without_a_transport_is_named() -> None:
    async with running_host() as host:
        with pytest.raises(ConnectionFailure, match=f"{ODD}: there is no transport for it"):
            await host.connect(PeerInfo(NOBODY, [ODD]))
        with pytest.raises(DialError, match=f"{ODD}: there is no transport for it"):
            await host.get_network().dial_addr(ODD, NOBODY)


async def test_of_a_mixed_list_what_can_be_dialled_is_tried_and_both_kinds_are_named() -> None:
    unfit = [ODD, Multiaddr("/dns4/x/tcp/1/ws"), Multiaddr(f"/p2p/{NOBODY}/p2p-circuit")]
    refused = Multiaddr("/ip4/127.0.0.1/tcp/1")
    async with running_host() as host, running_host() as peer:
        with pytest.raises(ConnectionFailure, match="refused") as caught:
            await host.connect(PeerInfo(NOBODY, [*unfit, refused]))
        for address in unfit:
            assert f"{address}: there is no transport for it" in str(caught.value)
        await host.connect(PeerInfo(peer.get_id(), [*unfit, *peer.get_transport_addrs()]))


@pytest.mark.parametrize("name", [b"a" * 64 + b".example", b"x..y", b"\xff\xfe", b"-", b"a\0b"])
async def test_a_name_that_is_none_fails_its_dial(name: bytes) -> None:
    address = Multiaddr(b"\x36" + bytes([len(name)]) + name + b"\x06\x0f\xa1")
    async with running_host() as host:
        with pytest.raises(ConnectionFailure) as caught:
            await host.connect(PeerInfo(NOBODY, [address]))
        assert str(caught.value).startswith(
            f"cannot connect to {NOBODY}: {address.to_bytes().hex()}: "
        )
        assert len(str(caught.value)) < 400
        with pytest.raises(DialError, match=address.to_bytes().hex()):
            await host.get_network().dial_addr(address, NOBODY)
        await assert_alive(host)


# -- code of the user's ---------------------------------------------------------------------------


class Faulty(INotifee):
    """Raises in everything, once for each call."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def _fail(self, *_: object) -> None:
        raise self.error

    opened_stream = closed_stream = _fail  # type: ignore[assignment]
    connected = disconnected = _fail  # type: ignore[assignment]
    listen = listen_close = _fail  # type: ignore[assignment]


class Recorder(INotifee):
    """Notes whom it was told of."""

    def __init__(self) -> None:
        self.connections: list[INetConn] = []
        self.gone = trio.Event()

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        self.connections.append(conn)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        self.gone.set()

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None: ...
    async def closed_stream(self, network: INetwork, stream: INetStream) -> None: ...
    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None: ...
    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None: ...


@pytest.mark.parametrize(
    "error", [ValueError("mine"), ExceptionGroup("several", [KeyError(1), OSError(2)])]
)
async def test_a_notifee_that_raises_is_logged_and_nobody_else_notices(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    host, recorder = new_host(), Recorder()
    host.get_network().register_notifee(Faulty(error))
    host.get_network().register_notifee(recorder)
    async with host.run([LOOPBACK]), running_host() as peer:
        await peer.connect(info_of(host))
        await wait_all_tasks_blocked()
        assert len(recorder.connections) == 1
        await peer.disconnect(host.get_id())
        with trio.fail_after(5):
            await recorder.gone.wait()
        await wait_all_tasks_blocked()
        methods = ("listen", "connected", "opened_stream", "closed_stream", "disconnected")
        assert caplog.text.count("the notifee") == len(methods)
        assert all(caplog.text.count(f"failed in {method}()") == 1 for method in methods)
        assert "Traceback" in caplog.text
        await assert_alive(host)


async def test_a_notifee_that_hangs_delays_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Hanging(Faulty):
        async def _hang(self, *_: object) -> None:
            await trio.sleep_forever()

        connected = disconnected = _hang

        async def listen(self, *_: object) -> None: ...

    host, recorder = new_host(), Recorder()
    host.get_network().register_notifee(Hanging(ValueError()))
    host.get_network().register_notifee(recorder)
    async with host.run([LOOPBACK]), running_host() as peer:
        with trio.fail_after(2):
            await peer.connect(info_of(host))
            await peer.disconnect(host.get_id())
            await recorder.gone.wait()


async def test_a_peer_store_that_raises_costs_the_dial() -> None:
    class Broken(PeerStore):
        fail = False

        def addrs(self, peer_id: Any) -> list[Multiaddr]:
            raise RuntimeError("the database is gone")

    host = new_host(peerstore_opt=Broken())
    async with host.run([LOOPBACK]):
        with pytest.raises(ConnectionFailure, match="the database is gone"):
            await host.connect(PeerInfo(NOBODY, [LOOPBACK]))
        await assert_alive(host)


async def test_a_peer_store_that_takes_no_keys_costs_the_connection() -> None:
    class Broken(PeerStore):
        fails = False

        def add_pubkey(self, peer_id: Any, pubkey: Any) -> None:
            if self.fails:
                raise RuntimeError("the database is full")
            super().add_pubkey(peer_id, pubkey)

    store = Broken()
    host = new_host(peerstore_opt=store)
    async with host.run([LOOPBACK]), running_host() as peer:
        store.fails = True
        with pytest.raises(ConnectionFailure):
            await peer.connect(info_of(host))
        with pytest.raises(ConnectionFailure):
            await host.connect(info_of(peer))
        store.fails = False
        await assert_alive(host)


class NoYamux:
    """What a program might take for a muxer."""

    def __init__(self, *_: object) -> None: ...


class HalfYamux(Yamux):
    async def run(self) -> None:
        raise RuntimeError("not finished")


class OwnMuxer:
    """A muxer of the user's: py-libp2p's two arguments, and no base class of this library."""

    def __init__(self, secured_conn: SecureSession, peer_id: ID) -> None:
        self._inner = Yamux(secured_conn, peer_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def test_a_muxer_of_the_users_carries_streams() -> None:
    muxers: Any = {TProtocol("/yamux/1.0.0"): OwnMuxer}
    host = new_host(muxer_opt=muxers)
    host.set_stream_handler(ECHO, echo)
    async with host.run([LOOPBACK]), running_host() as peer:
        await peer.connect(info_of(host))
        [connection] = host.get_network().get_connections(peer.get_id())
        assert isinstance(connection.muxed_conn, OwnMuxer)
        stream = await peer.new_stream(host.get_id(), [ECHO])
        assert await echoed(stream, b"hello") == b"hello"


@pytest.mark.parametrize("muxer", [NoYamux, HalfYamux])
async def test_a_muxer_of_the_users_costs_its_connections(muxer: Any) -> None:
    host = new_host(muxer_opt={TProtocol("/yamux/1.0.0"): muxer})
    async with host.run([LOOPBACK]), running_host() as peer:
        with pytest.raises(ConnectionFailure):
            await host.connect(info_of(peer))
        with pytest.raises(ConnectionFailure):
            await peer.connect(info_of(host))
        assert host.get_network().get_total_connections() == 0
        with pytest.raises(ConnectionFailure):
            await host.connect(PeerInfo(NOBODY, []))  # it still answers


async def test_a_transport_that_raises_costs_the_dial() -> None:
    async with running_host() as host, running_host() as peer:
        transport = transport_of(host.get_network()).raw
        dial = transport.dial

        async def fail(_: Multiaddr) -> Any:
            raise KeyError("a bug")

        transport.dial = fail  # type: ignore[method-assign,assignment]
        with pytest.raises(ConnectionFailure, match="a bug"):
            await host.connect(info_of(peer))
        transport.dial = dial  # type: ignore[method-assign]
        await host.connect(info_of(peer))
        await assert_alive(host)


async def test_a_handshake_that_raises_costs_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_host() as host, running_host() as peer:

        async def fail(*_: object) -> Any:
            raise TypeError("a bug")

        with monkeypatch.context() as patched:
            upgrader = transport_of(host.get_network()).upgrader
            patched.setattr(upgrader, "upgrade_security", fail)
            with pytest.raises(ConnectionFailure):
                await peer.connect(info_of(host))
            with pytest.raises(ConnectionFailure, match="a bug"):
                await host.connect(info_of(peer))
        await assert_alive(host)


async def test_a_handler_whose_tasks_fail_while_it_is_cancelled_ends_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its nursery then raises cancellation and error in one group."""

    async def handler(_: INetStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("in the clean-up")

    host = new_host()
    host.set_stream_handler(ECHO, handler)
    async with running_host() as other, host.run([LOOPBACK]):
        async with running_host() as peer:
            await peer.connect(info_of(host))
            stream = await peer.new_stream(host.get_id(), [ECHO])
            await stream.write(b"x")
            await wait_all_tasks_blocked()
            [connection] = host.get_network().get_connections(peer.get_id())
            connection._nursery.cancel_scope.cancel()  # type: ignore[union-attr]
            await wait_all_tasks_blocked()
        await other.connect(info_of(host))
        await assert_alive(host)


# -- the end of a handler -------------------------------------------------------------------------


@pytest.mark.parametrize("inside_a_nursery", [False, True])
async def test_a_handler_that_reads_on_at_the_end_has_ended_cleanly(inside_a_nursery: bool) -> None:
    async def answer(stream: INetStream) -> None:
        while True:
            data = await stream.read(1024)  # StreamEOF is how it ends
            await stream.write(data.upper())

    async def in_a_nursery(stream: INetStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, stream)

    async with connected_hosts() as (a, b):
        b.set_stream_handler(ANSWER, in_a_nursery if inside_a_nursery else answer)
        for _ in range(60):
            stream = await a.new_stream(b.get_id(), [ANSWER])
            await stream.write(b"hello")
            await stream.close_write()
            assert await stream.read() == b"HELLO"


async def test_a_handler_that_misses_bytes_at_the_end_has_answered_all_the_same() -> None:
    async def answer(stream: INetStream) -> None:
        await stream.write(b"hello")
        await stream.read_exactly(10)  # type: ignore[attr-defined]

    async with connected_hosts() as (a, b):
        b.set_stream_handler(ANSWER, answer)
        for _ in range(20):
            stream = await a.new_stream(b.get_id(), [ANSWER])
            await stream.write(b"four")
            await stream.close_write()
            assert await stream.read() == b"hello"


async def test_a_handler_that_raises_resets_its_stream_alone() -> None:
    async def fail(stream: INetStream) -> None:
        await stream.read(1)
        raise ValueError("mine")

    async with connected_hosts() as (a, b):
        b.set_stream_handler(ANSWER, fail)
        b.set_stream_handler(ECHO, echo)
        stream = await a.new_stream(b.get_id(), [ECHO])
        failing = await a.new_stream(b.get_id(), [ANSWER])
        await failing.write(b"x")
        with pytest.raises(StreamReset):
            await failing.read()
        await stream.write(b"on")
        assert await stream.read(2) == b"on"
        await stream.close()


# -- what connect() means -------------------------------------------------------------------------


async def test_connect_before_run_raises_each_time_and_works_afterwards() -> None:
    host = new_host()
    async with running_host() as peer:
        for _ in range(3):
            with pytest.raises(ConnectionFailure, match="not running"):
                await host.connect(info_of(peer))
            with pytest.raises(StreamFailure, match="not running"):
                await host.new_stream(peer.get_id(), [ECHO])
        async with host.run([]):
            with trio.fail_after(5):
                await host.connect(info_of(peer))


@pytest.mark.parametrize("closed_inside", [True, False])
async def test_a_closed_host_raises_from_every_call_at_once(closed_inside: bool) -> None:
    async def assert_closed(host: BasicHost, peer: PeerInfo) -> None:
        with trio.fail_after(1):
            with pytest.raises(ConnectionFailure, match="closed"):
                await host.connect(peer)
            with pytest.raises(StreamFailure, match="closed"):
                await host.new_stream(peer.peer_id, [ECHO])
            with pytest.raises(HostException, match="closed"):
                host.start_service(trio.sleep, 0)
            with pytest.raises(StreamFailure, match="closed"):
                await PingService(host).ping(peer.peer_id)
            await host.disconnect(peer.peer_id)
            await host.close()
        assert host.get_connected_peers() == []

    host = new_host()
    async with running_host() as peer:
        async with host.run([LOOPBACK]):
            await host.connect(info_of(peer))
            if closed_inside:
                await host.close()
                await assert_closed(host, info_of(peer))
        await assert_closed(host, info_of(peer))


async def test_a_peer_that_is_full_refuses_with_a_reason() -> None:
    full = new_host(connection_config=SwarmConfig(max_connections_per_peer=0))
    async with running_host() as host, full.run([LOOPBACK]):
        with pytest.raises(ConnectionFailure, match="its limit of connections is reached"):
            await host.connect(info_of(full))
        assert host.get_connected_peers() == []


async def test_a_peer_that_closes_at_once_is_not_connected() -> None:
    class CloseAtOnce(Recorder):
        async def connected(self, network: INetwork, conn: INetConn) -> None:
            await conn.close()

    async with running_host() as host, running_host() as peer:
        peer.get_network().register_notifee(CloseAtOnce())
        with pytest.raises(ConnectionFailure, match=r"closed at once|going away"):
            await host.connect(info_of(peer))


@asynccontextmanager
async def slow_dials(host: BasicHost, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[trio.Event]:
    """Let every dial of a host wait for this event."""
    go_on, transport = trio.Event(), transport_of(host.get_network()).raw
    dial = transport.dial

    async def wait_first(address: Multiaddr) -> Any:
        await go_on.wait()
        return await dial(address)

    with monkeypatch.context() as patched:
        patched.setattr(transport, "dial", wait_first)
        yield go_on


async def test_who_comes_after_a_dial_was_given_up_dials_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_host() as host, running_host() as peer:
        async with slow_dials(host, monkeypatch):
            with trio.move_on_after(0.05):
                await host.connect(info_of(peer))
        with trio.fail_after(5):
            await host.connect(info_of(peer))
        assert host.get_connected_peers() == [peer.get_id()]


async def test_two_callers_of_one_dial_are_independent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_host() as host, running_host() as peer:
        async with slow_dials(host, monkeypatch) as go_on, trio.open_nursery() as nursery:
            impatient = trio.CancelScope()

            async def connect_impatiently() -> None:
                with impatient:
                    await host.connect(info_of(peer))

            nursery.start_soon(connect_impatiently)
            nursery.start_soon(host.connect, info_of(peer))
            await wait_all_tasks_blocked()
            impatient.cancel()
            await wait_all_tasks_blocked()
            go_on.set()
        assert host.get_connected_peers() == [peer.get_id()]


async def test_a_dial_that_the_end_of_the_host_cuts_off_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors: list[Exception] = []
    async with running_host() as peer, trio.open_nursery() as nursery:
        host = new_host()

        async def connect() -> None:
            try:
                await host.connect(info_of(peer))
            except ConnectionFailure as error:
                errors.append(error)

        async with host.run([]), slow_dials(host, monkeypatch):
            nursery.start_soon(connect)
            await wait_all_tasks_blocked()
        with trio.fail_after(5):
            while not errors:
                await wait_all_tasks_blocked()
    assert "closing" in str(errors[0])


async def test_a_dial_that_ends_while_the_host_closes_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An upgrade that takes no notice of its cancellation, as one in its last step does."""
    raw: list[Any] = []
    async with running_host() as peer, trio.open_nursery() as nursery:
        host = new_host()
        upgrader = transport_of(host.get_network()).upgrader
        upgrade = upgrader.upgrade
        closing = trio.Event()

        async def finish_late(raw_conn: Any, peer_id: Any) -> Any:
            raw.append(raw_conn)
            with trio.CancelScope(shield=True):
                muxed = await upgrade(raw_conn, peer_id)
                await closing.wait()
            return muxed

        monkeypatch.setattr(upgrader, "upgrade", finish_late)

        async def connect() -> None:
            with suppress(ConnectionFailure):
                await host.connect(info_of(peer))

        async with host.run([]):
            nursery.start_soon(connect)
            while not raw:
                await wait_all_tasks_blocked()
            await host.close()
            closing.set()
        assert raw[0]._sock.fileno() == -1
        assert host.get_network().connections == {}


async def test_a_stream_without_dialling_needs_a_connection() -> None:
    async with running_host() as host, running_host() as peer:
        host.get_peerstore().add_addrs(peer.get_id(), peer.get_transport_addrs(), 60)
        with pytest.raises(StreamFailure, match="there is no connection"):
            await host.new_stream(peer.get_id(), [ECHO], no_dial=True)
        assert host.get_connected_peers() == []
        peer.set_stream_handler(ECHO, echo)
        await host.connect(info_of(peer))
        stream = await host.new_stream(peer.get_id(), [ECHO], no_dial=True)
        await stream.close()


async def test_a_host_that_cannot_listen_says_so_and_leaves_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        async with running_host() as other:
            [taken] = other.get_transport_addrs()
            host = new_host()
            with pytest.raises(OpenConnectionError):
                async with host.run([LOOPBACK, taken]):
                    pass
            async with host.run([LOOPBACK]):
                await assert_alive(host)
    assert not caplog.records


async def test_an_end_of_file_error_is_what_py_libp2p_handlers_catch() -> None:
    async with connected_hosts() as (a, b):
        b.set_stream_handler(ECHO, echo)
        stream = await a.new_stream(b.get_id(), [ECHO])
        await stream.close_write()
        with pytest.raises(StreamEOF):
            await stream.read(1)


async def test_hearsay_is_kept_for_a_while_and_leads_to_no_network_of_others() -> None:
    now = 0.0
    store = PeerStore(clock=lambda: now)
    host = new_host(peerstore_opt=store)
    private = Multiaddr("/ip4/10.0.0.1/tcp/4001")
    async with host.run([LOOPBACK]), running_host() as peer:
        reason = "no address is known; 1 left out, of networks that this host is not in"
        with pytest.raises(ConnectionFailure, match=reason):
            await host.connect(PeerInfo(NOBODY, [private]), hearsay=True)
        told = PeerInfo(peer.get_id(), [private, *peer.get_transport_addrs()])
        await host.connect(told, hearsay=True)
        assert private not in store.addrs(peer.get_id())
        known = store.addrs(peer.get_id())
        now = HEARSAY_ADDR_TTL + ANNOUNCED_ADDR_TTL
        assert known
        with pytest.raises(PeerStoreError):
            store.addrs(peer.get_id())


async def test_what_is_known_of_connected_peers_is_kept() -> None:
    store = PeerStore(max_peers=4)
    host = new_host(peerstore_opt=store)
    async with host.run([LOOPBACK]), running_host() as peer:
        await peer.connect(info_of(host))
        for number in range(20):
            store.add_addrs(peer_id_of(f"heard of {number}"), [LOOPBACK], 60)
        assert store.has_peer(peer.get_id())


async def test_a_host_that_is_cancelled_ends_soon_although_a_peer_reads_nothing() -> None:
    async with running_host() as peer:
        peer.set_stream_handler(HOLD, hold)
        started = 0.0
        with trio.CancelScope() as scope:
            async with running_host() as host:
                await host.connect(info_of(peer))
                stream = await host.new_stream(peer.get_id(), [HOLD])
                [connection] = peer.get_network().get_connections(host.get_id())
                raw = yamux_of(connection).secured_conn.raw_conn
                # Nothing is read any more: what is written stays on the way.
                raw.wait_readable = trio.sleep_forever  # type: ignore[method-assign]
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stream.write, bytes(8 * 1024 * 1024))
                    await wait_all_tasks_blocked(0.05)
                    started = trio.current_time()
                    scope.cancel()
        assert trio.current_time() - started < 4 * SwarmConfig().hurried_close_timeout
