"""
Payloads that prove which peer a Noise static key belongs to (sans-I/O).

https://github.com/libp2p/specs/blob/master/noise/README.md#the-libp2p-handshake-payload: the
payloads of the second and the third message carry the sender's identity key and its signature of
the static key. Nothing else in a payload may be used before that signature is verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.base_types import TProtocol
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import (
    CryptographyError,
    HandshakeFailure,
    InvalidSignature,
    PeerIDMismatchesPubkey,
)
from libp2p.hostile_input import refused_as
from libp2p.peer.id import ID
from libp2p.security.noise.pb import noise_pb2

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey, PublicKey

#: Makes the signature invalid for anything else that the identity key signs.
SIGNATURE_PREFIX: Final = b"noise-libp2p-static-key:"

#: A longer list is ignored, as go-libp2p does: no peer has as many muxers.
MAX_STREAM_MUXERS: Final = 100


class RemoteIdentity(NamedTuple):
    """The contents of a verified payload."""

    peer_id: ID
    public_key: PublicKey
    #: The muxers that it offers early, most wanted first; empty if it offers none.
    stream_muxers: tuple[TProtocol, ...]


def make_payload(
    identity_key: PrivateKey, static_public: bytes, early_muxers: Sequence[TProtocol] = ()
) -> bytes:
    """Return the payload that proves ``static_public`` to be of ``identity_key``'s owner."""
    payload = noise_pb2.NoiseHandshakePayload(
        identity_key=identity_key.get_public_key().serialize(),
        identity_sig=identity_key.sign(SIGNATURE_PREFIX + static_public),
    )
    if early_muxers:
        payload.extensions.stream_muxers.extend(muxer.encode() for muxer in early_muxers)
    return payload.SerializeToString()


def open_payload(
    payload: bytes, remote_static: bytes, expected_peer: ID | None = None
) -> RemoteIdentity:
    """
    Verify the payload that came with the static key ``remote_static``.

    :param expected_peer: the peer that was dialled; None accepts any peer that proves its identity.
    :raises InvalidSignature: if the static key was not signed with the identity key.
    :raises PeerIDMismatchesPubkey: if the peer is not ``expected_peer``.
    :raises HandshakeFailure: if the payload is malformed.
    """
    with refused_as(HandshakeFailure, "Noise payload is malformed"):
        message = noise_pb2.NoiseHandshakePayload.FromString(payload)
    try:
        public_key = deserialize_public_key(message.identity_key)
    except CryptographyError as error:
        raise HandshakeFailure(f"identity key in the Noise payload: {error}") from error
    if not public_key.verify(SIGNATURE_PREFIX + remote_static, message.identity_sig):
        raise InvalidSignature("the peer's identity key has not signed its Noise static key")
    peer_id = ID.from_pubkey(public_key)
    if expected_peer is not None and peer_id != expected_peer:
        raise PeerIDMismatchesPubkey(f"the peer is {peer_id}, not {expected_peer}")
    return RemoteIdentity(peer_id, public_key, _stream_muxers(message))


def choose_early_muxer(
    initiators: Sequence[TProtocol], responders: Sequence[TProtocol]
) -> TProtocol | None:
    """
    Return the initiator's most wanted muxer that the responder offers too.

    None means that the muxer is negotiated after the handshake, also if the lists have nothing in
    common: the specification demands a failure then, but go-libp2p goes on.
    """
    return next((muxer for muxer in initiators if muxer in responders), None)


def _stream_muxers(message: noise_pb2.NoiseHandshakePayload) -> tuple[TProtocol, ...]:
    muxers = message.extensions.stream_muxers
    if len(muxers) > MAX_STREAM_MUXERS:
        return ()
    return tuple(TProtocol(muxer.decode(errors="replace")) for muxer in muxers)
