"""
What is fuzzed: each target takes bytes that a peer could have sent.

A target may only fail with the errors that it lists, the ones its callers are told of. It fails by
an assertion if what it checks besides does not hold: that any split of the bytes gives the same,
that what was read can be written and read again, that memory stays within its bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from multiaddr import Multiaddr

from fuzz.certificates import IDENTITY, build
from libp2p.base_types import Buffer, TProtocol
from libp2p.bitswap.errors import MessageTooLargeError
from libp2p.bitswap.wire.decode import MessageReader
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.discovery.bootstrap.autoconf import read_autoconf
from libp2p.discovery.bootstrap.config import MAX_PEERS as MAX_BOOTSTRAP_PEERS
from libp2p.dns.config import DnsConfig
from libp2p.dns.dnsaddr import Expansion
from libp2p.exceptions import (
    BadRouterAnswer,
    BootstrapError,
    ConnectionClosedError,
    CryptographyError,
    DecryptionFailedException,
    HandshakeFailure,
    IdentifyError,
    InvalidAddrError,
    InvalidCar,
    InvalidCbor,
    InvalidCID,
    InvalidDagCbor,
    InvalidDagJson,
    InvalidDagPb,
    InvalidIpnsRecord,
    InvalidJson,
    InvalidMultibase,
    InvalidPath,
    InvalidPeerID,
    InvalidRecord,
    InvalidUnixFS,
    MuxedStreamError,
    NegotiationError,
    NotAFile,
    ParseError,
    ProtocolNotSupportedError,
    RemoteProtocolError,
)
from libp2p.identity.identify.message import IdentifyReader, read_identity
from libp2p.ipld import dag_cbor, dag_json, dag_pb, multibase, plain_cbor, plain_json, unixfs
from libp2p.ipld.car.index import CarIndex
from libp2p.ipld.car.reader import CarReader
from libp2p.ipld.cid import CID
from libp2p.ipld.file_walk import FileWalk
from libp2p.ipld.protowire import bytes_field
from libp2p.ipns.path import ContentPath
from libp2p.kad_dht import messages as dht
from libp2p.kad_dht.errors import InvalidMessageError
from libp2p.peer.addresses import (
    AddressScope,
    address_from_wire,
    scope_of,
    split_peer_id,
    with_peer_id,
)
from libp2p.peer.envelope import unmarshal_envelope
from libp2p.peer.id import ID
from libp2p.peer.persistent.codec import decode_peer, encode_peer
from libp2p.protocol_muxer.negotiation import Initiator, Responder
from libp2p.records.ipns_record import SIGNATURE_PREFIX, decode_record
from libp2p.routing.http_records import JsonPeers, NdjsonPeers, peer_to_json
from libp2p.routing.http_request import Reply, read_request
from libp2p.security.insecure.exchange import PlaintextExchange
from libp2p.security.noise.cipher import NoiseCipher
from libp2p.security.noise.handshake import XXHandshake
from libp2p.security.noise.handshake import frame as noise_frame
from libp2p.security.noise.identity_exchange import IdentityExchange
from libp2p.security.noise.payload import make_payload, open_payload
from libp2p.security.tls.certificate import make_certificate, verify_certificate
from libp2p.security.tls.channel import CIPHER_SUITES, MAX_PLAINTEXT_BYTES, TlsChannel, _Keys
from libp2p.security.tls.handshake import TlsEndpoint
from libp2p.stream_muxer.yamux.config import MAX_PENDING_PONGS, YamuxConfig
from libp2p.stream_muxer.yamux.events import StreamOpened, StreamReadable
from libp2p.stream_muxer.yamux.frame import CONTINUATION, Frame, FrameParser
from libp2p.stream_muxer.yamux.session import YamuxSession
from libp2p.utils.rfc3339 import from_nanoseconds

if TYPE_CHECKING:
    from types import ModuleType

    from libp2p.peer.peerinfo import PeerInfo
    from libp2p.stream_muxer.yamux.stream_state import StreamState

T = TypeVar("T")

PEER: Final = ID.from_pubkey(IDENTITY.get_public_key())
OURS, THEIRS, EPHEMERAL = (
    X25519PrivateKey.from_private_bytes(sha256(name).digest())
    for name in (b"ours", b"theirs", b"ephemeral")
)
STATIC: Final = THEIRS.public_key().public_bytes_raw()
TLS_SUITE: Final = CIPHER_SUITES["TLS_AES_128_GCM_SHA256"]
PROTOCOLS: Final = (TProtocol("/yamux/1.0.0"), TProtocol("/mplex/6.7.0"))
DNS: Final = DnsConfig()
NOW: Final = 1_750_000_000.0
"""When certificates are looked at; those of the corpus are valid then."""
_TLS_KEY: Final = ec.derive_private_key(1, ec.SECP256R1())
ENDPOINT: Final = TlsEndpoint(
    make_certificate(IDENTITY, _TLS_KEY, now=NOW, serial_number=1), _TLS_KEY, PROTOCOLS
)


@dataclass(frozen=True)
class Target:
    """Something that reads bytes, and how it may fail."""

    read: Callable[[bytes], None]
    errors: tuple[type[Exception], ...]

    @property
    def name(self) -> str:
        """The name of its folder in the corpus."""
        return self.read.__name__

    def try_on(self, data: bytes) -> None:
        """Read ``data``; raises if that brings an error that it must not."""
        try:
            self.read(data)
        except self.errors:
            return


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """``data`` in pieces of ``size`` bytes."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def some_size(data: bytes) -> int:
    """A size of pieces that depends on the data."""
    return 1 + (data[-1] if data else 0) % 19


