"""
Where the first peers come from: addresses, files, names, a document at a URL.

An entry is one of

* an address of a peer, ``/ip4/192.0.2.1/tcp/4001/p2p/12D3…``, or a `PeerInfo`
* ``/dnsaddr/example.org``, with or without ``/p2p/12D3…``
* the path of a file with such entries in its lines; ``#`` begins a comment
* ``https://…``, where there is an autoconf JSON
* ``public``, the list of the public network that this library brings with it
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from multiaddr import Multiaddr

from libp2p.discovery.bootstrap.autoconf import Autoconf, fetch_autoconf
from libp2p.discovery.bootstrap.config import MAX_PEERS
from libp2p.dns.dnsaddr import is_dnsaddr
from libp2p.exceptions import BaseLibp2pError, BootstrapError, InvalidAddrError
from libp2p.peer.addresses import address_from_text, split_peer_id, text_of, to_multiaddr
from libp2p.peer.peerinfo import PeerInfo
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.dns.resolver import Resolver

logger = get_logger(__name__)

#: The word for the list in `PUBLIC_PEERS`.
PUBLIC: Final = "public"
#: Peers of the public network, with the day on which they were taken.
PUBLIC_PEERS: Final = Path(__file__).with_name("public_peers.txt")

#: Bytes of a file with peers: a thousand lines.
MAX_FILE_BYTES: Final = 256 * 1024

_EXPECTED: Final = "addresses of peers, /dnsaddr names, paths of files, https:// URLs, or 'public'"


@dataclass(frozen=True, slots=True)
class Source:
    """
    An entry, under the ``name`` that a person knows.

    :param peers: finds its peers, with the resolver of the host and the time of trio's clock;
        raises `BaseLibp2pError` if it cannot.
    """

    name: str
    peers: Callable[[Resolver], Awaitable[list[PeerInfo]]]


def read_sources(entries: object) -> list[Source]:
    """
    Read what a program gives as its bootstrap peers; a single entry need not be in a list.

    Nothing is opened, fetched or looked up yet.

    :raises ValueError: or `TypeError`, if an entry is none of those that the module names.
    """
    is_single = isinstance(entries, str | os.PathLike | Multiaddr | PeerInfo)
    listed = [entries] if is_single else arguments.listed(entries, "bootstrap", _EXPECTED)
    if len(listed) > MAX_PEERS:
        raise arguments.out_of_range("len(bootstrap)", len(listed), f"{MAX_PEERS} or less")
    return [_source(entry) for entry in listed]


def _source(entry: object) -> Source:
    if isinstance(entry, os.PathLike):
        path = arguments.path(entry, "a bootstrap file")
        return Source(path, partial(_peers_of_file, Path(path)))
    if isinstance(entry, str) and entry == PUBLIC:
        return Source(PUBLIC, partial(_peers_of_file, PUBLIC_PEERS))
    if isinstance(entry, str) and entry.startswith(("https://", "http://")):
        return Source(entry, _Document(entry).peers)
    if isinstance(entry, PeerInfo):
        return Source(name_of(entry), partial(_itself, entry))
    if isinstance(entry, str | Multiaddr):
        return _address_or_file(entry)
    raise arguments.wrong_type("what is in bootstrap", entry, _EXPECTED)


def _address_or_file(entry: str | Multiaddr) -> Source:
    try:
        return _address(to_multiaddr(entry, "a bootstrap peer"))
    except InvalidAddrError:
        # A path begins like an address; what is no address is taken for the path of a file.
        if isinstance(entry, str) and os.sep in entry and not _looks_like_address(entry):
            return Source(entry, partial(_peers_of_file, Path(entry)))
        raise


def _looks_like_address(text: str) -> bool:
    """Return whether somebody meant an address: a wrong one must not be taken for a file."""
    return "/p2p/" in text or text.lstrip("/").partition("/")[0] in {
        "ip4", "ip6", "dns", "dns4", "dns6", "dnsaddr", "p2p", "ipfs", "unix", "memory", "ip6zone",
    }  # fmt: skip


def _address(address: Multiaddr) -> Source:
    transport, peer_id = split_peer_id(address)
    if peer_id is None:
        if is_dnsaddr(address):
            return Source(text_of(address), partial(_peers_of_name, address))
        raise InvalidAddrError(f"address {text_of(address)} does not end in /p2p/<peer id>")
    info = PeerInfo(peer_id, [transport] if transport.to_bytes() else [])
    return Source(text_of(address), partial(_itself, info))


async def _itself(info: PeerInfo, resolver: Resolver) -> list[PeerInfo]:
    return [info]


async def _peers_of_name(address: Multiaddr, resolver: Resolver) -> list[PeerInfo]:
    found = await resolver.resolve_dnsaddr(address)
    peers = [split_peer_id(one) for one in found]
    infos = [PeerInfo(peer_id, [transport]) for transport, peer_id in peers if peer_id is not None]
    if not infos:
        raise BootstrapError(f"no address of {text_of(address)} ends in /p2p/<peer id>")
    return infos


async def _peers_of_file(path: Path, resolver: Resolver) -> list[PeerInfo]:
    try:
        text = await trio.to_thread.run_sync(_text_of, path, abandon_on_cancel=True)
    except (OSError, ValueError) as error:
        raise BootstrapError(f"{path} cannot be read: {error}") from error
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return await _peers_of_lines(str(path), [line for line in lines if line], resolver)


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    return data.decode()


async def _peers_of_lines(name: str, lines: Iterable[str], resolver: Resolver) -> list[PeerInfo]:
    """Return the peers of all lines that can be used; one bad line costs itself."""
    peers: list[PeerInfo] = []
    for line in list(lines)[:MAX_PEERS]:
        try:
            peers += await _address(address_from_text(line)).peers(resolver)
        except BaseLibp2pError as error:
            logger.info("a line of %s is left out: %s", name, error)
    if not peers:
        raise BootstrapError(f"{name} has no address of a peer that can be used")
    return peers


class _Document:
    """An autoconf JSON at a URL, which is fetched again when its time is over."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._content: Autoconf | None = None
        self._good_until = 0.0

    async def peers(self, resolver: Resolver) -> list[PeerInfo]:
        now = trio.current_time()
        if self._content is None or now >= self._good_until:
            try:
                self._content = await fetch_autoconf(self._url)
            except BootstrapError:
                if self._content is None:
                    raise  # else the last one is better than nothing
            else:
                self._good_until = now + self._content.ttl
        return await _peers_of_lines(self._url, self._content.addresses, resolver)


def name_of(info: PeerInfo) -> str:
    """Return the first address of a peer, with the peer at its end."""
    return f"{text_of(info.addrs[0])}/p2p/{info.peer_id}" if info.addrs else f"/p2p/{info.peer_id}"
