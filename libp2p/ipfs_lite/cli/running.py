"""What the verbs of ``swarm`` and ``bitswap`` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from libp2p.ipfs_lite.cli.repo_keeping import human_size
from libp2p.ipfs_lite.cli.terminal import say, say_json
from libp2p.ipfs_lite.control.channel import ask

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At


async def peers(at: At, *, latency: bool, direction: bool, streams: bool) -> None:
    """Print addresses, and what else is asked for."""
    found: list[dict[str, Any]] = await ask(at.repo, "peers", ())
    for one in sorted(found, key=lambda one: (one["address"], one["peer"])):
        line = f"{one['address'].removesuffix('/p2p/' + one['peer'])}/p2p/{one['peer']}"
        if latency:
            line += f" {1000 * one['latency']:.3f}ms" if one["latency"] else " n/a"
        if direction:
            line += f" {one['direction']}"
        names = one["streams"] if streams else ()
        await at.say(one, line, *(f"  {name}" for name in names))


async def each(at: At, call: str, line: str, words: Sequence[str]) -> None:
    """Do something with each peer; ``line`` tells of one."""
    for word in words:
        for peer in await ask(at.repo, call, [word]):
            await at.say({"peer": peer}, line.format(peer))


async def listed(at: At, call: str, words: Sequence[str], name: str) -> None:
    for one in await ask(at.repo, call, words):
        await at.say({name: one}, one)


async def peers_with_addresses(at: At, call: str, *, counted: bool) -> None:
    found: dict[str, list[str]] = await ask(at.repo, call, ())
    for peer, addresses in sorted(found.items()):
        if at.as_json:
            await say_json({"peer": peer, "addresses": addresses})
            continue
        await say(f"{peer} ({len(addresses)})" if counted else peer)
        for address in addresses:
            await say("", address)


async def resources(at: At) -> None:
    for one in await ask(at.repo, "resources", ()):
        limit = "no limit" if one["limit"] is None else f"of {one['limit']}"
        await at.say(one, f"{one['scope']}: {one['held']} {limit}, most {one['peak']}")


async def bitswap_stat(at: At, verbose: bool, human: bool) -> None:
    def size(count: int) -> str:
        return human_size(count) if human else str(count)

    stat: dict[str, Any] = await ask(at.repo, "bitswap_stat", ())
    if at.as_json:
        return await say_json(stat)
    await say("bitswap status")
    for line in (
        f"blocks received: {stat['blocks_received']}",
        f"blocks sent: {stat['blocks_sent']}",
        f"data received: {size(stat['data_received'])}",
        f"data sent: {size(stat['data_sent'])}",
        f"dup blocks received: {stat['dup_blks_received']}",
        f"dup data received: {size(stat['dup_data_received'])}",
        f"wantlist [{len(stat['wantlist'])} keys]",
    ):
        await say("", line)
    for cid in stat["wantlist"]:
        await say("", "", cid)
    await say("", f"partners [{len(stat['peers'])}]")
    for peer in stat["peers"] if verbose else ():
        await say("", "", peer)
