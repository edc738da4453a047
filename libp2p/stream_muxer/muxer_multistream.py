"""Choosing a stream muxer for a secure connection."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from inspect import signature
from typing import TYPE_CHECKING, cast

import trio

from libp2p.protocol_muxer.generic_selector import DEFAULT_NEGOTIATE_TIMEOUT
from libp2p.protocol_muxer.multiselect import respond
from libp2p.protocol_muxer.multiselect_client import select_one

if TYPE_CHECKING:
    from libp2p.abc import IMuxedConn, ISecureConn, TMuxerClass
    from libp2p.base_types import TProtocol
    from libp2p.peer.id import ID
    from libp2p.resources import Resources
    from libp2p.security.secure_session import SecureSession


class MuxerMultistream:
    """The muxers of this side, most wanted first."""

    def __init__(
        self,
        muxer_transports_by_protocol: Mapping[TProtocol, TMuxerClass],
        negotiate_timeout: float = DEFAULT_NEGOTIATE_TIMEOUT,
    ) -> None:
        """:param negotiate_timeout: seconds for agreeing on one."""
        self.transports: dict[TProtocol, TMuxerClass] = dict(muxer_transports_by_protocol)
        self.negotiate_timeout = negotiate_timeout

    def add_transport(self, protocol: TProtocol, transport: TMuxerClass) -> None:
        """Offer ``protocol`` as the least wanted one."""
        self.transports.pop(protocol, None)
        self.transports[protocol] = transport

    async def select_transport(self, conn: SecureSession) -> TMuxerClass:
        """
        Return the muxer that the handshake led to, or else agree on one now.

        :raises MultiselectClientError: or MultiselectError, if there is none in common.
        :raises trio.TooSlowError: if that takes too long.
        """
        if conn.early_muxer in self.transports:
            return self.transports[conn.early_muxer]
        with trio.fail_after(self.negotiate_timeout):
            if conn.is_initiator:
                return self.transports[await select_one(conn, tuple(self.transports))]
            return self.transports[await respond(conn, self.transports)]

    async def new_conn(
        self, conn: ISecureConn, peer_id: ID, resources: Resources | None = None
    ) -> IMuxedConn:
        """
        Return ``conn`` with a muxer on it, not started yet.

        :param resources: given to the muxer, if there are any and it takes them.
        """
        session = cast("SecureSession", conn)
        make_muxer = await self.select_transport(session)
        if resources is None or not _takes_resources(make_muxer):
            return make_muxer(session, peer_id)
        return make_muxer(session, peer_id, resources=resources)


@lru_cache(maxsize=64)
def _takes_resources(make_muxer: TMuxerClass) -> bool:
    """Tell whether a muxer takes more than py-libp2p's two arguments."""
    return "resources" in signature(make_muxer).parameters
