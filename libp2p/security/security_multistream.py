"""Choosing a security protocol for a raw connection, and running its handshake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from libp2p.protocol_muxer.multiselect import respond
from libp2p.protocol_muxer.multiselect_client import select_one
from libp2p.security.adapted import batched
from libp2p.security.handshake import HandshakeTransport

if TYPE_CHECKING:
    from libp2p.abc import IRawConnection, ISecureConn, ISecureTransport
    from libp2p.base_types import TProtocol
    from libp2p.peer.id import ID


class SecurityMultistream:
    """The security protocols of this side, most wanted first."""

    def __init__(self, secure_transports_by_protocol: Mapping[TProtocol, ISecureTransport]) -> None:
        self.transports: dict[TProtocol, ISecureTransport] = dict(secure_transports_by_protocol)

    def add_transport(self, protocol: TProtocol, transport: ISecureTransport) -> None:
        """Offer ``protocol`` as the least wanted one."""
        self.transports.pop(protocol, None)
        self.transports[protocol] = transport

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        """
        Let the peer choose, refusing what is not offered, and shake hands.

        :raises MultiselectError: if it chooses nothing that is offered.
        :raises HandshakeFailure: if the handshake fails.
        """
        transport = await self.select_transport(conn, is_initiator=False)
        return await transport.secure_inbound(conn)

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        """
        Propose each protocol in turn and shake hands with ``peer_id``.

        Where there is only one, the handshake's first message goes out with the proposal: a peer
        that refuses it would be of no use anyhow, and the others answer a round trip sooner.

        :raises MultiselectClientError: if the peer supports none of them.
        :raises HandshakeFailure: if the handshake fails.
        """
        if len(self.transports) == 1:
            ((protocol, only),) = self.transports.items()
            if isinstance(only, HandshakeTransport):
                return await only.secure_outbound(conn, peer_id, propose=protocol)
        transport = await self.select_transport(conn, is_initiator=True)
        return await transport.secure_outbound(conn, peer_id)

    async def select_transport(self, conn: IRawConnection, is_initiator: bool) -> ISecureTransport:
        """Agree on a security protocol and return its transport."""
        return (await self.select_transport_and_protocol(conn, is_initiator))[1]

    async def select_transport_and_protocol(
        self, conn: IRawConnection, is_initiator: bool
    ) -> tuple[TProtocol, ISecureTransport]:
        """Agree on a security protocol; return it and its transport."""
        channel = batched(conn)
        if is_initiator:
            protocol = await select_one(channel, tuple(self.transports))
        else:
            protocol = await respond(channel, self.transports)
        return protocol, self.transports[protocol]
