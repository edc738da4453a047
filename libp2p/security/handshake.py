"""What every security transport does: run a handshake's core over a connection."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

from libp2p.abc import ISecureTransport
from libp2p.base_types import TProtocol
from libp2p.exceptions import HandshakeFailure, IOException
from libp2p.peer.id import ID
from libp2p.protocol_muxer.lazy import LazyChannel
from libp2p.security.adapted import batched
from libp2p.security.secure_session import SecureSession

if TYPE_CHECKING:
    from libp2p.abc import IRawConnection
    from libp2p.base_types import Buffer
    from libp2p.crypto.keys import KeyPair
    from libp2p.io.abc import Channel
    from libp2p.security.channel import Established


class HandshakeCore(Protocol):
    """One side of a handshake, sans-I/O."""

    def start(self) -> bytes:
        """Return what is sent before anything is received."""
        ...

    def receive(self, buffers: Iterable[Buffer]) -> tuple[bytes, Established | None]:
        """Take in bytes; return bytes to send, and the result once there is one."""
        ...

    def take_leftover(self) -> bytes:
        """Remove and return the bytes after the handshake."""
        ...


Core = TypeVar("Core", bound=HandshakeCore)


class HandshakeTransport(ISecureTransport, Generic[Core]):
    """A security protocol of this library, for all connections of one identity."""

    #: The name by which it is proposed, and its name in errors.
    protocol_id: ClassVar[TProtocol]
    name: ClassVar[str]

    def __init__(self, key_pair: KeyPair, muxers: Sequence[str] | None = None) -> None:
        """
        :param muxers: what to offer for agreeing on a muxer within the handshake, most wanted
            first. With none the muxer is negotiated afterwards, at one round trip more; None
            leaves it to the host.
        """
        self.local_private_key = key_pair.private_key
        self.local_public_key = key_pair.public_key
        self.local_peer = ID.from_pubkey(key_pair.public_key)
        self._host_decides = muxers is None
        self.muxers: tuple[TProtocol, ...] = ()
        self._offer(tuple(map(TProtocol, muxers or ())))

    def offer_muxers(self, muxers: Sequence[TProtocol]) -> None:
        """Offer the host's muxers within the handshake, unless the constructor was told which."""
        if self._host_decides:
            self._offer(tuple(muxers))

    def _offer(self, muxers: tuple[TProtocol, ...]) -> None:
        self.muxers = muxers

    @abstractmethod
    def _begin(self, *, is_initiator: bool, expected_peer: ID | None) -> Core:
        """Return the core of a new handshake."""

    def _last_words(self, core: Core) -> bytes:
        """Return what the peer is sent after a failure."""
        return b""

    async def secure_inbound(self, conn: IRawConnection) -> SecureSession:
        """
        Shake hands with the peer that dialled.

        :raises HandshakeFailure: or one of its kinds; ``conn`` is the caller's to close.
        """
        return await self._secure(conn, is_initiator=False, expected_peer=None)

    async def secure_outbound(
        self, conn: IRawConnection, peer_id: ID | None, *, propose: TProtocol | None = None
    ) -> SecureSession:
        """
        Shake hands with ``peer_id``, or with any peer if that is None.

        A listener has the last word in TLS: if it refuses this side, the first read from the
        session fails.

        :param propose: nothing was agreed yet: propose this together with the first message.
        :raises PeerIDMismatchesPubkey: if another peer answers.
        :raises MultiselectClientError: if the peer refuses the proposal.
        :raises HandshakeFailure: or one of its kinds; ``conn`` is the caller's to close.
        """
        return await self._secure(conn, is_initiator=True, expected_peer=peer_id, propose=propose)

    async def _secure(
        self,
        conn: IRawConnection,
        *,
        is_initiator: bool,
        expected_peer: ID | None,
        propose: TProtocol | None = None,
    ) -> SecureSession:
        raw_conn = batched(conn)
        channel = raw_conn if propose is None else LazyChannel(raw_conn, propose)
        core = self._begin(is_initiator=is_initiator, expected_peer=expected_peer)
        try:
            made = await _complete(channel, core, self.name)
        except HandshakeFailure:
            if last := self._last_words(core):
                with suppress(IOException):  # the peer is gone already
                    raw_conn.send_some((last,))
            raise
        return SecureSession(
            raw_conn,
            made.channel,
            local_peer=self.local_peer,
            local_private_key=self.local_private_key,
            remote_peer=made.remote.peer_id,
            remote_public_key=made.remote.public_key,
            is_initiator=is_initiator,
            early_muxer=made.early_muxer,
            protocol=self.protocol_id,
        )


async def _complete(channel: Channel, core: HandshakeCore, name: str) -> Established:
    """
    Run ``core`` over ``channel`` to its end; bytes after the handshake are put back.

    The deadline is the caller's. After an error, or when cancelled, the channel is of no more use.

    :raises HandshakeFailure: what ``core`` raised, or if the connection ended first.
    """
    try:
        if first := core.start():
            await channel.send((first,))
        while buffers := await channel.receive():
            to_send, result = core.receive(buffers)
            if to_send:
                await channel.send((to_send,))
            if result is not None:
                if leftover := core.take_leftover():
                    channel.unread(leftover)
                return result
    except IOException as error:
        raise HandshakeFailure(f"connection lost in the {name} handshake: {error}") from error
    raise HandshakeFailure(f"peer hung up in the {name} handshake")
