"""
``dag put``, ``get``, ``resolve``, ``stat``, ``import`` and ``export`` beside Kubo's.

Random nodes have the same CIDs in all codecs, and read the same; paths lead to the same places.
"""

from __future__ import annotations

import os
import random
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import InvalidCbor, InvalidJson
from libp2p.ipfs_lite import Peer
from libp2p.ipld import dag_json
from libp2p.ipld.car.reader import CarReader
from libp2p.ipld.cid import CID
from libp2p.ipld.node import Node, decode

from .files import random_bytes
from .kubo import Kubo, KuboError
from .need import need
from .our_command import OurCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libp2p.ipld.dag_cbor import DagCborValue

NODES = 1000
"""Random nodes for each codec: one command puts them all."""
GET_NODES = 1000 if os.environ.get("NIGHTLY") else 60
"""Of these Kubo is asked for one after the other, by a command each."""
CODECS = ("dag-cbor", "dag-json", "cbor", "json")


@pytest.fixture(scope="module")
def kubo() -> Iterator[Kubo]:
    need("kubo")
    with Kubo(daemon=False) as kubo:
        yield kubo


@pytest.fixture(scope="module")
def both(kubo: Kubo, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kubo, OurCommand]:
    return kubo, OurCommand(tmp_path_factory.mktemp("ours") / "repo")


def random_float(source: random.Random) -> float:
    kind = source.randrange(4)
    if kind == 0:
        return float(source.randrange(-1000, 1000))
    if kind == 1:
        return source.choice([0.0, 1e15, 1e20, 1e21, -1e20, 1e-6, 1e-7, 2.0**53, 5e-324, 1.7e308])
    number = source.uniform(-1, 1) * 10.0 ** source.randrange(-300, 300)
    # Between these Kubo writes digits that are rounded, and reads another number; see below.
    return 1.5 if 2**53 < abs(number) < 2**64 else number


def random_value(source: random.Random, depth: int = 0) -> DagCborValue:
    kind = source.randrange(6 if depth == 4 else 9)
    if kind == 0:
        return source.choice([None, True, False])
    if kind == 1:
        return source.choice([0, 23, 24, 255, 256, -1, -25, 2**31, 2**53, 2**63 - 1, -(2**63)])
    if kind == 2:
        return random_float(source)
    if kind == 3:
        return "".join(source.choices('aß"\\/<&\n\t\x01\x7f\u2028€😀', k=source.randrange(6)))
    if kind == 4:
        return source.randbytes(source.randrange(40))
    if kind == 5:
        codec = source.choice(["raw", "dag-pb", "dag-cbor"])
        version = source.choice([0, 1]) if codec == "dag-pb" else 1
        return CID.for_block(source.randbytes(4), codec, version)
    size = source.randrange(5)
    if kind == 6:
        return [random_value(source, depth + 1) for _ in range(size)]
    keys = ["".join(source.choices("abÄ€z", k=source.randrange(4))) for _ in range(size)]
    return {key: random_value(source, depth + 1) for key in keys}


def without_links(value: Any, codec: str) -> Any:
    """Replace what cbor and json cannot say."""
    if isinstance(value, list):
        return [without_links(inner, codec) for inner in value]
    if isinstance(value, dict):
        return {key: without_links(inner, codec) for key, inner in value.items()}
    if isinstance(value, CID):
        return str(value)
    return value.hex() if isinstance(value, bytes) and codec == "json" else value


@pytest.mark.parametrize("codec", CODECS)
def test_nodes_are_written_and_read_as_kubo_does(kubo: Kubo, codec: str, tmp_path: Path) -> None:
    source = random.Random(codec)
    values = [random_value(source) for _ in range(NODES)]
    if codec in ("cbor", "json"):
        values = [without_links(value, codec) for value in values]
    files = [tmp_path / f"{number:04}" for number in range(NODES)]
    for file, value in zip(files, values, strict=True):
        file.write_bytes(_input(value))
    put = kubo.text("dag", "put", "--store-codec", codec, "--input-codec", "dag-json", *files)
    nodes = [Node.of(value, codec) for value in values]
    assert set(put.split()) == {str(node.cid) for node in nodes}  # their order is any
    for node in source.sample(nodes, GET_NODES):
        got = kubo.run("dag", "get", str(node.cid), check=False)
        if b"value out of range" in got.stderr:  # a whole float of its own that Kubo cannot read
            assert codec.endswith("json")
            continue
        assert got.stdout == dag_json.encode(node.model)


def _input(value: DagCborValue) -> bytes:
    """Write what Kubo reads as the same value: floats with an exponent, keys in their order."""
    if isinstance(value, float):
        return f"{value!r}{'' if 'e' in repr(value) else 'e0'}".encode()
    if isinstance(value, list):
        return b"[" + b",".join(map(_input, value)) + b"]"
    if isinstance(value, dict):
        pairs = (dag_json.encode(key) + b":" + _input(inner) for key, inner in value.items())
        return b"{" + b",".join(pairs) + b"}"
    return dag_json.encode(value)


