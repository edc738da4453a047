"""``pin add``, ``rm``, ``ls``, ``update`` and ``verify``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, cast

from libp2p.ipfs_lite.cli.fetching import fetching_peer, find
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.errors import UnhealthyError
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipfs_lite.pins import check_name

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice
    from libp2p.ipfs_lite.cli.parameters import Content
    from libp2p.ipfs_lite.pin_table import Pin, PinKind


@dataclass(frozen=True, slots=True)
class Shown:
    """What is printed of a pin."""

    quiet: bool
    names: bool

    def line(self, pin: Pin, *, asked: bool) -> str:
        if self.quiet:
            return str(pin.cid)
        # Kubo says through what a block is pinned if it was asked for that block.
        name = f" {pin.name}" if self.names and pin.name else ""
        through = f" through {pin.through}" if asked and pin.through is not None else ""
        return f"{pin.cid} {pin.kind}{through}{name}"


async def add(
    at: At,
    contents: Sequence[Content],
    fetch: FetchChoice,
    *,
    recursive: bool,
    name: str,
    expire_in: float | None,
) -> None:
    check_name(name)
    async with fetching_peer(at, fetch, *contents) as peer:
        expiry = None if expire_in is None else time() + expire_in
        for content in contents:
            cid = await find(peer, content)
            with Bar("pinning", str(cid)) as bar:
                await peer.pins.add(
                    cid, recursive=recursive, name=name, expiry=expiry, progress=bar.update
                )
            how = "recursively" if recursive else "directly"
            await at.say({"pins": [str(cid)]}, f"pinned {cid} {how}", needed=False)


async def remove(at: At, contents: Sequence[Content], recursive: bool) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        for content in contents:
            cid = await find(peer, content)
            await peer.pins.rm(cid, recursive=recursive)
            await at.say({"pins": [str(cid)]}, f"unpinned {cid}", needed=False)


async def list_pins(
    at: At, contents: Sequence[Content], kind: str, name: str, shown: Shown
) -> None:
    own = None if kind == "all" else cast("PinKind", kind)

    async def show(pin: Pin, *, asked: bool) -> None:
        fields = {"cid": str(pin.cid), "type": pin.kind, "name": pin.name, "expiry": pin.expiry}
        if pin.through is not None:
            fields["through"] = str(pin.through)
        await at.say(fields, shown.line(pin, asked=asked))

    async with Peer.open(at.repo, online=False) as peer:
        for content in contents:
            await show(await peer.pins.find(await find(peer, content), own), asked=True)
        if not contents:
            pins = peer.pins.ls(own, name)
            async with aclosing(pins):
                async for pin in pins:
                    await show(pin, asked=False)


async def update(at: At, start: Content, target: Content, fetch: FetchChoice, unpin: bool) -> None:
    async with fetching_peer(at, fetch, start, target) as peer:
        old, new = await find(peer, start), await find(peer, target)
        with Bar("pinning", str(new)) as bar:
            await peer.pins.update(old, new, unpin=unpin, progress=bar.update)
        pins = {"pins": [str(old), str(new)]}
        await at.say(pins, f"updated {old} to {new}", needed=False)


async def verify(at: At, verbose: bool, quiet: bool) -> None:
    broken = 0
    async with Peer.open(at.repo, online=False) as peer:
        results = peer.pins.verify()
        async with aclosing(results):
            async for pin, bad in results:
                broken += bool(bad)
                if not bad and not verbose:
                    continue
                nodes = [{"cid": str(cid), "error": error} for cid, error in bad]
                lines = [f"{pin.cid} {'broken' if bad else 'ok'}"]
                lines += [f"  {cid}: {error}" for cid, error in bad]
                if quiet:
                    lines = [str(pin.cid)]
                await at.say({"cid": str(pin.cid), "ok": not bad, "bad": nodes}, *lines)
    if broken:
        raise UnhealthyError(f"{broken} pins are not whole: `pin add` fetches what is missing")
