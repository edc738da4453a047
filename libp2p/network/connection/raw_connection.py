"""py-libp2p's raw connection over any reader and writer; transports of this library do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.abc import IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.exceptions import ConnectionClosedError, IOException, RawConnError
from libp2p.peer.addresses import tcp_address

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.io.abc import ReadWriteCloser


class RawConnection(IRawConnection):
    """
    A transport's connection as py-libp2p has it.

    :param addresses: the peer's; by default that of the stream, as a TCP address.
    """

    def __init__(
        self,
        stream: ReadWriteCloser,
        initiator: bool,
        connection_type: ConnectionType = ConnectionType.DIRECT,
        addresses: list[Multiaddr] | None = None,
    ) -> None:
        self.stream = stream
        self.is_initiator = initiator
        self._connection_type = connection_type
        self._addresses = addresses

    async def read(self, n: int | None = None) -> bytes:
        """
        Read as the stream does.

        :raises RawConnError: or `ConnectionClosedError`, if the connection fails.
        """
        try:
            return await self.stream.read(n)
        except (IOException, ConnectionResetError) as error:
            raise _raw(error) from error

    async def write(self, data: bytes) -> None:
        """
        Write as the stream does.

        :raises RawConnError: or `ConnectionClosedError`, if the connection fails.
        """
        try:
            await self.stream.write(data)
        except (IOException, ConnectionResetError) as error:
            raise _raw(error) from error

    async def close(self) -> None:
        """Close the stream."""
        await self.stream.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's host and port, if the stream knows them."""
        return self.stream.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's addresses."""
        if self._addresses is not None:
            return self._addresses
        remote = self.get_remote_address()
        return [] if remote is None else [tcp_address(*remote)]

    def get_connection_type(self) -> ConnectionType:
        """Tell whether the connection is direct or relayed."""
        return self._connection_type


def _raw(error: Exception) -> Exception:
    known = isinstance(error, RawConnError | ConnectionClosedError)
    return error if known else RawConnError(str(error))
