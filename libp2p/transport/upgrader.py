"""From a raw connection to a multiplexed one: agree on a security protocol, then on a muxer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.exceptions import (
    IOException,
    MultiselectClientError,
    MultiselectError,
    MuxerUpgradeFailure,
    SecurityError,
    SecurityUpgradeFailure,
)
from libp2p.security.security_multistream import SecurityMultistream
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream

if TYPE_CHECKING:
    from libp2p.abc import IMuxedConn, IRawConnection, ISecureConn, TMuxerOptions, TSecurityOptions
    from libp2p.peer.id import ID
    from libp2p.resources import Resources

_NOT_AGREED = (MultiselectError, MultiselectClientError, IOException)


class TransportUpgrader:
    """Upgrades connections with the protocols given; deadlines are the caller's."""

    def __init__(
        self,
        secure_transports_by_protocol: TSecurityOptions,
        muxer_transports_by_protocol: TMuxerOptions,
    ) -> None:
        self.security_multistream = SecurityMultistream(secure_transports_by_protocol)
        self.muxer_multistream = MuxerMultistream(muxer_transports_by_protocol)

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
                raise SecurityUpgradeFailure("the dialling side must know whom it dials")
            return await self.security_multistream.secure_outbound(raw_conn, peer_id)
        except (SecurityError, *_NOT_AGREED) as error:
            raise SecurityUpgradeFailure(str(error)) from error

    async def upgrade_connection(
        self, conn: ISecureConn, peer_id: ID, resources: Resources | None = None
    ) -> IMuxedConn:
        """
        Multiplex a secure connection.

        :param resources: what its host may hold.
        :raises MuxerUpgradeFailure: with the reason as its cause.
        """
        try:
            return await self.muxer_multistream.new_conn(conn, peer_id, resources)
        except _NOT_AGREED as error:
            raise MuxerUpgradeFailure(str(error)) from error
