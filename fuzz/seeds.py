"""Writes the seeds of the corpus: a few well-formed inputs for each target."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from multiaddr import Multiaddr

from fuzz import certificates, inputs
from fuzz.certificates import IDENTITY
from fuzz.targets import ENDPOINT, NOW, PEER, PROTOCOLS, STATIC, TARGETS, THEIRS
from libp2p.bitswap.wire.message import Message
from libp2p.crypto import ecc, rsa, secp256k1
from libp2p.identity.identify.message import encode_identify
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.ipld import dag_cbor, dag_json, dag_pb, plain_cbor, plain_json, unixfs
from libp2p.ipld.car.header import V2_DATA_OFFSET, V2Header
from libp2p.ipld.car.header import encode_header as encode_car_header
from libp2p.ipld.car.index import IndexBuilder
from libp2p.ipld.car.writer import encode_block_start
from libp2p.ipld.cid import CID
from libp2p.kad_dht import messages as dht
from libp2p.peer.envelope import seal_record
from libp2p.peer.peer_record import PeerRecord
from libp2p.peer.persistent.codec import StoredAddress, StoredPeer, encode_peer
from libp2p.protocol_muxer.negotiation import HEADER, NOT_AVAILABLE, encode_message
from libp2p.records.ipns_record import make_record
from libp2p.routing.found import FoundPeer
from libp2p.routing.http_records import peer_to_json
from libp2p.security.insecure.exchange import PlaintextExchange
from libp2p.security.noise.cipher import NoiseCipher
from libp2p.security.noise.handshake import XXHandshake, frame
from libp2p.security.noise.payload import make_payload
from libp2p.security.tls.certificate import make_certificate
from libp2p.stream_muxer.yamux.frame import encode_header

DATA, UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
CHUNK: Final = b"some bytes of a file"
ADDRESS: Final = Multiaddr("/ip4/1.2.3.4/tcp/4001")


def yamux() -> list[bytes]:
    """Conversations of a peer that opens streams, and of one that was opened some to."""
    header = encode_header
    opening = (
        header(UPDATE, SYN, 1, 0) + header(DATA, 0, 1, 5) + b"hello" + header(UPDATE, FIN, 1, 0)
    )
    return [
        opening,
        header(DATA, SYN | FIN, 1, 3) + b"abc" + header(UPDATE, 0, 1, 1 << 20),
        header(PING, SYN, 0, 7) + header(PING, ACK, 0, 1) + header(GO_AWAY, 0, 0, 0),
        header(UPDATE, ACK, 1, 0) + header(DATA, 0, 1, 2) + b"ok" + header(UPDATE, RST, 1, 5),
        header(DATA, SYN, 3, 1 << 18) + bytes(600),
        opening + header(UPDATE, SYN, 5, 0) + header(DATA, RST, 5, 1) + b"x",
    ]


def messages() -> list[bytes]:
    """Bitswap messages in the dialects of the protocol."""
    block = CID.for_block(CHUNK)
    message = Message()
    message.add_block(block, CHUNK)
    wire = b"".join(bytes(piece) for piece in message.frames()[0])
    entry = b"\x0a" + bytes((len(block.buffer),)) + block.buffer + b"\x10\x01\x20\x01\x28\x01"
    wants = (
        b"\x0a" + bytes((len(entry) + 4,)) + b"\x0a" + bytes((len(entry),)) + entry + b"\x10\x01"
    )
    return [wire, bytes((len(wants),)) + wants, wire + bytes((len(wants),)) + wants, b"\x00"]


def nodes() -> list[bytes]:
    """dag-pb nodes: a leaf, a file of two chunks, a directory."""
    leaf = dag_pb.encode(data=unixfs.encode(_file_data()))
    link = dag_pb.PBLink(CID.for_block(CHUNK), "", len(CHUNK))
    named = dag_pb.PBLink(CID.for_block(CHUNK), "name", len(CHUNK))
    file = dag_pb.encode([link, link], unixfs.encode(_file_data(2)))
    return [leaf, file, dag_pb.encode([named], b"\x08\x01"), b""]


def _file_data(chunks: int = 0) -> unixfs.UnixFSData:
    if not chunks:
        return unixfs.UnixFSData(unixfs.DataType.FILE, data=CHUNK, filesize=len(CHUNK))
    return unixfs.UnixFSData(
        unixfs.DataType.FILE, filesize=chunks * len(CHUNK), blocksizes=(len(CHUNK),) * chunks
    )


def noise() -> dict[str, list[bytes]]:
    """What a peer sends in a handshake, and after it."""
    payload = make_payload(IDENTITY, STATIC, PROTOCOLS)
    first = XXHandshake(is_initiator=True, static=THEIRS, ephemeral=THEIRS).write(b"")
    sealed = NoiseCipher(bytes(32), bytes(32)).seal([b"hello", bytes(100)])
    return {
        "noise_handshake": [frame(first), frame(first) + frame(bytes(200))],
        "noise_message": [payload, b""],
        "noise_payload": [payload, payload[:40]],
        "noise_records": [b"".join(bytes(piece) for piece in sealed), b"\x00\x10" + bytes(16)],
    }


def keys() -> list[bytes]:
    """A public key of each kind."""
    pairs = (secp256k1.create_new_key_pair(), ecc.create_new_key_pair("P-256"))
    made = [pair.public_key.serialize() for pair in (*pairs, rsa.create_new_key_pair())]
    return [IDENTITY.get_public_key().serialize(), *made]


def identities() -> dict[str, list[bytes]]:
    """Identify messages, records and peer ids of one peer."""
    record = seal_record(PeerRecord(PEER, [ADDRESS], 1), IDENTITY).marshal_envelope()
    message = Identify(
        protocol_version="ipfs/0.1.0",
        agent_version="agent",
        public_key=IDENTITY.get_public_key().serialize(),
        listen_addrs=[ADDRESS.to_bytes()],
        observed_addr=ADDRESS.to_bytes(),
        protocols=["/ipfs/ping/1.0.0"],
    )
    signed = Identify(signedPeerRecord=record)
    return {
        "identify": [encode_identify(message), encode_identify(signed)],
        "signed_record": [record],
        "peer_id": [
            PEER.to_bytes(),
            str(PEER).encode(),
            b"QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        ],
    }


def certificate() -> bytes:
    """A certificate that is valid at `NOW`."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = make_certificate(IDENTITY, key, now=NOW, serial_number=1)
    return made.public_bytes(Encoding.DER)