def outcome(read: Callable[[], T], errors: tuple[type[Exception], ...]) -> T | Literal["refused"]:
    """What reading gives; which of the errors comes first may depend on the split."""
    try:
        return read()
    except errors:
        return "refused"


# -- yamux ------------------------------------------------------------------------------------


def _joined(frames: list[Frame]) -> list[tuple[int, int, int, int, bytes]]:
    """Frames with the pieces of their bodies put together, as far as they have come."""
    whole: list[tuple[int, int, int, int, bytes]] = []
    for kind, flags, stream_id, length, body in frames:
        if kind == CONTINUATION:
            kind, before, stream_id, length, start = whole.pop()
            flags, body = before | flags, start + bytes(body)
        whole.append((kind, flags, stream_id, length, bytes(body)))
    return whole


def yamux_frames(data: bytes) -> None:
    def parse(size: int) -> list[tuple[int, int, int, int, bytes]]:
        parser = FrameParser()
        return _joined([frame for piece in pieces(data, size) for frame in parser.receive([piece])])

    errors = (RemoteProtocolError,)
    at_once = outcome(lambda: parse(len(data) + 1), errors)
    assert outcome(lambda: parse(some_size(data)), errors) == at_once


def _use(session: YamuxSession, stream: StreamState, how: int, now: float) -> None:
    """Do something with a stream that an application might do."""
    try:
        match how % 7:
            case 0:
                session.reset(stream, how)
            case 1:
                session.close_write(stream)
            case 2:
                session.close_read(stream)
            case 3:
                if size := min(session.sendable(stream), how):
                    session.send(stream, [bytes(size)], size)
            case _:
                session.read(stream, how, now)
    except MuxedStreamError:
        return


