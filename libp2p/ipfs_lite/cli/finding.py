"""``routing findprovs``, ``findpeer``, ``get`` and ``put``: what routers know."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from libp2p.ipfs_lite.cli.company import open_asker
from libp2p.ipfs_lite.cli.inputs import read_small
from libp2p.ipfs_lite.cli.terminal import say_json, tell, write_bytes
from libp2p.ipfs_lite.config import DHT_NAME
from libp2p.ipfs_lite.errors import NotAnnouncedError, NotFoundError
from libp2p.utils.printable import one_line

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice
    from libp2p.ipfs_lite.peer import Peer
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

#: A record that is longer is refused by everybody: IPNS records have 10 KiB at most.
MAX_RECORD_BYTES: Final = 1024 * 1024


async def find_providers(
    at: At, network: NetworkChoice, cids: Sequence[CID], count: int, verbose: bool
) -> None:
    """Print who has blocks; an error if nobody has."""
    async with open_asker(at, network) as peer:
        for cid in cids:
            await _find_providers(at, peer, cid, count, verbose)


async def _find_providers(at: At, peer: Peer, cid: CID, count: int, verbose: bool) -> None:
    shown: set[ID] = set()
    async with peer.routing.find_providers(cid, count) as found:
        async for info in found:
            # A peer comes again when another router knows more addresses of it.
            if info.peer_id not in shown or verbose or at.as_json:
                addresses = [str(address) for address in info.addrs]
                facts = {"cid": str(cid), "id": str(info.peer_id), "addresses": addresses}
                lines = [f"    {address}" for address in addresses] if verbose else []
                await at.say(facts, str(info.peer_id), *lines)
            shown.add(info.peer_id)
        said = found.said
    if verbose:
        for name, text in said.items():
            tell(f"{name}: {one_line(text)}")
    if not shown:
        raise NotFoundError(f"nobody is known to have {cid}{_in_brackets(said)}")


async def find_peer(at: At, network: NetworkChoice, peer_id: ID, verbose: bool) -> None:
    """Print the addresses of a peer; an error if nobody knows any."""
    async with open_asker(at, network) as peer:
        info = await peer.routing.find_peer(peer_id)
        if verbose:
            for report in peer.routing.reports():
                tell(f"{report.name}: {one_line(report.last_error or 'answered')}")
    if info is None:
        raise NotFoundError(f"nobody knows where {peer_id} is")
    addresses = [str(address) for address in info.addrs]
    await at.say({"id": str(info.peer_id), "addresses": addresses}, *addresses)


async def get_values(at: At, network: NetworkChoice, keys: Sequence[bytes]) -> None:
    """Write the best records of keys, as they are or as JSON."""
    async with open_asker(at, network) as peer:
        for key in keys:
            value = await peer.routing.get_value(key)
            if value is None:
                raise NotFoundError(f"nobody has a record of {name_of(key)}")
            if at.as_json:
                text = base64.b64encode(value).decode()
                await say_json({"key": name_of(key), "value": text})
            else:
                await write_bytes(value)


def name_of(key: bytes) -> str:
    """Return the key of a record as it is written in a command."""
    from libp2p.exceptions import InvalidPeerID
    from libp2p.peer.id import ID

    namespace, _, name = key[1:].partition(b"/")
    if namespace in (b"ipns", b"pk"):
        try:
            return f"/{namespace.decode()}/{ID.from_bytes(name)}"
        except InvalidPeerID:
            pass
    return key.decode("utf-8", "backslashreplace")


async def put_value(at: At, network: NetworkChoice, key: bytes, value_file: str) -> None:
    """Store the record that a file has."""
    value = await read_small(value_file, MAX_RECORD_BYTES, "record")
    async with open_asker(at, network) as peer:
        await peer.routing.put_value(key, value)
        if _is_alone(peer):  # the DHT has stored the record here, and that is gone now
            raise NotAnnouncedError("nobody is known who could keep the record")
    await at.say({"key": name_of(key), "size": len(value)}, needed=False)


def _is_alone(peer: Peer) -> bool:
    """Tell whether there is nothing but a DHT of nobody else to keep records."""
    if peer.dht is None or [each.name for each in peer.routing.reports()] != [DHT_NAME]:
        return False
    return not (peer.dht.wan.has_peers or peer.dht.lan.has_peers)


def _in_brackets(said: Mapping[str, str]) -> str:
    if not said:
        return ": there is no router to ask; name one with --bootstrap or --router"
    return f" ({'; '.join(f'{name}: {one_line(text)}' for name, text in said.items())})"