def tls() -> dict[str, list[bytes]]:
    """What a peer sends in a handshake, and in the records after it."""
    client = ENDPOINT.handshake(is_initiator=True, now=NOW)
    server = ENDPOINT.handshake(is_initiator=False, now=NOW)
    hello = client.start()
    flight, _ = server.receive([hello])
    ticket = b"\x04\x00\x00\x0e" + bytes(10) + b"\x01t\x00\x00"
    contents = (b"data\x17", b"padded\x17\x00\x00", ticket + b"\x16", b"\x01\x00\x15")
    broken = (ticket[:6] + b"\x16", ticket[6:] + b"\x16", b"\x18\x00\x00\x01\x01\x16")
    return {
        "tls_handshake": [hello, flight, b"\x15\x03\x03\x00\x02\x02\x28"],
        "tls_records": [
            b"".join(bytes((len(content),)) + content for content in listed)
            for listed in (contents, broken, (*contents, b"\x17"))
        ],
    }


def addresses() -> list[bytes]:
    """Addresses of each kind that is read."""
    texts = (
        "/ip4/1.2.3.4/tcp/4001",
        "/ip6/fe80::1/tcp/1",
        "/ip6zone/eth0/ip6/fe80::1/udp/1/quic-v1",
        "/dns4/a.example/tcp/443/wss",
        "/dns/xn--bcher-kva.example/tcp/443/tls/sni/a.example/ws",
        f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}/p2p-circuit",
        "/unix/tmp%2Fsocket",
        f"/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/uEiB{'z' * 42}8",
        "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234",
        "/memory/1",
    )
    return [Multiaddr(text).to_bytes() for text in texts]


