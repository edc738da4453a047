"""Keys and records of IPNS between Kubo and us: what one makes, the other takes."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import trio

from libp2p import new_host
from libp2p.datastore import MemoryDatastore
from libp2p.ipfs_lite.keystore import FORMATS, KEY_TYPES, decode_key, encode_key, generate_key
from libp2p.ipns.name import Name
from libp2p.ipns.publisher import Publisher
from libp2p.ipns.resolver import Resolver
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.records.ipns_record import decode_record, make_record
from tests.support.hosts import LOOPBACK

from .kubo import Kubo
from .lite import Lite
from .need import need
from .waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

FILE, OTHER = "/ipfs/bafkqaddimvwgy3zao5xxe3debi", "/ipfs/bafkqaaa"


@pytest.fixture(scope="module")
def kubo() -> Iterator[Kubo]:
    need("kubo")
    with Kubo(daemon=False) as repo:
        yield repo


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", KEY_TYPES)
def test_keys_that_kubo_exports(kubo: Kubo, tmp_path: Path, kind: str, form: str) -> None:
    name = f"theirs-{kind}-{form}"
    theirs = kubo.text("key", "gen", name, f"--type={kind}")
    kubo.run("key", "export", name, f"--format={form}", "-o", tmp_path / "key")
    key = decode_key((tmp_path / "key").read_bytes(), form)
    assert str(Name.of(key)) == theirs
    assert kubo.text("key", "list", "-l", "--ipns-base=b58mh").count(str(Name.of(key).peer_id)) == 1
    if form == FORMATS[0]:
        assert encode_key(key, form) == (tmp_path / "key").read_bytes()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", KEY_TYPES)
def test_keys_that_kubo_imports(kubo: Kubo, tmp_path: Path, kind: str, form: str) -> None:
    key = generate_key(kind)
    (tmp_path / "key").write_bytes(encode_key(key, form))
    name = f"ours-{kind}-{form}"
    assert kubo.text("key", "import", name, tmp_path / "key", f"--format={form}") == str(
        Name.of(key)
    )


@pytest.mark.parametrize("kind", KEY_TYPES)
@pytest.mark.parametrize("with_v1", [True, False])
def test_records_that_we_make(kubo: Kubo, kind: str, with_v1: bool) -> None:
    key = generate_key(kind)
    name = Name.of(key)
    expires = time.time() + 1234.5678
    record = make_record(
        key,
        FILE,
        sequence=2**40,
        expires=expires,
        ttl=90,
        with_v1=with_v1,
        extra={"note": "ours", "size": 7},
    )
    facts = inspected(kubo, record.encoded, name)
    assert facts["Validation"]["Valid"] is True, facts
    entry = facts["Entry"]
    assert (entry["Value"], entry["Sequence"]) == (FILE, 2**40)
    assert entry["TTL"] in (90 * 10**9, "1m30s")
    assert facts["SignatureType"] == ("V1+V2" if with_v1 else "V2")
    assert facts["PbSize"] == len(record.encoded)


def test_records_that_both_refuse(kubo: Kubo) -> None:
    key, other = generate_key(), generate_key()
    name = Name.of(key)
    good = make_record(key, FILE, sequence=1, expires=time.time() + 60)
    foreign = make_record(other, FILE, sequence=1, expires=time.time() + 60)
    expired = make_record(key, FILE, sequence=1, expires=time.time() - 60)
    changed = good.encoded.replace(FILE.encode(), OTHER.encode().ljust(len(FILE), b"x"), 1)
    for encoded in (foreign.encoded, expired.encoded, changed):
        assert inspected(kubo, encoded, name)["Validation"]["Valid"] is False
        with pytest.raises(Exception, match=r"signature|has expired|V1 value"):
            decode_record(encoded).verify(name.peer_id, time.time())
    assert inspected(kubo, good.encoded, name)["Validation"]["Valid"] is True


def inspected(kubo: Kubo, record: bytes, name: Name) -> dict[str, Any]:
    """What `ipfs name inspect` says of a record."""
    said: dict[str, Any] = json.loads(
        kubo.text("name", "inspect", f"--verify={name}", "--dump=false", "--enc=json", input=record)
    )
    return said


# -- through the DHT ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """Two Kubo daemons and a server of ours, all of which know one another."""

    one: Kubo
    two: Kubo
    dht: KadDHT


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    """Run them; loopback addresses belong into the DHT of the local network."""
    config = {"Routing.Type": "dhtserver", "Routing.LoopbackAddressesOnLanDHT": True}
    host = new_host()
    dht = KadDHT(host, DHTMode.SERVER, lan=True)
    with Kubo(config=config) as one, Kubo(config=config) as two:
        async with host.run(listen_addrs=[LOOPBACK]), dht.run():
            one.swarm_connect(two.addr)
            for kubo in (one, two):
                await host.connect(info_from_p2p_addr(kubo.addr))

            async def all_know_one_another() -> bool:
                return len(dht.table) == 2

            await until(all_know_one_another, "our server knows both Kubos")
            yield Network(one, two, dht)


async def test_names_through_the_dht() -> None:
    need("kubo")
    async with network() as net:
        for kind in KEY_TYPES:
            await kubo_publishes(net, kind)
            await we_publish(net, kind)


async def kubo_publishes(net: Network, kind: str) -> None:
    """Kubo publishes; what we resolve is that, and its records are as we make them."""
    key = f"publish-{kind}"
    name = Name.of(await kubo_says(net.one, "key", "gen", key, f"--type={kind}"))
    resolver = Resolver(net.dht)
    started = time.time()
    for path, flags, sequence, lifetime, ttl in (
        (FILE, [], 0, 48 * 3600, 300),
        (OTHER, ["--ttl=1m30s", "--lifetime=2h"], 1, 7200, 90),
        (FILE, ["--v1compat=false"], 2, 48 * 3600, 300),
        (OTHER, ["--sequence=77"], 77, 48 * 3600, 300),
    ):
        await kubo_says(net.one, "name", "publish", path, f"--key={key}", *flags)
        found = await resolver.resolve(name, use_cache=False)
        assert str(found.path) == path
        assert found.ttl == pytest.approx(ttl, abs=1)
        record = decode_record(await net.dht.get_value(name.routing_key) or b"")
        record.verify(name.peer_id, time.time())
        assert (record.sequence, record.ttl) == (sequence, ttl)
        assert record.expires == pytest.approx(started + lifetime, abs=60)
        assert record.has_v1 is ("--v1compat=false" not in flags)
        assert bool(record.public_key) is (kind == "rsa")


async def we_publish(net: Network, kind: str) -> None:
    """We publish; what Kubo resolves is that, byte for byte, and it takes our updates."""
    key = generate_key(kind)
    name = Name.of(key)
    publisher = Publisher(net.dht, MemoryDatastore())
    for path, sequence in ((FILE, 0), (OTHER, 1), (OTHER, 1)):
        published = await publisher.publish(key, path)
        assert published.record.sequence == sequence
        resolve = ("name", "resolve", "--nocache", str(name))
        assert await kubo_says(net.two, *resolve) == path
    got = await to_thread(lambda: net.two.run("name", "get", str(name)).stdout)
    assert got == published.record.encoded
    # Somebody with the same key and no memory asks first, and goes on from there.
    elsewhere = Publisher(net.dht, MemoryDatastore())
    assert (await elsewhere.publish(key, FILE)).record.sequence == 2


async def test_our_command_and_kubo(tmp_path: Path) -> None:
    need("kubo")
    async with network() as net:
        ours = Lite(tmp_path / "repo")
        peers = ["--bootstrap", net.two.addr, "--dht", "client"]
        site = await to_thread(lambda: ours.text("key", "gen", "site"))
        await to_thread(lambda: ours.text("name", "publish", FILE, "--key=site", *peers))
        assert await kubo_says(net.one, "name", "resolve", site) == FILE
        theirs = (await kubo_says(net.one, "key", "list", "-l")).split()[0]
        await kubo_says(net.one, "name", "publish", OTHER)
        assert await to_thread(lambda: ours.text("name", "resolve", theirs, *peers)) == OTHER


async def kubo_says(kubo: Kubo, *args: str) -> str:
    """What a command of Kubo's prints; our server works meanwhile."""
    return await to_thread(lambda: kubo.text(*args))


async def to_thread(call: Callable[[], T]) -> T:
    """Run a blocking call beside our server."""
    return await trio.to_thread.run_sync(call)
