"""``routing findprovs``, ``findpeer``, ``get`` and ``put``: what routers know."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libp2p.ipfs_lite.cli.company import open_asker
from libp2p.ipfs_lite.cli.terminal import DASH, STDIN, STDOUT, say, say_json, tell, unwritable
from libp2p.ipfs_lite.descriptors import SharedDescriptor, write_all
from libp2p.ipfs_lite.errors import NotFoundError, SourceError
from libp2p.utils.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice
    from libp2p.ipfs_lite.peer import Peer
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo

#: A record that is longer is refused by everybody: IPNS records have 10 KiB at most.
MAX_RECORD_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Style:
    """How findings are printed."""

    verbose: bool
    as_json: bool


def find_providers(
    at: At, network: NetworkChoice, cids: Sequence[CID], count: int, style: Style
) -> None:
    """Print who has blocks; an error if nobody has."""

    async def work() -> None:
        async with open_asker(at, network) as peer:
            for cid in cids:
                await _find_providers(peer, cid, count, style)

    at.run(work)


async def _find_providers(peer: Peer, cid: CID, count: int, style: Style) -> None:
    shown: set[ID] = set()
    async with peer.routing.find_providers(cid, count) as found:
        async for info in found:
            # A peer comes again when another router knows more addresses of it.
            if info.peer_id not in shown or style.verbose or style.as_json:
                await _show_peer(info, style, cid)
            shown.add(info.peer_id)
        said = found.said
    if style.verbose:
        _tell_what_was_said(said)
    if not shown:
        raise NotFoundError(f"nobody is known to have {cid}{_in_brackets(said)}")


async def _show_peer(info: PeerInfo, style: Style, cid: CID | None = None) -> None:
    addresses = list(map(str, info.addrs))
    if style.as_json:
        named = {} if cid is None else {"cid": str(cid)}
        await say_json({**named, "id": str(info.peer_id), "addresses": addresses})
        return
    await say(str(info.peer_id))
    if style.verbose:
        for address in addresses:
            await say(f"\t{address}")


def find_peer(at: At, network: NetworkChoice, peer_id: ID, style: Style) -> None:
    """Print the addresses of a peer; an error if nobody knows any."""

    async def work() -> None:
        async with open_asker(at, network) as peer:
            info = await peer.routing.find_peer(peer_id)
            if style.verbose:
                for report in peer.routing.reports():
                    tell(f"{report.name}: {one_line(report.last_error or 'answered')}")
        if info is None:
            raise NotFoundError(f"nobody knows where {peer_id} is")
        if style.as_json:
            await _show_peer(info, style)
            return
        for address in info.addrs:
            await say(str(address))

    at.run(work)


def get_values(at: At, network: NetworkChoice, keys: Sequence[bytes], as_json: bool) -> None:
    """Write the best records of keys, as they are or as JSON."""

    async def work() -> None:
        async with open_asker(at, network) as peer:
            for key in keys:
                value = await peer.routing.get_value(key)
                if value is None:
                    raise NotFoundError(f"nobody has a record of {name_of(key)}")
                if as_json:
                    text = base64.b64encode(value).decode()
                    await say_json({"key": name_of(key), "value": text})
                else:
                    await _write(value)

    at.run(work)


def name_of(key: bytes) -> str:
    """Return the key of a record as it is written in a command."""
    from libp2p.exceptions import InvalidPeerID
    from libp2p.peer.id import ID

    namespace, _, name = key[1:].partition(b"/")
    if namespace in (b"ipns", b"pk"):
        try:
            return f"/{namespace.decode()}/{ID(name)}"
        except InvalidPeerID:
            pass
    return key.decode("utf-8", "backslashreplace")


async def _write(value: bytes) -> None:
    try:
        await SharedDescriptor(STDOUT).use(lambda number: write_all(number, [value]))
    except OSError as error:
        raise unwritable(error) from error


def put_value(at: At, network: NetworkChoice, key: bytes, value_file: str, as_json: bool) -> None:
    """Store the record that a file has."""

    if value_file != DASH and not os.path.exists(value_file):
        raise SourceError(f"no such file: {value_file}")

    async def work() -> None:
        value = await _read(value_file)
        async with open_asker(at, network) as peer:
            await peer.routing.put_value(key, value)
        if as_json:
            await say_json({"key": name_of(key), "size": len(value)}, needed=False)

    at.run(work)


async def _read(name: str) -> bytes:
    from libp2p.ipfs_lite.source import FileSource, open_source

    named = FileSource(STDIN, "the standard input") if name == DASH else name
    pieces: list[bytes] = []
    size = 0
    async with open_source(named, 64 * 1024) as source:
        while batch := await source.next_batch():
            pieces += map(bytes, batch)
            size += sum(map(len, batch))
            if size > MAX_RECORD_BYTES:
                raise SourceError(f"{name} is no record: it is longer than {MAX_RECORD_BYTES} B")
    return b"".join(pieces)


def _tell_what_was_said(said: Mapping[str, str]) -> None:
    for name, text in said.items():
        tell(f"{name}: {one_line(text)}")


def _in_brackets(said: Mapping[str, str]) -> str:
    if not said:
        return ": there is no router to ask; name one with --bootstrap or --router"
    return f" ({'; '.join(f'{name}: {one_line(text)}' for name, text in said.items())})"