def dht_messages() -> list[bytes]:
    """A request and an answer of the DHT, a record, a provider."""
    peer = dht.PeerEntry(PEER, (ADDRESS.to_bytes(), ADDRESS.to_bytes()), dht.Connection.CONNECTED)
    record = dht.Record(b"/pk/key", CHUNK, "2026-11-29T00:00:00Z")
    kinds = dht.MessageType
    return [
        dht.encode(message)
        for message in (
            dht.Message(kinds.FIND_NODE, PEER.to_bytes()),
            dht.Message(kinds.GET_PROVIDERS, b"key", closer=(peer, peer), providers=(peer,)),
            dht.Message(kinds.PUT_VALUE, b"/pk/key", record),
            dht.Message(kinds.ADD_PROVIDER, b"key", providers=(peer,)),
        )
    ]


def names() -> dict[str, list[bytes]]:
    """Records of IPNS, what is signed in them, paths, and values in DAG-CBOR."""
    path = f"/ipfs/{CID.for_block(CHUNK)}"
    records = [
        make_record(IDENTITY, path, sequence=1, expires=NOW + 60, with_v1=with_v1, extra=extra)
        for with_v1, extra in ((True, {}), (False, {"a": [1, -1.5, None], "b": {"c": True}}))
    ]
    cbor: list[Any] = [1, "a", b"b", [None, False], {"link": CID.for_block(CHUNK), "n": -(2**40)}]
    return {
        "ipns_record": [record.encoded for record in records],
        "ipns_data": [record.data for record in records],
        "content_path": [
            f"{path}/a/b".encode(),
            f"ipns://{PEER}/".encode(),
            b"/ipns/example.com/a",
            f"/ipns/{PEER.to_multibase()}".encode(),
        ],
        "dag_cbor_block": [dag_cbor.encode(value) for value in (*cbor, cbor)],
    }


def codecs() -> dict[str, list[bytes]]:
    """Values in the codecs that are no DAG-CBOR, and CAR files of them."""
    plain: list[Any] = [1, -0.0, "a\u2028\U0001f600", [None, 1e20, 2.0**60], {"b": 1.5, "a": [{}]}]
    values: list[Any] = [*plain, b"bytes", {"link": CID.for_block(CHUNK)}]
    index = IndexBuilder()
    file = encode_car_header([CID.for_block(CHUNK)])
    for hash_name in ("sha2-256", "sha2-512"):
        name = CID.for_block(CHUNK, hash=hash_name)
        index.add(name.multihash, len(file))
        file += encode_block_start(name, len(CHUNK)) + CHUNK
    end = V2_DATA_OFFSET + len(file)
    with_index = V2Header(V2_DATA_OFFSET, len(file), end).encode() + file + index.encode()
    return {
        "dag_json_block": [
            *(dag_json.encode(value) for value in (*values, values)),
            b' { "b" : 1e2,\n "a" : {"/": {"bytes": "AA=="}} } ',
        ],
        "cbor_block": [
            *(plain_cbor.encode(value) for value in (*plain, b"bytes", plain)),
            bytes.fromhex("82f93c00fa40200000"),
        ],
        "json_block": [plain_json.encode(value) for value in (*plain, plain)],
        "car_file": [file, with_index, file + bytes(9)],
        "car_index": [index.encode()],
    }


