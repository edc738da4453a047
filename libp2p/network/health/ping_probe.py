"""Pings one connection; `libp2p.host.ping` pings a peer on whichever connection there is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from libp2p.base_types import TProtocol
from libp2p.exceptions import BaseLibp2pError, PingError, ProtocolNotSupportedError
from libp2p.protocol_muxer.multiselect_client import select_one

if TYPE_CHECKING:
    from libp2p.network.connection.swarm_connection import SwarmConn

PING: Final = TProtocol("/ipfs/ping/1.0.0")
PING_LENGTH: Final = 32
#: Seconds to agree on the protocol, if nothing else is said.
NEGOTIATE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class ConnectionPingResult:
    """
    How a ping went.

    :param rtt_ms: milliseconds of the round trip; agreeing on the protocol does not count.
    :param protocol_supported: whether the peer speaks ping.
    :param skipped: True if no ping was sent because the connection is in use.
    """

    success: bool
    rtt_ms: float = 0.0
    protocol_supported: bool = False
    skipped: bool = False


async def ping_connection(
    conn: SwarmConn,
    *,
    ping_timeout: float,
    negotiate_timeout: float | None = None,
    skip_when_streams_open: bool = False,
) -> ConnectionPingResult:
    """Ping the peer on this connection; a failure is in the result, and is not raised."""
    if skip_when_streams_open and conn.get_streams():
        return ConnectionPingResult(success=True, skipped=True)
    is_spoken = False
    try:
        stream = await conn.new_stream()
        try:
            with trio.fail_after(negotiate_timeout or NEGOTIATE_SECONDS):
                stream.set_protocol(await select_one(stream, [PING]))
            is_spoken = True
            payload, sent_at = os.urandom(PING_LENGTH), trio.current_time()
            with trio.fail_after(ping_timeout):
                await stream.send((payload,))
                if await stream.read_exactly(PING_LENGTH) != payload:
                    raise PingError("ping was answered with other bytes than were sent")
            seconds = trio.current_time() - sent_at
        except BaseException:
            stream.abort()
            raise
        await stream.close()
    except ProtocolNotSupportedError:
        return ConnectionPingResult(success=False)
    except (BaseLibp2pError, trio.TooSlowError):
        return ConnectionPingResult(success=False, protocol_supported=is_spoken)
    return ConnectionPingResult(success=True, rtt_ms=seconds * 1000, protocol_supported=True)