def yamux_session(data: bytes) -> None:
    """The first byte chooses the side, the second one the size of the pieces."""
    if len(data) < 2:
        return
    session = YamuxSession(
        is_initiator=bool(data[0] & 1), config=YamuxConfig(max_inbound_streams=8)
    )
    known = [session.open_stream(0.0)] if data[0] & 2 else []
    for number, piece in enumerate(pieces(data[2:], 1 + data[1])):
        now = number / 100
        for event in chain.from_iterable(session.receive([piece], now)):
            if isinstance(event, StreamOpened):
                session.accept(event.stream)
                known.append(event.stream)
            elif isinstance(event, StreamReadable) and data[0] & 4:
                _use(session, event.stream, 6, now)
        if known and data[0] & 8:
            _use(session, known[piece[0] % len(known)], piece[-1], now)
        if data[0] & 16:
            session.ping(now)
        assert len(session.streams) <= 9
        for stream in session.streams.values():
            window = stream.receive_window
            assert 0 <= window.credit <= window.credit + len(stream.inbox) <= window.size
        batch = session.take_outgoing()
        assert len(batch) <= MAX_PENDING_PONGS + 4 * len(piece) + 16
        assert not session.has_outgoing
    for stream in session.close(RemoteProtocolError("over")):
        assert stream.lost_to is not None


# -- security ---------------------------------------------------------------------------------


def _noise_exchange(is_initiator: bool) -> IdentityExchange:
    handshake = XXHandshake(is_initiator=is_initiator, static=OURS, ephemeral=EPHEMERAL)
    payload = make_payload(IDENTITY, OURS.public_key().public_bytes_raw(), PROTOCOLS)
    return IdentityExchange(handshake, payload, early_muxers=PROTOCOLS)


def noise_handshake(data: bytes) -> None:
    """What a peer sends instead of handshake messages."""
    for is_initiator in (True, False):
        exchange = _noise_exchange(is_initiator)
        exchange.start()
        outcome(
            lambda exchange=exchange: [  # type: ignore[misc]
                exchange.receive([piece]) for piece in pieces(data, some_size(data))
            ],
            (HandshakeFailure,),
        )


def noise_message(data: bytes) -> None:
    """What a peer says within a handshake that is otherwise in order."""
    exchange = _noise_exchange(is_initiator=False)
    peer = XXHandshake(is_initiator=True, static=THEIRS, ephemeral=EPHEMERAL)
    answer, _ = exchange.receive([noise_frame(peer.write(data[:64]))])
    peer.read(answer[2:])
    exchange.receive([noise_frame(peer.write(data[: 8 * 1024]))])


def noise_payload(data: bytes) -> None:
    open_payload(data, STATIC, PEER)


def noise_records(data: bytes) -> None:
    plaintexts, used = NoiseCipher(bytes(32), bytes(32)).open(memoryview(data))
    assert sum(map(len, plaintexts)) <= used <= len(data)


def tls_certificate(data: bytes) -> None:
    verify_certificate(data, now=NOW)


def tls_extensions(data: bytes) -> None:
    """What the bytes say of a certificate that is otherwise in order, see `build`."""
    verify_certificate(build(data), now=NOW)


