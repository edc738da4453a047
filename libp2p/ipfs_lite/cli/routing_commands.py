"""
The verbs that find and announce: ``routing``, ``provide``, ``dht`` and ``doctor``.

Names and flags are Kubo's where Kubo has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, networked, with_time_limit
from libp2p.ipfs_lite.cli.parameters import (
    ListenAddress,
    PeerIdArgument,
    RecordKey,
    VerbGroup,
    cids_argument,
)

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID


@click.group(cls=VerbGroup)
def routing() -> None:
    """Ask the DHT and other routers: who has a block, where a peer is, what a key says."""


@routing.command()
@cids_argument
@click.option(
    "-n",
    "--num-providers",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Providers to look for.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print addresses, and what each router said.")
@networked
@as_json_option
@with_time_limit()
def findprovs(
    at: At,
    cids: tuple[CID, ...],
    num_providers: int,
    verbose: bool,
    network: NetworkChoice,
) -> None:
    """Print the peers that have said that they have a block, as they are found."""
    from libp2p.ipfs_lite.cli import finding

    at.run(finding.find_providers, network, cids, num_providers, verbose)


@routing.command()
@click.argument("peer_id", type=PeerIdArgument(), metavar="PEER_ID")
@click.option("-v", "--verbose", is_flag=True, help="Print what each router said.")
@networked
@as_json_option
@with_time_limit()
def findpeer(at: At, peer_id: ID, verbose: bool, network: NetworkChoice) -> None:
    """Print the addresses of a peer."""
    from libp2p.ipfs_lite.cli import finding

    at.run(finding.find_peer, network, peer_id, verbose)


@routing.command("provide")
@cids_argument
@click.option("-r", "--recursive", is_flag=True, help="Announce the blocks below it as well.")
@click.option("-v", "--verbose", is_flag=True, help="Print what each router said.")
@networked
@as_json_option
@with_time_limit()
def routing_provide(
    at: At,
    cids: tuple[CID, ...],
    recursive: bool,
    verbose: bool,
    network: NetworkChoice,
) -> None:
    """Announce that this repo has blocks; they must be in it."""
    from libp2p.ipfs_lite.cli import announcing

    at.run(announcing.announce_blocks, network, cids, recursive, verbose)


@routing.command("get")
@click.argument("keys", nargs=-1, required=True, type=RecordKey(), metavar="KEY...")
@networked
@as_json_option
@with_time_limit()
def get_value(at: At, keys: tuple[bytes, ...], network: NetworkChoice) -> None:
    """Write the best record of a key, such as /ipns/NAME, as it is."""
    from libp2p.ipfs_lite.cli import finding

    at.run(finding.get_values, network, keys)


@routing.command("put")
@click.argument("key", type=RecordKey(), metavar="KEY")
@click.argument("value_file", metavar="FILE | -")
@networked
@as_json_option
@with_time_limit()
def put_value(at: At, key: bytes, value_file: str, network: NetworkChoice) -> None:
    """Store the record in FILE under a key; whoever keeps it checks that it is valid."""
    from libp2p.ipfs_lite.cli import finding

    at.run(finding.put_value, network, key, value_file)


@click.group(cls=VerbGroup)
def provide() -> None:
    """Announce what the repo has, so that others find it."""


@provide.command()
@cids_argument
@click.option("-r", "--recursive", is_flag=True, help="Announce the blocks below it as well.")
@networked
@as_json_option
@with_time_limit()
def once(at: At, cids: tuple[CID, ...], recursive: bool, network: NetworkChoice) -> None:
    """Announce blocks of the repo now; the records last for 48 hours."""
    from libp2p.ipfs_lite.cli import announcing

    at.run(announcing.announce_blocks, network, cids, recursive)


@provide.command("stat")
@as_json_option
@with_time_limit()
def provide_stat(at: At) -> None:
    """Print what `serve` has announced, what is left, and what has failed."""
    from libp2p.ipfs_lite.cli import announcing

    at.run(announcing.show_state)


@click.group(cls=VerbGroup)
def dht() -> None:
    """Look at the distributed hash table."""


@dht.command("stat")
@click.argument("tables", nargs=-1, type=click.Choice(["wan", "lan"]))
@networked
@as_json_option
@with_time_limit()
def dht_stat(at: At, tables: tuple[str, ...], network: NetworkChoice) -> None:
    """Meet the peers that are known, and print the routing tables that this gives."""
    from libp2p.ipfs_lite.cli import dht_state

    at.run(dht_state.show, network, tables)


@click.command()
@click.option(
    "--listen",
    multiple=True,
    type=ListenAddress(),
    metavar="MULTIADDR",
    help="Where `serve` is to listen; repeatable. By default what `init` was told.",
)
@networked
@as_json_option
@with_time_limit()
def doctor(at: At, listen: tuple[Multiaddr, ...], network: NetworkChoice) -> None:
    """
    Print what answers and what does not, each with what to do about it.

    The exit code is 1 if something needs attention.
    """
    from libp2p.ipfs_lite.cli import checking

    network.require_others()
    at.run(checking.check, listen, network)
