"""
Interfaces of objects that carry bytes: py-libp2p's for users, `Channel` between the layers.

Layers pass bytes in batches, as lists of buffers (`Channel`, and `RawChannel` at the bottom).
`read(n)` and `write(b)` exist only in the users' interfaces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import Buffer
    from libp2p.connection_types import ConnectionType


class Channel(Protocol):
    """The contract between layers: a socket, a secure session, a stream."""

    async def receive(self) -> list[Buffer]:
        """
        Return all bytes at hand, waiting for at least one.

        An empty list is the clean end. Everything else that ends a channel is a typed error.
        """
        ...

    def unread(self, data: Buffer) -> None:
        """Put ``data`` back in front: the next receive or read returns it first."""
        ...

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """Write ``buffers`` in order; return when the layer below has accepted them."""
        ...


@runtime_checkable
class RawChannel(Channel, Protocol):
    """A transport's connection as a secure session needs it: no copy, no needless wait."""

    async def wait_readable(self) -> None:
        """Wait until `receive_into` would read something, or the end."""
        ...

    def receive_into(self, buffer: memoryview) -> int | None:
        """Read into ``buffer``; return the number of bytes, 0 at the end, None for nothing yet."""
        ...

    def send_some(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Send what the kernel takes without waiting; return the unsent rest."""
        ...

    async def wait_writable(self) -> None:
        """Wait until `send_some` would send something."""
        ...

    def delivered_bytes(self) -> int:
        """
        Return how many of the bytes written the peer's kernel has acknowledged.

        As far as that is not known, those that this side's kernel has taken. It never falls.
        """
        ...

    def undelivered_bytes(self) -> int:
        """Return how many it has not acknowledged; 0 if that is not known."""
        ...

    def is_reset(self) -> bool:
        """Tell if the peer has reset the connection: what it has not acknowledged is lost."""
        ...

    def shutdown_write(self) -> None:
        """Tell the peer that nothing more will come; reading goes on."""
        ...

    def abort(self) -> None:
        """Close at once, without waiting for anything."""
        ...

    async def close(self) -> None:
        """Close; what was taken is still delivered."""
        ...

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port), if it has them."""
        ...

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's address as a multiaddr."""
        ...

    def get_connection_type(self) -> ConnectionType:
        """Return whether the connection is direct or relayed."""
        ...


class Closer(ABC):
    """Something that can be closed."""

    @abstractmethod
    async def close(self) -> None:
        """Close it; closing twice is not an error."""


class Reader(ABC):
    """A source of bytes."""

    @abstractmethod
    async def read(self, n: int | None = None) -> bytes:
        """Return 1 to ``n`` bytes, waiting for the first; all up to the end if ``n`` is None."""


class Writer(ABC):
    """A sink of bytes."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Write all of ``data``."""


class WriteCloser(Writer, Closer):
    """A sink that can be closed."""


class ReadCloser(Reader, Closer):
    """A source that can be closed."""


class ReadWriter(Reader, Writer):
    """Both directions."""


class ReadWriteCloser(Reader, Writer, Closer):
    """Both directions of a connection to somewhere."""

    @abstractmethod
    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the host and port of the other end, if it has them."""


class MsgReader(ABC):
    """A source of messages."""

    @abstractmethod
    async def read_msg(self) -> bytes:
        """Return the next whole message."""


class MsgWriter(ABC):
    """A sink of messages."""

    @abstractmethod
    async def write_msg(self, msg: bytes) -> None:
        """Write one message."""


class MsgReadWriteCloser(MsgReader, MsgWriter, Closer):
    """Messages in both directions."""


class Encrypter(ABC):
    """A symmetric cipher with its key."""

    @abstractmethod
    def encrypt(self, data: bytes) -> bytes:
        """Return ``data`` encrypted."""

    @abstractmethod
    def decrypt(self, data: bytes) -> bytes:
        """Return ``data`` decrypted."""


class EncryptedMsgReadWriter(MsgReadWriteCloser, Encrypter):
    """Encrypted messages in both directions."""

    @abstractmethod
    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the host and port of the other end, if it has them."""

    @abstractmethod
    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the addresses of the transport connection below."""

    @abstractmethod
    def get_connection_type(self) -> ConnectionType:
        """Return whether the connection below is direct or relayed."""
