"""``routing provide``, ``provide once`` and ``provide stat``: what others are told of the repo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import time
from typing import TYPE_CHECKING, Any

from libp2p.datastore import SqliteDatastore
from libp2p.ipfs_lite.announcements import stored_state
from libp2p.ipfs_lite.cli.company import announce, config_at, open_announcer
from libp2p.ipfs_lite.cli.terminal import tell
from libp2p.ipfs_lite.config import NO_STRATEGY
from libp2p.ipfs_lite.dag import blocks_below
from libp2p.ipfs_lite.errors import NotFoundError
from libp2p.ipfs_lite.repo import DATASTORE_FILE
from libp2p.utils.printable import one_line

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice
    from libp2p.ipld.cid import CID


async def announce_blocks(
    at: At, network: NetworkChoice, cids: Sequence[CID], recursive: bool, verbose: bool = False
) -> None:
    """Announce blocks of the repo, and on request those below them; print each that was named."""
    async with open_announcer(at, network) as peer:
        for cid in cids:
            if not await peer.has_block(cid):
                raise NotFoundError(f"{cid} is not in the repo: add or get it first")
        for cid in cids:
            blocks = [cid]
            if recursive:
                blocks = [block async for block in blocks_below(peer.store, cid)]
            await announce(peer, blocks)
            facts = {"cid": str(cid), "blocks": len(blocks)}
            await at.say(facts, f"announced {cid}", needed=False)
        if verbose:
            for report in peer.routing.reports():
                took = f"took {report.results} of {report.calls}"
                tell(f"{report.name}: {one_line(report.last_error) or took}")


async def show_state(at: At) -> None:
    """
    Print how the announcing of the repo goes, also while ``serve`` runs.

    :raises NotFoundError: if nothing was announced yet.
    """
    config = await config_at(at)
    state = None
    if (at.repo / DATASTORE_FILE).exists():
        async with SqliteDatastore(at.repo / DATASTORE_FILE) as datastore:
            state = await stored_state(datastore)
    if state is None:
        raise NotFoundError(
            "nothing was announced yet: `serve` announces what the repo has"
            if config.provide != NO_STRATEGY
            else "nothing is announced: config.json says so (provide)"
        )
    await at.say(state, *_described(state))


def _described(state: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines for people."""
    now = time()
    yield f"strategy: {state['strategy']}"
    yield f"as of: {_ago(state['written'], now)}"
    yield f"blocks: {state['keys']}, and {state['queued']} to be announced once"
    if state["keys_left_out"]:
        yield f"blocks beyond the limit, which are not announced: {state['keys_left_out']}"
    regions = f"{state['regions_left']} of {state['regions']} regions"
    yield f"left: {state['keys_left']} blocks in {regions}"
    if state["seconds_left"] is not None:
        yield f"done in: {state['seconds_left']:.0f} s"
    if state["next_due"] is not None:
        yield f"next due: in {max(state['next_due'] - now, 0):.0f} s"
    yield f"announced: {state['keys_announced']} blocks, {state['records_sent']} records"
    failures = f"{state['keys_missed']} blocks to be tried again, {state['keys_given_up']} given up"
    yield f"failures: {failures}, {state['sends_failed']} of {state['sends']} peers not told"
    if state["peers"] is not None:
        yield f"network: about {state['peers']} peers"
    if state["offline_since"] is not None:
        yield f"nobody can be asked: since {_ago(state['offline_since'], now)}; see `doctor`"


def _ago(when: float, now: float) -> str:
    return f"{max(now - when, 0):.0f} s ago"
