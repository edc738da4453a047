"""py-libp2p's CID functions, over `libp2p.ipld.cid`; new code uses the `CID` there."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, SupportsInt, TypeAlias

from libp2p.exceptions import HashNotSupported
from libp2p.ipld.cid import CID, CIDInput, InvalidCID
from libp2p.ipld.codec import codec_code, codec_name
from libp2p.utils.arguments import wrong_type

if TYPE_CHECKING:
    from cid import CIDv0, CIDv1

    CIDObject: TypeAlias = "CIDv0 | CIDv1"
else:
    CIDObject = object

CID_V0: Final = 0
CID_V1: Final = 1
CODEC_RAW: Final = 0x55
CODEC_DAG_PB: Final = 0x70
CODEC_DAG_CBOR: Final = 0x71
CODEC_DAG_JOSE: Final = 0x85
CODEC_DAG_JSON: Final = 0x0129
CODEC_IPLD: Final = 0xE2
HASH_SHA256: Final = 0x12


#: What has a number is a ``multicodec.Code``.
Codec: TypeAlias = "str | int | SupportsInt"


def _make(data: bytes, version: int, codec: Codec) -> CID:
    # Version 0 says nothing of the codec: it is dag-pb, whatever was asked for.
    code = CODEC_DAG_PB if version == CID_V0 else code_of(codec)
    return CID.for_block(data, codec=code, version=version)


def code_of(codec: Codec) -> int:
    """
    Return a codec's code, also of those that only py-multicodec's longer table has.

    :raises ValueError: if it is in no table.
    """
    named = codec if isinstance(codec, str) else int(codec)
    with suppress(InvalidCID):
        code = codec_code(named)
        if codec_name(code) != hex(code):
            return code
    from multicodec import Code, is_codec

    if isinstance(named, str) and is_codec(named):
        return int(Code.from_string(named))
    if isinstance(named, int) and named >= 0 and Code(named).name != "<unknown>":
        return named
    raise InvalidCID(f"Unknown codec {codec!r}")


def compute_cid(data: bytes, version: int = CID_V0, codec: Codec = CODEC_RAW) -> bytes:
    """Return a block's binary CID, with SHA-256."""
    return _make(data, version, codec).buffer


def compute_cid_v0(data: bytes) -> bytes:
    return _make(data, CID_V0, CODEC_DAG_PB).buffer


def compute_cid_v1(data: bytes, codec: Codec = CODEC_RAW) -> bytes:
    return _make(data, CID_V1, codec).buffer


def compute_cid_obj(data: bytes, version: int = CID_V0, codec: Codec = CODEC_RAW) -> CIDObject:
    """Return what `compute_cid` does as an object of py-cid."""
    return _make(data, version, codec).to_py_cid()


def compute_cid_v0_obj(data: bytes) -> CIDv0:
    from cid import CIDv0

    return CIDv0(compute_cid_v0(data))


def compute_cid_v1_obj(data: bytes, codec: Codec = CODEC_RAW) -> CIDv1:
    from cid import CIDv1

    made = _make(data, CID_V1, codec)
    return CIDv1(made.codec, made.multihash)


def parse_cid(value: CIDInput) -> CIDObject:
    """
    Return the object of py-cid for a CID in any form.

    :raises InvalidCID: if it is none.
    :raises TypeError: if it has no form of a CID at all.
    """
    if isinstance(value, int | float | None):
        raise wrong_type("value", value, "a CID")
    return CID.of(value).to_py_cid()


def cid_to_bytes(value: CIDInput) -> bytes:
    return CID.of(value).buffer


def cid_to_text(value: CIDInput) -> str:
    """Write a CID as text: version 0 in base58, version 1 in base32."""
    return str(CID.of(value))


def format_cid_for_display(cid: CIDInput, max_len: int | None = None) -> str:
    """Write a CID, cut to ``max_len`` characters; what is no CID is written as it is."""
    try:
        text = cid_to_text(cid)
    except InvalidCID:
        text = cid.hex() if isinstance(cid, bytes) else str(cid)
    return text if max_len is None or len(text) <= max_len else f"{text[:max_len]}..."


def parse_cid_codec(cid: bytes) -> str:
    return CID.of(cid).codec


def get_cid_prefix(cid: CIDInput) -> bytes:
    """
    Return all but the digest of a version 1 CID; nothing for version 0 or an invalid CID.

    As in py-libp2p. In messages version 0 has a prefix, too: `CID.prefix`.
    """
    try:
        parsed = CID.of(cid)
    except InvalidCID:
        return b""
    return parsed.prefix if parsed.version else b""


def reconstruct_cid_from_prefix_and_data(prefix: bytes, data: bytes) -> bytes:
    return CID.from_prefix_and_data(prefix, data).buffer


def verify_cid(cid: CIDInput, data: bytes) -> bool:
    """Return whether a CID is that of ``data``; False as well if it cannot be told."""
    try:
        return CID.of(cid).matches(data)
    except (InvalidCID, HashNotSupported):
        return False
