"""``name publish``, ``resolve`` and ``inspect``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any

from libp2p.datastore import SqliteDatastore
from libp2p.dns.resolver import Resolver as Dns
from libp2p.exceptions import InvalidIpnsRecord, InvalidPath, RoutingError
from libp2p.ipfs_lite.cli.company import is_anybody_known, open_asker
from libp2p.ipfs_lite.cli.inputs import read_small
from libp2p.ipfs_lite.cli.keys import id_of, open_keystore
from libp2p.ipfs_lite.cli.terminal import tell
from libp2p.ipfs_lite.naming import NameService
from libp2p.ipfs_lite.repo import DATASTORE_FILE
from libp2p.ipns.config import ResolverConfig
from libp2p.ipns.name import Name
from libp2p.ipns.path import ContentPath
from libp2p.records.ipns_record import MAX_RECORD_BYTES, decode_record
from libp2p.utils.printable import one_line

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice
    from libp2p.ipns.resolver import Resolution
    from libp2p.records.ipns_record import IpnsRecord


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What ``name publish`` was told."""

    path: str
    key_name: str
    lifetime: float | None
    ttl: float | None
    sequence: int | None
    v1compat: bool
    allow_offline: bool
    quieter: bool
    ipns_base: str


@dataclass(frozen=True, slots=True)
class ResolveRequest:
    """What ``name resolve`` was told."""

    name: str | None
    recursive: bool
    nocache: bool
    stream: bool
    dht_timeout: float | None


@asynccontextmanager
async def _open_names(
    at: At, network: NetworkChoice, config: ResolverConfig | None = None
) -> AsyncIterator[tuple[NameService, bool]]:
    """Open what a command needs; the second value tells whether there is anybody to ask."""
    keys = await open_keystore(at)
    async with AsyncExitStack() as stack:
        router = None
        if await is_anybody_known(at, network):
            router = (await stack.enter_async_context(open_asker(at, network))).routing
        datastore = await stack.enter_async_context(SqliteDatastore(at.repo / DATASTORE_FILE))
        dns = None if network.offline else Dns()
        service = NameService(router, datastore, keys, dns, resolving=config)
        yield service, router is not None


async def publish(at: At, network: NetworkChoice, request: PublishRequest) -> None:
    path = ContentPath.of(request.path)
    async with _open_names(at, network) as (names, is_online):
        key = await names.key(request.key_name)
        if not is_online and not request.allow_offline:
            raise RoutingError(
                "there is nobody to publish to: name a peer with --bootstrap or a router with "
                "--router; --allow-offline stores it here, for `serve` to publish"
            )
        try:
            published = await names.publisher.publish(
                key,
                path,
                lifetime=request.lifetime,
                ttl=request.ttl,
                sequence=request.sequence,
                with_v1=request.v1compat,
                announce=is_online,
            )
        except RoutingError as error:
            if not request.allow_offline:
                raise RoutingError(
                    f"{error}; the record is stored here, for `serve` to publish"
                ) from error
            tell(f"stored here only: {one_line(str(error))}")
            record = await names.publisher.published.get(Name.of(key))
        else:
            record = published.record
    written = id_of(Name.of(key), request.ipns_base)
    sequence = None if record is None else record.sequence
    await at.say(
        {"name": written, "value": str(path), "sequence": sequence},
        written if request.quieter else f"Published to {written}: {path}",
    )


async def resolve(at: At, network: NetworkChoice, request: ResolveRequest) -> None:
    config = None
    if request.dht_timeout is not None:
        config = ResolverConfig(timeout=request.dht_timeout)
    async with _open_names(at, network, config) as (names, _):
        path = _wanted(request.name, Name.of(await names.key("self")))
        if request.stream:
            found = names.resolver.resolve_iter(path, recursive=request.recursive)
            async with aclosing(found):
                async for step in found:
                    await _show_resolved(at, step)
            return
        resolution = await names.resolver.resolve(
            path, recursive=request.recursive, use_cache=not request.nocache
        )
    await _show_resolved(at, resolution)


def _wanted(text: str | None, own: Name) -> ContentPath:
    """Return the path of a name, which may be written without ``/ipns/`` in front."""
    if text is None:
        return ContentPath.of(own)
    if text.startswith("/") or "://" in text:
        return ContentPath.of(text)
    try:
        return ContentPath.of(f"/ipns/{text}")
    except InvalidPath as error:
        raise InvalidPath(f"{text[:80]!r} is no name of IPNS and no domain") from error


async def _show_resolved(at: At, resolution: Resolution) -> None:
    ttl = resolution.ttl if resolution.ttl < 1e12 else None
    await at.say({"path": str(resolution.path), "ttl": ttl}, str(resolution.path))


async def inspect(at: At, file: str, verify: str | None) -> None:
    name = None if verify is None else Name.of(verify)
    record = decode_record(await read_small(file, MAX_RECORD_BYTES, "record"))
    facts = _facts_of(record)
    reason = None
    if name is not None:
        reason = _fault_of(record, name)
        facts |= {"valid": reason is None, "reason": reason}
    known = {title: value for title, value in facts.items() if value is not None}
    lines = (f"{title.replace('_', ' ')}: {value}" for title, value in known.items())
    await at.say(facts, *lines)
    if reason is not None:
        raise InvalidIpnsRecord(reason)


def _facts_of(record: IpnsRecord) -> dict[str, Any]:
    return {
        "value": record.value.decode("utf-8", "backslashreplace"),
        "validity": record.expiry,
        "sequence": record.sequence,
        "ttl": record.ttl,
        "version_1": record.has_v1,
        "public_key": bool(record.public_key),
        "size": len(record.encoded),
    }


def _fault_of(record: IpnsRecord, name: Name) -> str | None:
    try:
        record.verify(name.peer_id, time())
    except InvalidIpnsRecord as error:
        return str(error)
    return None
