"""A nameserver on loopback, with records that a test chooses, over UDP and TCP."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import trio

from libp2p.dns import DnsConfig, Nameserver, Resolver


@dataclass
class Zone:
    """Records by name and type; names in `mute` get no answer, those in `failing` SERVFAIL."""

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    mute: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    ttl: int = 60
    asked: Counter[str] = field(default_factory=Counter)
    port: int = 0

    def txt(self, name: str, *texts: str) -> None:
        """Set the TXT records of a name; long ones are sent in pieces of 255 bytes."""
        self.records[name, "TXT"] = [
            " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255) or (0,))
            for text in texts
        ]

    def dnsaddr(self, name: str, *addresses: object) -> None:
        """Set what ``/dnsaddr/NAME`` stands for."""
        self.txt(f"_dnsaddr.{name}", *(f"dnsaddr={address}" for address in addresses))

    def answer(self, query: dns.message.Message) -> dns.message.Message | None:
        """Return the answer to a query; None for none."""
        question = query.question[0]
        name = question.name.to_text().rstrip(".").lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked[name] += 1
        if name in self.mute:
            return None
        response = dns.message.make_response(query)
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in self.records:
            values = self.records[name, kind]
            response.answer.append(
                dns.rrset.from_text_list(question.name, self.ttl, "IN", kind, values)
            )
        elif not any(name == known for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def resolver(self, **limits: float) -> Resolver:
        """Return a resolver that asks this server."""
        server = Nameserver("127.0.0.1", self.port)
        return Resolver(DnsConfig(nameservers=(server,), **limits))  # type: ignore[arg-type]


async def _sockets_of_one_port() -> tuple[trio.socket.SocketType, list[trio.SocketListener]]:
    """Open a UDP and a TCP socket of one number; one that is free for UDP may be taken for TCP."""
    for _ in range(100):
        tcp = await trio.open_tcp_listeners(0, host="127.0.0.1")
        udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        try:
            await udp.bind(("127.0.0.1", tcp[0].socket.getsockname()[1]))
        except OSError:
            udp.close()
            await tcp[0].aclose()
        else:
            return udp, tcp
    raise AssertionError("no port is free for both UDP and TCP")


@asynccontextmanager
async def name_server() -> AsyncIterator[Zone]:
    """Serve a zone on loopback for the length of the block."""
    zone = Zone()
    udp, tcp = await _sockets_of_one_port()
    zone.port = udp.getsockname()[1]

    async def serve_udp() -> None:
        while True:
            data, address = await udp.recvfrom(65_535)
            query = dns.message.from_wire(data)
            response = zone.answer(query)
            if response is None:
                continue
            wire = response.to_wire(max_size=65_535)
            if len(wire) > 1232:
                response.answer.clear()
                response.flags |= dns.flags.TC
                wire = response.to_wire()
            await udp.sendto(wire, address)

    async def serve_tcp(stream: trio.SocketStream) -> None:
        async with stream:
            length = int.from_bytes(await stream.receive_some(2), "big")
            if not length:  # the resolver has given up
                return
            response = zone.answer(dns.message.from_wire(await stream.receive_some(length)))
            if response is not None:
                wire = response.to_wire(max_size=65_535)
                await stream.send_all(len(wire).to_bytes(2, "big") + wire)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_udp)
        nursery.start_soon(trio.serve_listeners, serve_tcp, tcp)
        try:
            yield zone
        finally:
            nursery.cancel_scope.cancel()
            udp.close()
