"""``pin add``, ``rm``, ``ls``, ``update`` and ``verify``."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, cast

from libp2p.ipfs_lite.cli.fetching import find, run_with_peer
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.cli.terminal import say, say_json
from libp2p.ipfs_lite.errors import UnhealthyError
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipfs_lite.pins import check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.fetching import Fetch
    from libp2p.ipfs_lite.cli.parameters import Content
    from libp2p.ipfs_lite.pin_table import Pin, PinKind
    from libp2p.ipld.cid import CID


@dataclass(frozen=True, slots=True)
class Choice:
    """How content is to be pinned."""

    recursive: bool
    name: str
    expire_in: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """What is printed of a pin."""

    quiet: bool
    names: bool
    as_json: bool

    async def show(self, pin: Pin, *, asked: bool) -> None:
        if self.as_json:
            fields = {"cid": str(pin.cid), "type": pin.kind, "name": pin.name, "expiry": pin.expiry}
            if pin.through is not None:
                fields["through"] = str(pin.through)
            await say_json(fields)
        elif self.quiet:
            await say(str(pin.cid))
        else:
            # Kubo says through what a block is pinned if it was asked for that block.
            name = f" {pin.name}" if self.names and pin.name else ""
            through = f" through {pin.through}" if asked and pin.through is not None else ""
            await say(f"{pin.cid} {pin.kind}{through}{name}")


def add(at: At, fetch: Fetch, contents: Sequence[Content], choice: Choice, as_json: bool) -> None:
    check_name(choice.name)

    async def work(peer: Peer) -> None:
        expiry = None if choice.expire_in is None else time() + choice.expire_in
        for content in contents:
            cid = await find(peer, content)
            with Bar("pinning", str(cid)) as bar:
                await peer.pins.add(
                    cid,
                    recursive=choice.recursive,
                    name=choice.name,
                    expiry=expiry,
                    progress=bar.update,
                )
            how = "recursively" if choice.recursive else "directly"
            await _say_of([cid], f"pinned {cid} {how}", as_json)

    run_with_peer(at, fetch, work)


def remove(at: At, contents: Sequence[Content], recursive: bool, as_json: bool) -> None:
    async def work() -> None:
        async with Peer.open(at.repo, online=False) as peer:
            for content in contents:
                cid = await find(peer, content)
                await peer.pins.rm(cid, recursive=recursive)
                await _say_of([cid], f"unpinned {cid}", as_json)

    at.run(work)


def list_pins(at: At, contents: Sequence[Content], kind: str, name: str, shown: Shown) -> None:
    own = None if kind == "all" else cast("PinKind", kind)

    async def work() -> None:
        async with Peer.open(at.repo, online=False) as peer:
            for content in contents:
                await shown.show(await peer.pins.find(await find(peer, content), own), asked=True)
            if not contents:
                pins = peer.pins.ls(own, name)
                async with aclosing(pins):
                    async for pin in pins:
                        await shown.show(pin, asked=False)

    at.run(work)


def update(at: At, fetch: Fetch, start: Content, unpin: bool, as_json: bool) -> None:
    async def work(peer: Peer) -> None:
        old, new = await find(peer, start), await find(peer, fetch.content)
        with Bar("pinning", str(new)) as bar:
            await peer.pins.update(old, new, unpin=unpin, progress=bar.update)
        await _say_of([old, new], f"updated {old} to {new}", as_json)

    run_with_peer(at, fetch, work)


def verify(at: At, verbose: bool, quiet: bool, as_json: bool) -> None:
    async def work() -> None:
        broken = 0
        async with Peer.open(at.repo, online=False) as peer:
            results = peer.pins.verify()
            async with aclosing(results):
                async for pin, bad in results:
                    broken += bool(bad)
                    if not bad and not verbose:
                        continue
                    if as_json:
                        nodes = [{"cid": str(cid), "error": error} for cid, error in bad]
                        await say_json({"cid": str(pin.cid), "ok": not bad, "bad": nodes})
                    elif quiet:
                        await say(str(pin.cid))
                    else:
                        await say(f"{pin.cid} {'broken' if bad else 'ok'}")
                        for cid, error in bad:
                            await say(f"  {cid}: {error}")
        if broken:
            raise UnhealthyError(f"{broken} pins are not whole: `pin add` fetches what is missing")

    at.run(work)


async def _say_of(cids: Sequence[CID], line: str, as_json: bool) -> None:
    if as_json:
        await say_json({"pins": [str(cid) for cid in cids]}, needed=False)
    else:
        await say(line, needed=False)
