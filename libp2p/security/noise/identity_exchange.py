"""
The libp2p Noise handshake: bytes in, bytes out, and an authenticated peer as result (sans-I/O).

::

    initiator                     responder
    e                     ──►
                          ◄──     e, ee, s, es, payload
    s, se, payload        ──►
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from libp2p.exceptions import LocalProtocolError
from libp2p.io.message_buffer import MessageBuffer
from libp2p.security.channel import Established
from libp2p.security.noise.cipher import NoiseCipher
from libp2p.security.noise.handshake import XXHandshake, frame, message_extent
from libp2p.security.noise.payload import RemoteIdentity, choose_early_muxer, open_payload

if TYPE_CHECKING:
    from libp2p.base_types import Buffer, TProtocol
    from libp2p.peer.id import ID


class IdentityExchange:
    """One side of the handshake."""

    def __init__(
        self,
        handshake: XXHandshake,
        payload: bytes,
        *,
        expected_peer: ID | None = None,
        early_muxers: Sequence[TProtocol] = (),
    ) -> None:
        """
        :param payload: this side's, from `make_payload` with the same ``early_muxers``.
        :param expected_peer: the peer that was dialled; None on the side that was dialled.
        """
        self._handshake = handshake
        self._payload = payload
        self._expected_peer = expected_peer
        self._early_muxers = early_muxers
        self._received = MessageBuffer()

    def start(self) -> bytes:
        """Return the bytes to send before anything is received."""
        return frame(self._handshake.write(b"")) if self._handshake.is_initiator else b""

    def receive(self, buffers: Iterable[Buffer]) -> tuple[bytes, Established | None]:
        """
        Receive bytes of the peer.

        :return: bytes to send, and the result once there is one.
        :raises HandshakeFailure: or one of its kinds, see `open_payload`.
        """
        if self._handshake.is_done:
            raise LocalProtocolError("this handshake is over")
        self._received.feed(buffers)
        to_send = b""
        while (message := self._received.next_message(message_extent)) is not None:
            payload = self._handshake.read(message)
            if not self._handshake.is_initiator and not self._handshake.is_done:
                # The first message's payload is neither secret nor signed, so it is ignored.
                to_send = frame(self._handshake.write(self._payload))
                continue
            remote = open_payload(payload, self._handshake.remote_static, self._expected_peer)
            if self._handshake.is_initiator:
                to_send = frame(self._handshake.write(self._payload))
            return to_send, self._established(remote)
        return to_send, None

    def take_leftover(self) -> bytes:
        """Remove and return the bytes received after the handshake: transport records."""
        return self._received.take_leftover()

    def _established(self, remote: RemoteIdentity) -> Established:
        lists = (self._early_muxers, remote.stream_muxers)
        initiators, responders = lists if self._handshake.is_initiator else lists[::-1]
        keys = self._handshake.split()
        return Established(
            NoiseCipher(keys.send, keys.receive),
            remote,
            choose_early_muxer(initiators, responders),
        )
