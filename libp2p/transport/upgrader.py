"""
From a raw connection to a multiplexed one: agree on a security protocol, then on a muxer.

`UpgradedTransport` does that to every connection of a raw transport.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, TypeGuard
from weakref import WeakSet

import trio

from libp2p.exceptions import (
    IOException,
    MultiselectClientError,
    MultiselectError,
    MuxerUpgradeFailure,
    SecurityError,
    SecurityUpgradeFailure,
)
from libp2p.protocol_muxer.generic_selector import DEFAULT_NEGOTIATE_TIMEOUT
from libp2p.security.adapted import batched
from libp2p.security.pnet.protector import ProtectedConnection
from libp2p.security.security_multistream import SecurityMultistream
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.transport.abc import MuxedConnection

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IMuxedConn, IRawConnection, ISecureConn, TMuxerOptions, TSecurityOptions
    from libp2p.peer.id import ID
    from libp2p.resources import Resources
    from libp2p.transport.abc import Admit, Listener, OnConnection, RawTransport, Transport

_NOT_AGREED = (MultiselectError, MultiselectClientError, IOException, trio.TooSlowError)


class TransportUpgrader:
    """Upgrades connections with the protocols given; the swarm has a deadline for each."""

    def __init__(
        self,
        secure_transports_by_protocol: TSecurityOptions,
        muxer_transports_by_protocol: TMuxerOptions,
        negotiate_timeout: float = DEFAULT_NEGOTIATE_TIMEOUT,
        *,
        resources: Resources | None = None,
        psk: bytes | None = None,
    ) -> None:
        """
        :param negotiate_timeout: seconds for agreeing on a muxer.
        :param resources: what the host of the connections may hold.
        :param psk: the key of a private network: connections to hosts without that key fail.
        """
        self._resources = resources
        self._psk = psk
        self.security_multistream = SecurityMultistream(secure_transports_by_protocol)
        self.muxer_multistream = MuxerMultistream(muxer_transports_by_protocol, negotiate_timeout)
        # Classes that were checked: Python 3.11 takes 16 us to check one against a Protocol.
        self._muxed_classes: WeakSet[type] = WeakSet()

    def over(self, raw: RawTransport, resources: Resources) -> Transport:
        """
        Return a transport whose connections are upgraded.

        :param resources: what their host may hold, if the constructor was not told.
        """
        if self._resources is None:
            self._resources = resources
        return UpgradedTransport(raw, self)

    async def upgrade_security(
        self, raw_conn: IRawConnection, is_initiator: bool, peer_id: ID | None = None
    ) -> ISecureConn:
        """
        Secure ``raw_conn``; the dialling side must name the peer that it expects.

        :raises SecurityUpgradeFailure: with the reason as its cause.
        """
        try:
            if not is_initiator:
                return await self.security_multistream.secure_inbound(raw_conn)
            if peer_id is None:
                raise SecurityUpgradeFailure("the dialling side must name the peer")
            return await self.security_multistream.secure_outbound(raw_conn, peer_id)
        except (SecurityError, *_NOT_AGREED) as error:
            raise SecurityUpgradeFailure(str(error)) from error

    async def upgrade_connection(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        """
        Multiplex a secure connection.

        :raises MuxerUpgradeFailure: with the reason as its cause.
        """
        try:
            return await self.muxer_multistream.new_conn(conn, peer_id, self._resources)
        except _NOT_AGREED as error:
            raise MuxerUpgradeFailure(str(error)) from error

    async def upgrade(self, raw_conn: IRawConnection, peer_id: ID | None) -> MuxedConnection:
        """
        Secure and multiplex ``raw_conn``; if that fails or is cancelled, it is closed.

        :param peer_id: the peer that was dialled; None for an inbound connection.
        :raises UpgradeFailure: with the reason as its cause.
        """
        channel = batched(raw_conn)
        try:
            secured = await self._secure(raw_conn, peer_id)
            muxed: object = await self.upgrade_connection(secured, secured.get_remote_peer())
            if not self._is_multiplexed(muxed):
                raise MuxerUpgradeFailure(f"{muxed!r} is no MuxedConnection")
            # By now a dial of another address may have won, and this one may be cancelled.
            await trio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            channel.abort()
            raise
        return muxed

    def _is_multiplexed(self, muxed: object) -> TypeGuard[MuxedConnection]:
        if type(muxed) not in self._muxed_classes:
            if not isinstance(muxed, MuxedConnection):
                return False
            self._muxed_classes.add(type(muxed))
        return True

    async def _secure(self, raw_conn: IRawConnection, peer_id: ID | None) -> ISecureConn:
        is_initiator = peer_id is not None
        if self._psk is None:
            return await self.upgrade_security(raw_conn, is_initiator, peer_id)
        conn = ProtectedConnection(batched(raw_conn), self._psk, is_initiator=is_initiator)
        try:
            return await self.upgrade_security(conn, is_initiator, peer_id)
        except SecurityUpgradeFailure as error:
            # With another key all bytes are noise, and the first error does not say why.
            raise SecurityUpgradeFailure(
                f"{error} (this host is in a private network; is the peer in it?)"
            ) from error


class UpgradedTransport:
    """A `Transport`: a raw transport, and what secures and multiplexes its connections."""

    def __init__(self, raw: RawTransport, upgrader: TransportUpgrader) -> None:
        self.raw = raw
        self.upgrader = upgrader

    def can_dial(self, maddr: Multiaddr) -> bool:
        """Tell whether the raw transport understands ``maddr``."""
        return self.raw.can_dial(maddr)

    def can_listen(self, maddr: Multiaddr) -> bool:
        """Tell whether the raw transport understands ``maddr``."""
        return self.raw.can_listen(maddr)

    async def dial(self, maddr: Multiaddr, peer_id: ID) -> MuxedConnection:
        """
        Connect to ``peer_id`` at ``maddr``.

        :raises OpenConnectionError: if nothing answers there.
        :raises UpgradeFailure: if it is another peer, or the two do not come to terms.
        """
        return await self.upgrader.upgrade(await self.raw.dial(maddr), peer_id)

    async def listen(self, maddr: Multiaddr, on_connection: OnConnection, admit: Admit) -> Listener:
        """
        Begin to listen; see `Transport`.

        :raises OpenConnectionError: if ``maddr`` cannot be listened on.
        """

        def accept(raw_conn: IRawConnection) -> Awaitable[None]:
            return on_connection(_Accepted(raw_conn, self.upgrader))

        listener = self.raw.create_listener(accept, admit)
        await listener.listen(maddr)
        return listener


class _Accepted:
    """An `Incoming` connection of a raw transport."""

    def __init__(self, raw_conn: IRawConnection, upgrader: TransportUpgrader) -> None:
        self._raw_conn = raw_conn
        self.upgrade = partial(upgrader.upgrade, raw_conn, None)

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._raw_conn.get_remote_address()

    def abort(self) -> None:
        batched(self._raw_conn).abort()
