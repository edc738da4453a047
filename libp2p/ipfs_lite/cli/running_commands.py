"""``swarm`` and ``bitswap``: ask the peer that runs on the repo. Names and lines are Kubo's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, with_time_limit
from libp2p.ipfs_lite.cli.parameters import PeerIdArgument, VerbGroup

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.peer.id import ID

_addresses = click.argument("addresses", nargs=-1, required=True, metavar="MULTIADDR...")


@click.group(cls=VerbGroup)
def swarm() -> None:
    """Look at the connections of a running `serve`, and change them."""


@swarm.command("peers")
@click.option("-v", "--verbose", is_flag=True, help="All of the following.")
@click.option("--latency", is_flag=True, help="The time of a round trip.")
@click.option("--direction", is_flag=True, help="Who has dialled.")
@click.option("--streams", is_flag=True, help="The protocols of streams.")
@as_json_option
@with_time_limit()
def list_peers(at: At, verbose: bool, latency: bool, direction: bool, streams: bool) -> None:
    """List connections."""
    from libp2p.ipfs_lite.cli import running

    at.run(
        running.peers,
        latency=verbose or latency,
        direction=verbose or direction,
        streams=verbose or streams,
    )


@swarm.command()
@_addresses
@as_json_option
@with_time_limit()
def connect(at: At, addresses: tuple[str, ...]) -> None:
    """Connect to peers."""
    from libp2p.ipfs_lite.cli import running

    at.run(running.each, "connect", "connect {} success", addresses)


@swarm.command()
@_addresses
@as_json_option
@with_time_limit()
def disconnect(at: At, addresses: tuple[str, ...]) -> None:
    """Close the connections to peers."""
    from libp2p.ipfs_lite.cli import running

    at.run(running.each, "disconnect", "disconnect {} success", addresses)


@swarm.group(invoke_without_command=True)
@as_json_option
@with_time_limit()
@click.pass_context
def addrs(ctx: click.Context, at: At) -> None:
    """List the addresses that are known of each peer."""
    if ctx.invoked_subcommand is None:
        from libp2p.ipfs_lite.cli import running

        at.run(running.peers_with_addresses, "addresses", counted=True)


@addrs.command()
@as_json_option
@with_time_limit()
def listen(at: At) -> None:
    """List the addresses to give to others."""
    from libp2p.ipfs_lite.cli import running

    at.run(running.listed, "own_addresses", (), "address")


@swarm.group()
def peering() -> None:
    """Stay connected to peers, for as long as `serve` runs; `config peering` is for always."""


@peering.command()
@_addresses
@as_json_option
@with_time_limit()
def add(at: At, addresses: tuple[str, ...]) -> None:
    """Stay connected to peers."""
    from libp2p.ipfs_lite.cli import running

    at.run(running.each, "peering_add", "add {} success", addresses)


@peering.command()
@click.argument("peers", nargs=-1, required=True, type=PeerIdArgument(), metavar="PEER_ID...")
@as_json_option
@with_time_limit()
def rm(at: At, peers: tuple[ID, ...]) -> None:
    """Stay connected to peers no longer."""
    from libp2p.ipfs_lite.cli import running

    at.run(running.each, "peering_remove", "remove {} success", tuple(map(str, peers)))


@peering.command("ls")
@as_json_option
@with_time_limit()
def list_peering(at: At) -> None:
    """List the peers to stay connected to."""
    from libp2p.ipfs_lite.cli import running

    at.run(running.peers_with_addresses, "peering", counted=False)


@swarm.command()
@as_json_option
@with_time_limit()
def resources(at: At) -> None:
    """Print what is held, the most that was, and the limits."""
    from libp2p.ipfs_lite.cli import running

    at.run(running.resources)


@click.group(cls=VerbGroup)
def bitswap() -> None:
    """Look at the exchange of blocks of a running `serve`."""


@bitswap.command()
@click.option("-v", "--verbose", is_flag=True, help="Name the partners.")
@click.option("--human", is_flag=True, help="Sizes such as 10 GB.")
@as_json_option
@with_time_limit()
def stat(at: At, verbose: bool, human: bool) -> None:
    """Count blocks, bytes and partners."""
    from libp2p.ipfs_lite.cli import running

    at.run(running.bitswap_stat, verbose, human)


@bitswap.command()
@click.option("-p", "--peer", type=PeerIdArgument(), help="What this peer wants of us.")
@as_json_option
@with_time_limit()
def wantlist(at: At, peer: ID | None) -> None:
    """List the blocks that are wanted now."""
    from libp2p.ipfs_lite.cli import running

    at.run(running.listed, "wantlist", () if peer is None else (str(peer),), "cid")
