"""Watch a receive window grow: what a stream and a connection say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import PeerInfo
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

if TYPE_CHECKING:
    from libp2p.abc import INetStream

FILM = TProtocol("/film/1.0.0")
MIB = 1024 * 1024


async def show_film(stream: INetStream) -> None:
    for _ in range(64):
        await stream.write(bytes(MIB))
    await stream.close()


async def main() -> None:
    cinema, viewer = new_host(), new_host()
    async with cinema.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]), viewer.run([]):
        cinema.set_stream_handler(FILM, show_film)
        await viewer.connect(PeerInfo(cinema.get_id(), cinema.get_transport_addrs()))
        [connection] = viewer.get_network().get_connections(cinema.get_id())

        stream = await viewer.new_stream(cinema.get_id(), [FILM])
        while await stream.receive():
            pass
        assert isinstance(stream.muxed_stream, YamuxStream)
        film = stream.muxed_stream.statistics()
        print(f"received {film.bytes_received // MIB} MiB")
        print(f"the window doubled {film.window_growths} times, to {film.receive_window} bytes")

        assert isinstance(connection.muxed_conn, Yamux)
        link = connection.muxed_conn.statistics()
        if link.rtt is not None:
            print(f"a round trip takes {link.rtt * 1e6:.0f} microseconds")
        print(f"grown windows take {link.receive_budget_used} of {link.receive_budget} bytes")
        await stream.close()


if __name__ == "__main__":
    trio.run(main)