def tls_handshake(data: bytes) -> None:
    """What a peer sends instead of TLS's handshake."""
    for is_initiator in (True, False):
        handshake = ENDPOINT.handshake(is_initiator=is_initiator, now=NOW)
        handshake.start()
        outcome(
            lambda handshake=handshake: [  # type: ignore[misc]
                handshake.receive([piece]) for piece in pieces(data, 1 + len(data) // 2)
            ],
            (HandshakeFailure,),
        )


def tls_records(data: bytes) -> None:
    """What comes in records that authenticate: content and kind of each, behind its length."""
    contents, rest = [], data
    while rest:
        contents.append(rest[1 : 1 + rest[0]])
        rest = rest[1 + rest[0] :]

    def read(at_once: bool) -> tuple[bytes, bool]:
        # Keys that a record changes make the records behind it forged, whatever the split.
        keys = _Keys(bytes(32), TLS_SUITE)
        channel = TlsChannel(TLS_SUITE, bytes(32), bytes(32), is_initiator=bool(len(data) & 1))
        wire = [b"".join(keys.seal((content,))) for content in contents if content]
        plaintext = b""
        for piece in [b"".join(wire)] if at_once else wire:
            held = memoryview(piece)
            while True:
                found, used = channel.open(held)
                plaintext += b"".join(found)
                held = held[used:]
                if not channel.has_more:
                    break
        assert len(channel._message) <= MAX_PLAINTEXT_BYTES
        return plaintext, channel.ended

    errors = (DecryptionFailedException, ConnectionClosedError)
    assert outcome(lambda: read(True), errors) == outcome(lambda: read(False), errors)


def plaintext_exchange(data: bytes) -> None:
    exchange = PlaintextExchange(IDENTITY.get_public_key())
    exchange.start()
    for piece in pieces(data, some_size(data)):
        if exchange.receive([piece])[1] is not None:
            return


def public_key(data: bytes) -> None:
    key = deserialize_public_key(data)
    key.verify(b"message", data[:64])
    assert deserialize_public_key(key.serialize()) == key


# -- negotiation and identify -------------------------------------------------------------------


def multistream_initiator(data: bytes) -> None:
    errors = (NegotiationError, ProtocolNotSupportedError)

    def negotiate(size: int) -> TProtocol | None:
        initiator = Initiator(PROTOCOLS)
        initiator.start()
        for piece in pieces(data, size):
            if agreed := initiator.receive([piece]).protocol:
                return agreed
        return None

    assert outcome(lambda: negotiate(some_size(data)), errors) == outcome(
        lambda: negotiate(len(data) + 1), errors
    )


def multistream_responder(data: bytes) -> None:
    def negotiate(size: int) -> tuple[TProtocol | None, int]:
        responder, answered = Responder(PROTOCOLS), 0
        for piece in pieces(data, size):
            step = responder.receive([piece])
            answered += len(step.to_send)
            if step.protocol:
                return step.protocol, answered
        return None, answered

    errors = (NegotiationError,)
    assert outcome(lambda: negotiate(some_size(data)), errors) == outcome(
        lambda: negotiate(len(data) + 1), errors
    )


def identify(data: bytes) -> None:
    reader = IdentifyReader()
    for piece in pieces(data, some_size(data)):
        reader.receive([piece])
    found = read_identity(reader.finish(), PEER, AddressScope.PUBLIC)
    assert found.public_key is None or ID.from_pubkey(found.public_key) == PEER


def signed_record(data: bytes) -> None:
    envelope = unmarshal_envelope(data)
    assert unmarshal_envelope(envelope.marshal_envelope()).raw_payload == envelope.raw_payload
    envelope.validate("libp2p-peer-record")
    envelope.record()


def address(data: bytes) -> None:
    found = address_from_wire(data)
    assert address_from_wire(found.to_bytes()) == found
    assert str(found)
    scope_of(found)
    transport, _ = split_peer_id(found)
    assert split_peer_id(with_peer_id(transport, PEER)) == (transport, PEER)


def peer_id(data: bytes) -> None:
    text = outcome(lambda: ID.from_string(data.decode("latin-1")), (InvalidPeerID,))
    if isinstance(text, ID):
        assert ID.from_string(str(text)) == text
    binary = outcome(lambda: ID.from_bytes(data), (InvalidPeerID,))
    if isinstance(binary, ID):
        assert binary.to_bytes() == data


# -- content ----------------------------------------------------------------------------------


def bitswap_messages(data: bytes) -> None:
    errors = (ParseError, MessageTooLargeError)

    def read(size: int) -> list[tuple[object, ...]]:
        reader = MessageReader()
        found = [message for piece in pieces(data, size) for message in reader.receive([piece])]
        assert reader.buffered <= len(data)
        return [(m.entries, m.full, m.blocks, m.presences, m.pending_bytes) for m in found]

    assert outcome(lambda: read(some_size(data)), errors) == outcome(
        lambda: read(len(data) + 1), errors
    )


def dht_message(data: bytes) -> None:
    message = dht.decode(data)
    assert len(message.closer) <= dht.MAX_CLOSER_PEERS
    for peer in (*message.closer, *message.providers):
        assert len(peer.encoded) <= dht.MAX_PEER_ENTRY_BYTES + 2
    assert dht.decode(dht.encode(message)) == message


def ipns_record(data: bytes) -> None:
    record = decode_record(data)
    assert from_nanoseconds(record.expiry_nanoseconds)
    record.verify(PEER, NOW)


def ipns_data(data: bytes) -> None:
    """Any data under a right signature: what is behind that is reached."""
    signature = IDENTITY.sign(SIGNATURE_PREFIX + data)
    encoded = b"".join(
        bytes_field(number, len(content)) + content
        for number, content in ((8, signature), (9, data))
    )
    record = decode_record(encoded)
    record.verify(PEER, None)
    ContentPath.of_record(record.value)


def content_path(data: bytes) -> None:
    path = ContentPath.parse(data.decode("latin-1"))
    assert ContentPath.parse(str(path)) == path


def dag_cbor_block(data: bytes) -> None:
    assert dag_cbor.encode(dag_cbor.decode(data)) == data


def _written_again(data: bytes, codec: ModuleType) -> None:
    """Readers that take several forms of a value write one, which is read as the same value."""
    value = codec.decode(data)
    written = codec.encode(value)
    assert codec.decode(written) == value
    assert codec.encode(codec.decode(written)) == written


def dag_json_block(data: bytes) -> None:
    _written_again(data, dag_json)


def cbor_block(data: bytes) -> None:
    _written_again(data, plain_cbor)


def json_block(data: bytes) -> None:
    _written_again(data, plain_json)


def car_file(data: bytes) -> None:
    def read(size: int) -> list[tuple[bytes, bytes, int]]:
        reader = CarReader()
        found = [block for piece in pieces(data, size) for block in reader.receive(piece)]
        reader.end()
        return [(cid.buffer, bytes(block), offset) for cid, block, offset in found]

    errors = (InvalidCar,)
    blocks = outcome(lambda: read(len(data) + 1), errors)
    assert outcome(lambda: read(some_size(data)), errors) == blocks
    if blocks != "refused":
        assert sum(len(block) for _, block, _ in blocks) < len(data)


def car_index(data: bytes) -> None:
    index = CarIndex.decode(data)
    for multihash in index.multihashes():
        index.find(multihash)


def cid(data: bytes) -> None:
    found = CID.decode(data)
    assert found.buffer == data
    assert CID.parse(str(found)) == found


def cid_text(data: bytes) -> None:
    found = CID.of(data.decode("latin-1"))
    assert CID.parse(str(found)) == CID.of(f" https://a/ipfs/{found}/\n") == found


def multibase_text(data: bytes) -> None:
    multibase.decode(data.decode("latin-1"))


def dag_pb_node(data: bytes) -> None:
    node = dag_pb.decode(data)
    again = dag_pb.decode(node.to_bytes())
    assert again.to_bytes() == node.to_bytes()


def unixfs_data(data: bytes) -> None:
    encoded = unixfs.encode(unixfs.decode(data))
    assert unixfs.encode(unixfs.decode(encoded)) == encoded


def file_root(data: bytes) -> None:
    root = CID.for_block(data, "dag-pb")
    walk = FileWalk(root)
    assert walk.wanted() == [root]
    walk.supply(root, data)
    walk.wanted()
    taken: list[Buffer] = walk.take()
    assert sum(map(len, taken)) <= len(data)


# -- HTTP ---------------------------------------------------------------------------------------


def routing_stream(data: bytes) -> None:
    """Peers in lines of JSON: any split gives the same, and what is read is written and read."""

    def read(size: int) -> list[PeerInfo]:
        reader = NdjsonPeers()
        peers = [peer for piece in pieces(data, size) for peer in reader.receive(piece)]
        return [*peers, *reader.end()]

    peers = read(max(len(data), 1))
    assert peers == read(some_size(data))
    again = NdjsonPeers()
    written = again.receive(b"".join(peer_to_json(peer) + b"\n" for peer in peers))
    assert [peer.peer_id for peer in written] == [peer.peer_id for peer in peers]


def routing_answer(data: bytes) -> None:
    """Peers in one JSON object."""
    reader = JsonPeers("Providers")
    reader.receive(data)
    for peer in reader.end():
        assert peer_to_json(peer)


def routing_request(data: bytes) -> None:
    """The path, the query and two headers of a request: a question, or a refusal that says why."""
    path, query, accept, kind = (data.decode("latin-1").split("\n") + [""] * 4)[:4]
    headers = {"accept": accept, "content-type": kind, "if-none-match": kind}
    for method in ("GET", "PUT", "OPTIONS"):
        found = read_request(method, f"/routing/v1/{path}", query, headers)
        if isinstance(found, Reply):
            assert 200 <= found.status < 600
            assert all("\n" not in value for value in found.headers.values())
        else:
            assert found.key


# -- names and first peers --------------------------------------------------------------------


def dnsaddr_records(data: bytes) -> None:
    """Lines are TXT records; the answer for each name is what comes after the one before."""
    texts = data.decode("latin-1").split("\n")
    expansion = Expansion(Multiaddr(f"/dnsaddr/a.example/p2p/{PEER}"), DNS)
    asked = 0
    while names := expansion.next_names():
        for name in names:
            asked += 1
            expansion.on_answer(name, texts[asked % 3 :: 2])
    assert asked <= DNS.max_look_ups
    assert len(expansion.addresses) <= DNS.max_addresses
    assert all(split_peer_id(address)[1] == PEER for address in expansion.addresses)


def bootstrap_document(data: bytes) -> None:
    conf = read_autoconf(data)
    assert len(conf.addresses) <= MAX_BOOTSTRAP_PEERS
    assert 0 < conf.ttl < 1e6


def stored_peer(data: bytes) -> None:
    """What a disk has made of a peer."""
    peer = decode_peer(data)
    assert decode_peer(encode_peer(peer)) == peer


TARGETS: Final = {
    target.name: target
    for target in (
        Target(yamux_frames, ()),
        Target(yamux_session, (RemoteProtocolError,)),
        Target(noise_handshake, ()),
        Target(noise_message, (HandshakeFailure,)),
        Target(noise_payload, (HandshakeFailure,)),
        Target(noise_records, (DecryptionFailedException,)),
        Target(plaintext_exchange, (HandshakeFailure,)),
        Target(tls_certificate, (HandshakeFailure,)),
        Target(tls_extensions, (HandshakeFailure,)),
        Target(tls_handshake, ()),
        Target(tls_records, ()),
        Target(public_key, (CryptographyError,)),
        Target(multistream_initiator, ()),
        Target(multistream_responder, ()),
        Target(identify, (IdentifyError,)),
        Target(signed_record, (InvalidRecord,)),
        Target(address, (InvalidAddrError,)),
        Target(peer_id, (InvalidPeerID,)),
        Target(bitswap_messages, ()),
        Target(dht_message, (InvalidMessageError,)),
        Target(ipns_record, (InvalidIpnsRecord,)),
        Target(ipns_data, (InvalidIpnsRecord, InvalidPath)),
        Target(content_path, (InvalidPath,)),
        Target(dag_cbor_block, (InvalidDagCbor,)),
        Target(dag_json_block, (InvalidDagJson,)),
        Target(cbor_block, (InvalidCbor,)),
        Target(json_block, (InvalidJson,)),
        Target(car_file, ()),
        Target(car_index, (InvalidCar,)),
        Target(routing_stream, (BadRouterAnswer,)),
        Target(routing_answer, (BadRouterAnswer,)),
        Target(routing_request, ()),
        Target(dnsaddr_records, ()),
        Target(bootstrap_document, (BootstrapError,)),
        Target(stored_peer, (InvalidRecord,)),
        Target(cid, (InvalidCID,)),
        Target(cid_text, (InvalidCID,)),
        Target(multibase_text, (InvalidMultibase,)),
        Target(dag_pb_node, (InvalidDagPb,)),
        Target(unixfs_data, (InvalidUnixFS,)),
        Target(file_root, (NotAFile, InvalidDagPb, InvalidUnixFS)),
    )
}