def routing() -> dict[str, list[bytes]]:
    """Answers and requests of delegated routing."""
    line = peer_to_json(FoundPeer(PEER, [ADDRESS], ["transport-bitswap"], ["https://a.example"]))
    old = b'{"Schema":"bitswap","Protocol":"transport-bitswap","ID":"%s"}' % str(PEER).encode()
    other = b'{"Schema":"generic","ID":"x","Addrs":["https://a.example"]}'
    name = CID.for_block(b"x")
    return {
        "routing_stream": [b"\n".join([line, other, old, line]), b"\n\n" + line],
        "routing_answer": [
            b'{"Providers":[%s]}' % b",".join([line, other, old]),
            b'{"Providers":null}',
        ],
        "routing_request": [
            f"providers/{name}\nfilter-addrs=tcp,!ip6&filter-protocols=unknown\n*/*;q=0.5".encode(),
            f"ipns/{PEER.to_multibase()}\n\n\napplication/vnd.ipfs.ipns-record".encode(),
            f"peers/{PEER}\n\napplication/x-ndjson, application/json".encode(),
            f"dht/closest/peers/{name}".encode(),
        ],
    }


def first_peers() -> dict[str, list[bytes]]:
    """TXT records of names, a list of bootstrap peers, and what is stored of a peer."""
    peer = StoredPeer(
        [StoredAddress(ADDRESS, 1e9, True)], ["/a"], b"\x08\x01", {"n": 1.5, "t": None}, b"record"
    )
    lines = (f"dnsaddr={ADDRESS}/p2p/{PEER}", f"dnsaddr=/dnsaddr/b.example/p2p/{PEER}", "x")
    registry = {"AminoDHT": {"NativeConfig": {"Bootstrap": [f"{ADDRESS}/p2p/{PEER}"]}}}
    document = {"AutoConfSchema": 1, "AutoConfTTL": 3600, "SystemRegistry": registry}
    return {
        "dnsaddr_records": ["\n".join(lines).encode(), "\n".join(lines * 5).encode()],
        "bootstrap_document": [json.dumps(document).encode()],
        "stored_peer": [encode_peer(peer), encode_peer(StoredPeer())],
    }


def seeds() -> dict[str, Iterable[bytes]]:
    """The seeds of every target."""
    header, cids = encode_message(HEADER), [CID.for_block(CHUNK), CID.for_block(b"", "dag-pb", 0)]
    texts = [str(cids[0]).encode(), str(cids[1]).encode(), cids[0].encode("base36").encode()]
    proposals = [header + encode_message(PROTOCOLS[0]), header + encode_message("/no") * 2]
    return {
        "yamux_frames": yamux(),
        "yamux_session": [
            bytes((how, 20)) + wire
            for how, wire in zip((4, 12, 21, 15, 4, 28), yamux(), strict=True)
        ],
        "tls_certificate": [certificate(), certificates.build(b"")],
        "tls_extensions": certificates.seeds(),
        "plaintext_exchange": [
            PlaintextExchange(IDENTITY.get_public_key()).start(),
            b"\x02\x0a\x00",
        ],
        "address": addresses(),
        "public_key": keys(),
        "multistream_initiator": [
            header + encode_message(PROTOCOLS[0]),
            header + encode_message(NOT_AVAILABLE) * 2,
        ],
        "multistream_responder": proposals,
        "bitswap_messages": messages(),
        "dht_message": dht_messages(),
        **routing(),
        **first_peers(),
        "cid": [found.buffer for found in cids],
        "cid_text": texts,
        "multibase_text": [*texts, b"f00ff", b"uAAE", b"B" + b"A" * 8],
        "dag_pb_node": nodes(),
        "unixfs_data": [unixfs.encode(_file_data()), unixfs.encode(_file_data(2)), b"\x08\x01"],
        "file_root": nodes(),
        **names(),
        **codecs(),
        **noise(),
        **tls(),
        **identities(),
    }


def main() -> None:
    """Replace the seeds in the corpus; what once failed stays."""
    for name, made in seeds().items():
        for old in (inputs.FOLDER / name).glob("seed-*"):
            old.unlink()
        for data in made:
            TARGETS[name].try_on(data)
            inputs.keep(name, data, "seed")


if __name__ == "__main__":
    main()
