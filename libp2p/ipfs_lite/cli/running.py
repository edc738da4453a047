"""What the verbs of ``swarm`` and ``bitswap`` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from libp2p.ipfs_lite.cli.repo_keeping import human_size
from libp2p.ipfs_lite.cli.terminal import say, say_json
from libp2p.ipfs_lite.control.channel import ask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from libp2p.ipfs_lite.cli.at import At


class Shown(NamedTuple):
    """What ``swarm peers`` prints beside addresses."""

    latency: bool
    direction: bool
    streams: bool


def _with_answer(
    at: At, call: str, words: Sequence[str], show: Callable[[Any], Awaitable[None]]
) -> None:
    async def work() -> None:
        await show(await ask(at.repo, call, words))

    at.run(work)


def peers(at: At, shown: Shown, as_json: bool) -> None:
    async def show(found: list[dict[str, Any]]) -> None:
        for one in sorted(found, key=lambda one: (one["address"], one["peer"])):
            if as_json:
                await say_json(one)
                continue
            line = f"{one['address'].removesuffix('/p2p/' + one['peer'])}/p2p/{one['peer']}"
            if shown.latency:
                line += f" {1000 * one['latency']:.3f}ms" if one["latency"] else " n/a"
            await say(f"{line} {one['direction']}" if shown.direction else line)
            for name in one["streams"] if shown.streams else ():
                await say(f"  {name}")

    _with_answer(at, "peers", (), show)


def each(at: At, call: str, line: str, words: Sequence[str], as_json: bool) -> None:
    """Do something with each peer; ``line`` tells of one."""

    async def work() -> None:
        for word in words:
            for peer in await ask(at.repo, call, [word]):
                if as_json:
                    await say_json({"peer": peer})
                else:
                    await say(line.format(peer))

    at.run(work)


def listed(at: At, call: str, words: Sequence[str], name: str, as_json: bool) -> None:
    async def show(found: list[str]) -> None:
        for one in found:
            if as_json:
                await say_json({name: one})
            else:
                await say(one)

    _with_answer(at, call, words, show)


def peers_with_addresses(at: At, call: str, as_json: bool, *, counted: bool) -> None:
    async def show(found: dict[str, list[str]]) -> None:
        for peer, addresses in sorted(found.items()):
            if as_json:
                await say_json({"peer": peer, "addresses": addresses})
                continue
            await say(f"{peer} ({len(addresses)})" if counted else peer)
            for address in addresses:
                await say("", address)

    _with_answer(at, call, (), show)


def resources(at: At, as_json: bool) -> None:
    async def show(found: list[dict[str, Any]]) -> None:
        for one in found:
            if as_json:
                await say_json(one)
            else:
                limit = "no limit" if one["limit"] is None else f"of {one['limit']}"
                await say(f"{one['scope']}: {one['held']} {limit}, most {one['peak']}")

    _with_answer(at, "resources", (), show)


def bitswap_stat(at: At, verbose: bool, human: bool, as_json: bool) -> None:
    def size(count: int) -> str:
        return human_size(count) if human else str(count)

    async def show(stat: dict[str, Any]) -> None:
        if as_json:
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

    _with_answer(at, "bitswap_stat", (), show)