def test_numbers_that_kubo_changes_are_written_in_another_way(kubo: Kubo) -> None:
    kubos = kubo.text("dag", "put", "--store-codec", "dag-json", input=b"1.152921504606847e18")
    data = kubo.run("block", "get", kubos).stdout
    assert data == b"1152921504606847000"
    assert dag_json.decode(data) != 2.0**60
    assert dag_json.encode(2.0**60) == b"1.152921504606847e+18"
    ours = kubo.text("dag", "put", input=dag_json.encode(2.0**60))  # it is stored as dag-cbor
    assert CID.of(ours) == Node.of(2.0**60).cid


def test_nodes_of_dag_pb(both: tuple[Kubo, OurCommand], tmp_path: Path) -> None:
    kubo, ours = both
    source = random.Random("dag-pb")
    link = CID.for_block(b"linked")
    files = []
    for number in range(40):
        links = []
        for _ in range(source.randrange(4)):
            fields: dict[str, DagCborValue] = {"Hash": link}
            if source.random() < 0.7:
                fields["Name"] = source.choice(["", "a", "b", "ü"])
            if source.random() < 0.7:
                fields["Tsize"] = source.choice([0, 5, 2**63 - 1])
            links.append(fields)
        node: dict[str, Any] = {"Links": links}
        if source.random() < 0.7:
            node["Data"] = source.randbytes(source.randrange(4))
        files.append(tmp_path / f"{number}")
        files[-1].write_bytes(dag_json.encode(node))
    put = ["dag", "put", "--store-codec", "dag-pb"]
    cids = set(kubo.text(*put, *files).split())
    assert set(ours.text(*put, *files).split()) == cids
    for cid in sorted(cids)[:8]:
        assert ours.run("dag", "get", cid) == kubo.run("dag", "get", cid).stdout
        flags = ["--output-codec", "dag-cbor"]
        assert ours.run("dag", "get", *flags, cid) == kubo.run("dag", "get", *flags, cid).stdout


@pytest.mark.parametrize(
    ("codec", "block"),
    [
        ("cbor", block)
        for block in (
            "1801", "9f01ff", "f97e00", "d82a4100", "a10102", "a2616101616102", "0101", "",
        )
    ]
    + [("json", block.hex()) for block in (b'{"a":1,"a":2}', b"[1e400]", b"1 2", b"NaN", b"")],
)  # fmt: skip
def test_the_same_blocks_are_refused(kubo: Kubo, codec: str, block: str) -> None:
    data = bytes.fromhex(block)
    with pytest.raises(KuboError):
        kubo.run("dag", "put", "--input-codec", codec, input=data)
    with pytest.raises((InvalidCbor, InvalidJson)):
        decode(data, codec)


@pytest.fixture(scope="module")
def nodes(both: tuple[Kubo, OurCommand]) -> dict[str, str]:
    """Nodes that link to each other, in both repos."""
    found: dict[str, str] = {}

    def put(name: str, text: str, *flags: str) -> None:
        for placed, cid in found.items():
            text = text.replace(f"<{placed}>", cid)
        said = {peer.text("dag", "put", *flags, input=text.encode()).strip() for peer in both}
        [found[name]] = said

    put("inner", '{"x":{"y":[1,{"z":5}],"f":1.0}}')
    put("json", '{"i":{"/":"<inner>"}}', "--store-codec=dag-json")
    put("outer", '{"l":{"/":"<json>"},"m":[{"/":"<inner>"}]}')
    [found["file"]] = {
        peer.text("add", "-Q", "--cid-version=1", "-", input=b"a file").strip() for peer in both
    }
    put("pb", '{"Links":[{"Hash":{"/":"<outer>"},"Name":"o"},{"Hash":{"/":"<file>"},"Name":"f"}]}',
        "--store-codec=dag-pb")  # fmt: skip
    put("top", '{"pb":{"/":"<pb>"},"file":{"/":"<file>"}}')
    return found


@pytest.mark.parametrize("verb", ["get", "resolve"])
@pytest.mark.parametrize(
    "path",
    ["outer", "outer/l", "outer/l/i", "outer/l/i/x", "outer/l/i/x/y/1", "outer/l/i/x/y/01/z",
     "outer/m/0/x/f", "json/i/x/y/0", "top", "top/file"],
)  # fmt: skip
def test_paths_lead_to_the_same_places(
    both: tuple[Kubo, OurCommand], nodes: dict[str, str], path: str, verb: str
) -> None:
    name, slash, rest = path.partition("/")
    theirs, ours = (peer.text("dag", verb, f"{nodes[name]}{slash}{rest}") for peer in both)
    assert ours == theirs


