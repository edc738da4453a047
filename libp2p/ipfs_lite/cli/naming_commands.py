"""
The verbs of names: ``key`` and ``name``.

Names and flags are Kubo's where Kubo has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, networked, with_time_limit
from libp2p.ipfs_lite.cli.parameters import Duration, VerbGroup

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice

#: Kept here, because the keystore is loaded when a key is used only.
KEY_TYPES = ("ed25519", "rsa", "secp256k1")
KEY_FORMATS = ("libp2p-protobuf-cleartext", "pem-pkcs8-cleartext")
ID_BASES = ("b58mh", "base16", "base32", "base36", "base58btc", "base64url")

_ipns_base = click.option(
    "--ipns-base",
    type=click.Choice(ID_BASES),
    default="base36",
    show_default=True,
    help="How names are written; b58mh is a peer id in base58.",
)
_format = click.option("-f", "--format", "form", type=click.Choice(KEY_FORMATS))


@click.group(cls=VerbGroup)
def key() -> None:
    """Make and keep keys; each is a name of IPNS."""


@key.command()
@click.argument("name")
@click.option(
    "-t", "--type", "kind", type=click.Choice(KEY_TYPES), default="ed25519", show_default=True
)
@click.option("-s", "--size", type=int, metavar="BITS", help="Of an RSA key; by default 2048.")
@_ipns_base
@as_json_option
@with_time_limit()
def gen(at: At, name: str, kind: str, size: int | None, ipns_base: str) -> None:
    """Make a key, and print its name of IPNS."""
    from libp2p.ipfs_lite.cli import keys

    at.run(keys.generate, name, kind, size, ipns_base)


@key.command("list")
@click.option("-l", "with_ids", is_flag=True, help="Print the names of IPNS as well.")
@_ipns_base
@as_json_option
@with_time_limit()
def list_keys(at: At, with_ids: bool, ipns_base: str) -> None:
    """Print the names of all keys; `self` is the repo's identity."""
    from libp2p.ipfs_lite.cli import keys

    at.run(keys.show_all, with_ids, ipns_base)


@key.command()
@click.argument("name")
@click.option(
    "-o", "--output", metavar="FILE", help="By default NAME.key or NAME.pem; - is stdout."
)
@_format
@with_time_limit()
def export(at: At, name: str, output: str | None, form: str | None) -> None:
    """Write a key to a file that only you can read, without a password."""
    from libp2p.ipfs_lite.cli import keys

    at.run(keys.export, name, output, form or KEY_FORMATS[0])


@key.command("import")
@click.argument("name")
@click.argument("file", metavar="FILE | -")
@_format
@click.option("--allow-any-key-type", is_flag=True, help="Take ECDSA keys too.")
@_ipns_base
@as_json_option
@with_time_limit()
def import_key(
    at: At,
    name: str,
    file: str,
    form: str | None,
    allow_any_key_type: bool,
    ipns_base: str,
) -> None:
    """Store the key that a file has, of `key export`, Kubo or OpenSSL; print its name of IPNS."""
    from libp2p.ipfs_lite.cli import keys

    at.run(keys.import_from, name, file, form, any_type=allow_any_key_type, base=ipns_base)


@key.command()
@click.argument("name")
@click.argument("new_name")
@click.option("-f", "--force", is_flag=True, help="A key that is called so already is lost.")
@_ipns_base
@as_json_option
@with_time_limit()
def rename(at: At, name: str, new_name: str, force: bool, ipns_base: str) -> None:
    """Call a key by another name."""
    from libp2p.ipfs_lite.cli import keys

    at.run(keys.rename, name, new_name, force, ipns_base)


@key.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-l", "with_ids", is_flag=True, help="Print the names of IPNS as well.")
@_ipns_base
@as_json_option
@with_time_limit()
def remove(at: At, names: tuple[str, ...], with_ids: bool, ipns_base: str) -> None:
    """Remove keys; without a copy of a key, nobody can ever publish its name again."""
    from libp2p.ipfs_lite.cli import keys

    at.run(keys.remove, names, with_ids, ipns_base)


@click.group(cls=VerbGroup)
def name() -> None:
    """Publish and resolve names that stand for content, and change with it."""


@name.command()
@click.argument("path", metavar="PATH | CID")
@click.option(
    "-k", "--key", "key_name", default="self", show_default=True, help="The key of the name."
)
@click.option("-t", "--lifetime", type=Duration(), help="How long it is valid; by default 48h.")
@click.option("--ttl", type=Duration(), help="How long others may keep it; by default 5m.")
@click.option(
    "--sequence", type=click.IntRange(min=0), help="Of the record; must be above the one before."
)
@click.option("--v1compat", type=bool, default=True, metavar="[=false]", help="For old readers.")
@click.option("--allow-offline", is_flag=True, help="It is enough to store it here.")
@click.option("-Q", "--quieter", is_flag=True, help="Print the name alone.")
@_ipns_base
@networked
@as_json_option
@with_time_limit()
def publish(at: At, path: str, network: NetworkChoice, **options: object) -> None:
    """
    Say what the name of a key stands for.

    `serve` says it again at its start and every four hours; without that, others forget it after
    48 hours.
    """
    from libp2p.ipfs_lite.cli import naming

    at.run(naming.publish, network, naming.PublishRequest(path=path, **options))  # type: ignore[arg-type]


@name.command()
@click.argument("name", required=False)
@click.option(
    "--recursive",
    type=bool,
    default=True,
    metavar="[=false]",
    help="Go on until it is no name any more.",
)
@click.option("-r", "is_recursive", is_flag=True, hidden=True, help="Kubo's; it is the default.")
@click.option("-n", "--nocache", is_flag=True, help="Take nothing that was found earlier.")
@click.option("-s", "--stream", is_flag=True, help="Print what is found as it is found.")
@click.option("--dht-timeout", type=Duration(), help="Search no longer than this; by default 1m.")
@networked
@as_json_option
@with_time_limit()
def resolve(at: At, name: str | None, network: NetworkChoice, **options: object) -> None:
    """Print what a name or a domain stands for; by default that of the repo's identity."""
    from libp2p.ipfs_lite.cli import naming

    options.pop("is_recursive")
    at.run(naming.resolve, network, naming.ResolveRequest(name=name, **options))  # type: ignore[arg-type]


@name.command()
@click.argument("file", metavar="FILE | -")
@click.option("--verify", metavar="NAME", help="Check that this name's key has signed it.")
@as_json_option
@with_time_limit()
def inspect(at: At, file: str, verify: str | None) -> None:
    """Print what a record says, such as one of `routing get /ipns/NAME`."""
    from libp2p.ipfs_lite.cli import naming

    at.run(naming.inspect, file, verify)