@pytest.mark.parametrize(
    "path", ["outer/q", "outer/l/i/x/y/9", "outer/l/i/x/y/a", "outer/m/0/x/f/g"]
)
def test_paths_that_lead_nowhere(
    both: tuple[Kubo, OurCommand], nodes: dict[str, str], path: str
) -> None:
    name, slash, rest = path.partition("/")
    for peer in both:
        with pytest.raises(KuboError):
            peer.text("dag", "get", f"{nodes[name]}{slash}{rest}")


def test_sizes(both: tuple[Kubo, OurCommand], nodes: dict[str, str]) -> None:
    for roots in (["top"], ["outer", "inner", "file"]):
        cids = [nodes[name] for name in roots]
        theirs, ours = (peer.text("dag", "stat", *cids) for peer in both)
        assert ours.split() == theirs.split()


def test_files_are_imported_with_the_same_lines(
    both: tuple[Kubo, OurCommand], nodes: dict[str, str], tmp_path: Path
) -> None:
    kubo, ours = both
    cars = []
    for name in ("top", "inner"):
        car = kubo.run("dag", "export", nodes[name]).stdout
        assert ours.run("dag", "export", nodes[name]) == car
        cars.append(tmp_path / f"{name}.car")
        cars[-1].write_bytes(car)
    for flags in (["--stats"], ["--pin-roots=false", "--stats"], ["--silent"], []):
        theirs, own = (
            sorted(peer.text("dag", "import", *flags, *cars).splitlines()) for peer in both
        )
        assert own == theirs
    ours.run("dag", "export", "--car-version=2", "-o", tmp_path / "two.car", nodes["top"])
    with Kubo(daemon=False) as other:
        said = other.text("dag", "import", "--stats", tmp_path / "two.car")
        assert said.splitlines()[0] == f"Pinned root\t{nodes['top']}\tsuccess"
        assert other.text("dag", "stat", nodes["top"]) == kubo.text("dag", "stat", nodes["top"])


# -- parts, beside Kubo's gateway -----------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway() -> Iterator[Kubo]:
    need("kubo")
    with Kubo(config={"Addresses.Gateway": "/ip4/127.0.0.1/tcp/0"}) as kubo:
        yield kubo


def fetch(gateway: Kubo, path: str, query: str) -> bytes:
    base = (gateway.repo / "gateway").read_text().strip()
    with urllib.request.urlopen(f"{base}/ipfs/{path}?format=car&{query}", timeout=60) as answer:
        data: bytes = answer.read()
        return data


@pytest.mark.parametrize("profile", ["unixfs-v0-2015", "unixfs-v1-2025"])
async def test_parts_are_those_of_a_gateway(gateway: Kubo, profile: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "many").mkdir(parents=True)
    for number in range(40):
        (folder / "many" / f"{number}").write_bytes(b"%d" % number)
    (folder / "large").write_bytes(random_bytes("part", 7_000_000))
    flags = ["--max-directory-links=10", "--max-hamt-fanout=8", "--max-file-links=3"]
    gateway.run("config", "profile", "apply", profile)
    root = CID.of(gateway.add(folder, *flags))
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        await peer.import_car(gateway.run("dag", "export", str(root)).stdout)
        for path, knobs in [
            ("", {"scope": "all"}),
            ("", {"scope": "entity"}),
            ("", {"scope": "block"}),
            ("many", {"scope": "entity"}),
            ("many/17", {"scope": "all"}),
            ("many", {"scope": "block"}),
            ("large", {"scope": "entity"}),
            *(("large", {"scope": "entity", "entity_bytes": text}) for text in RANGES),
        ]:  # fmt: skip
            query = f"dag-scope={knobs['scope']}"
            if "entity_bytes" in knobs:
                query += f"&entity-bytes={knobs['entity_bytes']}"
            theirs = fetch(gateway, f"{root}/{path}", query)
            car = peer.open_car(root, path=path, **knobs)  # type: ignore[arg-type]
            ours = b""
            while buffers := await car.receive():
                ours += b"".join(buffers)
            car.close()
            order = [[block.cid for block in CarReader().receive(one)] for one in (ours, theirs)]
            assert order[0] == order[1], (path, knobs)
            assert ours == theirs, (path, knobs)


RANGES = ("0:*", "0:0", "300000:2000000", "6999999:*", "-5:*", "-3000000:-2000000", "262143:262144")


async def test_nodes_go_through_a_repo_of_ours(tmp_path: Path) -> None:
    """A node that Kubo has put is read from its CAR file, whatever its codec."""
    need("kubo")
    with Kubo(daemon=False) as kubo:
        async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
            for codec in CODECS:
                value: dict[str, Any] = {"a": [1, 2.5, None, "text"]}
                text = dag_json.encode(value)
                put = await trio.to_thread.run_sync(
                    lambda codec=codec, text=text: kubo.text(  # type: ignore[misc]
                        "dag", "put", "--store-codec", codec, input=text
                    )
                )
                assert await peer.dag.put(value, codec) == CID.of(put)
                car = kubo.run("dag", "export", put).stdout
                assert (await peer.import_car(car)).roots == (CID.of(put),)
                assert (await peer.dag.get(put)).value == value
