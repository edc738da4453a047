"""
CID: the name of a block by its content, as an immutable value.

https://github.com/multiformats/cid. A `CID` is its binary form and the multihash in it, which
blocks are wanted and kept under; the other parts are derived on demand. Reading is strict: trailing
bytes, varints that are not in their shortest form, unknown versions and over-long digests are
refused. A CID with an unknown codec or hash function can be passed on, but not verified.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, final

from libp2p.exceptions import HashNotSupported, InvalidCID, InvalidMultibase, ParseError
from libp2p.ipld import multibase, multihash
from libp2p.ipld.codec import DAG_PB, RAW, codec_code, codec_name
from libp2p.ipld.multihash import IDENTITY, MAX_DIGEST_BYTES, SHA2_256
from libp2p.utils import arguments
from libp2p.utils.varint import decode_uvarint, encode_uvarint

if TYPE_CHECKING:
    from cid import CIDv0, CIDv1

    from libp2p.base_types import Buffer

__all__ = [
    "CID",
    "CIDInput",
    "CIDMaker",
    "HashNotSupported",
    "InvalidCID",
    "PyCID",
    "cid_inputs",
    "cid_maker",
]

#: The binary form at its longest: a version, two codes of nine bytes, and a digest with its size.
MAX_CID_BYTES: Final = 1 + 9 + 9 + 2 + MAX_DIGEST_BYTES
#: Longer texts are refused unread. The longest CID, in base2, has 1193 characters.
MAX_TEXT_CHARACTERS: Final = 1200
#: Longer paths and URLs are refused unread: servers accept no longer ones.
MAX_URL_CHARACTERS: Final = 8192

#: In front of a multihash it is a CIDv1 with raw: how what knows multihashes alone names blocks.
RAW_CID_START: Final = bytes((1, RAW))

_BUFFERS: Final = (bytes, bytearray, memoryview)
#: Characters of a text that an error quotes.
_QUOTED: Final = 200

_V0_MULTIHASH_START: Final = bytes((SHA2_256, 32))
_V0_BYTES: Final = 34
_V0_CHARACTERS: Final = 46
#: Put before a CID of version 0, it makes version 1.
_V0_AS_V1: Final = bytes((1, DAG_PB))
#: Prefixes of version 0 blocks in bitswap: the right one, and the one that some senders write.
_V0_WIRE_PREFIX: Final = bytes((0, DAG_PB)) + _V0_MULTIHASH_START
_V0_WIRE_PREFIXES: Final = (_V0_WIRE_PREFIX, _V0_MULTIHASH_START, b"")

#: Version 1, raw or dag-pb, SHA-256: nearly every CID there is, recognised without parsing.
_COMMON_V1: Final = frozenset(bytes((1, codec)) + _V0_MULTIHASH_START for codec in (RAW, DAG_PB))
_COMMON_V1_BYTES: Final = 36

_EMPTY_SHA2_256: Final = multihash.wrap(SHA2_256, multihash.digest(SHA2_256, b""))


class PyCID(Protocol):
    """The part of py-cid's ``CIDv0`` and ``CIDv1`` objects that is used here."""

    @property
    def buffer(self) -> bytes: ...


@final
class CID:
    """
    The name of a block by its content; equal and hashed by its bytes.

    Made by `of`, `decode`, `parse`, `for_block` and `from_digest`; calling the class is `of`.
    """

    __slots__ = ("buffer", "multihash")

    buffer: bytes
    """The binary form, whole."""
    multihash: bytes
    """The hash with its code and length: the same for every codec and version."""

    def __new__(cls, value: CIDInput) -> CID:
        return cls.of(value)

    # -- reading ----------------------------------------------------------------------------------

    @staticmethod
    def of(value: CIDInput) -> CID:
        """
        Return a CID that is given in any form; bytes are the binary form, never text.

        Text may have blanks around it, and may also be ``/ipfs/CID``, ``ipfs://CID``, the URL of
        a gateway (``https://host/ipfs/CID``, ``https://CID.ipfs.host/``), or the binary form in
        hex.

        :raises InvalidCID: if it is not a CID, or has more than that: a path, a query, a fragment.
            A name of IPNS is not a CID.
        """
        if type(value) is CID:
            return value
        if isinstance(value, _BUFFERS):
            return CID.decode(value)
        if isinstance(value, str):
            return _of_text(value)
        buffer = getattr(value, "buffer", None)
        if isinstance(buffer, bytes):
            return CID.decode(buffer)
        raise InvalidCID(f"a CID cannot be made of {type(value).__name__}")

    @staticmethod
    def decode(data: Buffer) -> CID:
        """
        Read the binary form.

        :raises InvalidCID: if ``data`` is not exactly one CID.
        """
        raw = data if type(data) is bytes else _as_bytes(data)
        length = len(raw)
        # Fast path: nearly every CID there is.
        if length == _COMMON_V1_BYTES and raw[:4] in _COMMON_V1:
            return _make(raw, 2)
        if length == _V0_BYTES and raw[:2] == _V0_MULTIHASH_START:
            return _make(raw, 0)
        _, multihash_offset, _, size, offset = _read_prefix(raw)
        if length - offset != size:
            raise InvalidCID(f"digest of {length - offset} bytes, {size} were announced")
        return _make(raw, multihash_offset)

    @staticmethod
    def read(data: Buffer, offset: int = 0) -> tuple[CID, int]:
        """
        Read the binary form that starts at ``offset``, with anything behind it.

        :return: the CID, and the offset of the byte after it.
        :raises InvalidCID: if no CID starts there.
        """
        head = bytes(data[offset : offset + MAX_CID_BYTES])
        if head[:2] == _V0_MULTIHASH_START:
            size = _V0_BYTES
        elif head[:4] in _COMMON_V1:
            size = _COMMON_V1_BYTES
        else:
            _, _, _, digest_bytes, digest_offset = _read_prefix(head)
            size = digest_offset + digest_bytes
        return CID.decode(head[:size]), offset + size

    @staticmethod
    def parse(text: str) -> CID:
        """
        Read the text form: version 0 in base58, version 1 in any base of `multibase`.

        :raises InvalidCID: if ``text`` is not exactly one CID.
        """
        if not isinstance(text, str):
            raise InvalidCID(f"the text of a CID is a str, not {type(text).__name__}")
        if len(text) > MAX_TEXT_CHARACTERS:
            raise InvalidCID(f"text of {len(text)} characters is too long for a CID")
        try:
            if len(text) == _V0_CHARACTERS and text.startswith("Qm"):
                return CID.decode(multibase.decode_base58btc(text))
            raw = multibase.decode(text)
        except InvalidMultibase as error:
            raise InvalidCID(f"not a CID: {error}") from error
        if raw.startswith(b"\x12"):
            raise InvalidCID("version 0 is written in base58 without a prefix")
        return CID.decode(raw)

    # -- making -----------------------------------------------------------------------------------

    @staticmethod
    def for_block(
        data: Buffer,
        codec: str | int = "raw",
        version: int = 1,
        hash: str | int = "sha2-256",
    ) -> CID:
        """
        Hash a block.

        :raises InvalidCID: if there is no such version, or version 0 cannot say this.
        :raises HashNotSupported: if the hash cannot be computed.
        """
        arguments.binary(data)
        # Wrong types are refused before the cache, which would raise a TypeError of its own.
        codec_code(codec)
        multihash.code_of(hash)
        if not isinstance(version, int | float):
            raise InvalidCID(f"CID version {version!r:.100} does not exist")
        return cid_maker(codec, version, hash)(data)

    @staticmethod
    def from_digest(
        digest: Buffer,
        codec: str | int = "raw",
        version: int = 1,
        hash: str | int = "sha2-256",
    ) -> CID:
        """Name a block by its digest; raises as `for_block` does."""
        prefix = _prefix_of(codec, version, multihash.code_of(hash), len(digest))
        return CID.decode(b"".join((prefix, digest)))

    @staticmethod
    def from_prefix_and_data(prefix: Buffer, data: Buffer) -> CID:
        """
        Hash a received block as the prefix in front of it says.

        :raises InvalidCID: if the prefix is malformed.
        :raises HashNotSupported: if the hash is unknown or too weak to vouch for the block.
        """
        return _maker_for_prefix(bytes(prefix))(data)

    # -- parts ------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        return 0 if self._is_v0 else 1

    @property
    def codec_code(self) -> int:
        if self.buffer[0] == SHA2_256:
            return DAG_PB
        return decode_uvarint(self.buffer, 1)[0]

    @property
    def codec(self) -> str:
        """The codec's name, or its code in hex if it is not known."""
        return codec_name(self.codec_code)

    @property
    def hash_code(self) -> int:
        return decode_uvarint(self.multihash)[0]

    @property
    def hash_name(self) -> str:
        """The hash function's name, or its code in hex if it is not known."""
        return multihash.name_of(self.hash_code)

    @property
    def digest(self) -> bytes:
        return multihash.unwrap(self.multihash)[1]

    @property
    def prefix(self) -> bytes:
        """All but the digest, as it goes in front of a block in bitswap."""
        buffer = self.buffer
        if len(buffer) == _COMMON_V1_BYTES and buffer[:4] in _COMMON_V1:
            return buffer[:4]
        return _V0_WIRE_PREFIX if self._is_v0 else buffer[: len(buffer) - len(self.digest)]

    @property
    def is_identity(self) -> bool:
        """True if the digest is the block itself."""
        return self.multihash[0] == IDENTITY

    @property
    def is_empty_block(self) -> bool:
        """True if this is known to be the name of the block without a byte."""
        if self.multihash.startswith(_V0_MULTIHASH_START):
            return self.multihash == _EMPTY_SHA2_256
        code, digest = multihash.unwrap(self.multihash)
        return digest == _empty_digest(code, len(digest))

    @property
    def _is_v0(self) -> bool:
        return self.buffer[0] == SHA2_256  # version 1 begins with a 1

    def matches(self, data: Buffer) -> bool:
        """
        Return whether this is the name of ``data``.

        :raises HashNotSupported: if the hash is unknown or too weak to tell.
        """
        arguments.binary(data)
        hash_code, digest = multihash.unwrap(self.multihash)
        multihash.check_allowed(hash_code, len(digest))
        if hash_code == IDENTITY:
            return digest == data
        return multihash.hasher(hash_code, len(digest))(data) == digest

    # -- other forms ------------------------------------------------------------------------------

    def encode(self, base: str | None = None) -> str:
        """
        Write the text form; without a base, version 0 in base58 and version 1 in base32.

        :raises InvalidCID: if the base is unknown, or is not base58btc for version 0.
        """
        if self._is_v0:
            if base not in (None, "base58btc"):
                raise InvalidCID(f"version 0 cannot be written in {base}, make it version 1 first")
            return multibase.encode_base58btc(self.buffer)
        if base is None:
            return "b" + multibase.encode_base32(self.buffer)
        try:
            return multibase.encode(base, self.buffer)
        except InvalidMultibase as error:
            raise InvalidCID(str(error)) from error

    def to_v1(self) -> CID:
        return _make(_V0_AS_V1 + self.buffer, len(_V0_AS_V1)) if self._is_v0 else self

    def to_v0(self) -> CID:
        """:raises InvalidCID: if this is not dag-pb with SHA-256, all that version 0 can say."""
        if self._is_v0:
            return self
        _require_v0_form(self.codec_code, self.hash_code, len(self.digest))
        return _make(self.multihash, 0)

    def to_py_cid(self) -> CIDv0 | CIDv1:
        """:raises ValueError: if py-cid does not know the codec or the hash."""
        from cid import CIDv0, CIDv1  # it takes 30 ms to import

        return CIDv0(self.buffer) if self._is_v0 else CIDv1(self.codec, self.multihash)

    # -- a value ----------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return self.buffer == other.buffer if type(other) is CID else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self.buffer < other.buffer if type(other) is CID else NotImplemented

    def __hash__(self) -> int:
        return hash(self.buffer)  # bytes cache their hash

    def __bytes__(self) -> bytes:
        return self.buffer

    def __str__(self) -> str:
        return self.encode()

    def __repr__(self) -> str:
        return f"CID({self.encode()!r})"

    def __reduce__(self) -> tuple[Callable[[bytes], CID], tuple[bytes]]:
        return CID.decode, (self.buffer,)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a CID cannot be changed ({name})")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a CID cannot be changed ({name})")


#: A CID in any form: bytes are binary, text is text.
CIDInput: TypeAlias = CID | bytes | bytearray | memoryview | str | PyCID


def cid_inputs(values: Iterable[CIDInput] | CIDInput) -> Iterable[CIDInput]:
    """
    Return an iterable of CIDs, also for a single one; the caller converts them one by one.

    :raises TypeError: if it is neither.
    """
    if isinstance(values, str | CID | bytes | bytearray | memoryview):
        return (values,)
    if not isinstance(values, Iterable):
        raise arguments.wrong_type("cids", values, "a list of CIDs")
    return values


_new = object.__new__
_set_buffer = CID.__dict__["buffer"].__set__
_set_multihash = CID.__dict__["multihash"].__set__


#: Texts in which people find a CID, and what may follow it. An address such as
#: /ip4/127.0.0.1/tcp/4001/ipfs/Qm… names a peer, not content: it is none of these.
_PLACES: Final = (
    r"(?P<space>ip[fn]s)://(?:(?P=space)/)?(?P<rest>.*)",
    r"(?:(?:dweb|fs):)?/?(?P<space>ip[fn]s)/(?P<rest>.*)",
    r"(?:https?://)?(?P<name>[^/?#.]+)\.(?P<space>ip[fn]s)\.[^/?#]+(?P<rest>.*)",
    r"(?:https?://)?[^/?#]+(?:/[^?#]*?)?/(?P<space>ip[fn]s)/(?P<rest>.*)",
    r"(?P<space>)(?P<rest>[^/?#]+[/?#].*)",
)


def _as_bytes(data: Buffer) -> bytes:
    if not isinstance(data, _BUFFERS):
        raise InvalidCID(f"the binary form of a CID is bytes, not {type(data).__name__}")
    return bytes(data)


def _of_text(text: str) -> CID:
    text = text.strip() if len(text) <= MAX_URL_CHARACTERS else text
    try:
        return CID.parse(text)
    except InvalidCID:
        if len(text) > MAX_URL_CHARACTERS:
            raise
        for place in _PLACES:
            if found := re.fullmatch(place, text, re.IGNORECASE | re.DOTALL):
                return _of_place(text, found.groupdict())
        # No text of a CID is hex by itself: those in base 16 begin with an f.
        with suppress(ValueError):
            if len(text) <= MAX_TEXT_CHARACTERS:
                return CID.decode(bytes.fromhex(text.removeprefix("0x")))
        raise


def _of_place(text: str, found: dict[str, str]) -> CID:
    if found["space"].lower() == "ipns":
        raise InvalidCID(f"{text[:_QUOTED]!r} is a name of IPNS, which is not resolved here")
    whole = found.get("name", "") + found["rest"]
    name, *behind = re.split("(?=[/?#])", whole, maxsplit=1)
    path, *extra = re.split("(?=[?#])", "".join(behind), maxsplit=1)
    cid = CID.parse(name)
    if path.strip("/"):
        raise InvalidCID(
            f"paths in directories are not resolved here: {path[:_QUOTED]!r} below {cid}; "
            "name the file by its own CID"
        )
    if extra:
        raise InvalidCID(f"{extra[0][:_QUOTED]!r} behind {cid} is no part of a CID: leave it out")
    return cid


def _make(buffer: bytes, multihash_offset: int) -> CID:
    # Each hashed block makes a CID: this costs 0.25 µs beside the hash.
    cid = _new(CID)
    _set_buffer(cid, buffer)
    _set_multihash(cid, buffer[multihash_offset:])
    return cid


@lru_cache(maxsize=256)  # bounded: a peer may name as many functions and lengths as it likes
def _empty_digest(hash_code: int, size: int) -> bytes | None:
    """Hash the empty block; None if the function is unknown or too weak to tell anything."""
    try:
        multihash.check_allowed(hash_code, size)
        return multihash.digest(hash_code, b"", size)
    except HashNotSupported:
        return None


def _read_prefix(raw: bytes) -> tuple[int, int, int, int, int]:
    """:return: codec, offset of the multihash, hash code, digest's size, digest's offset."""
    try:
        version, offset = decode_uvarint(raw)
        if version != 1:
            raise InvalidCID(f"version {version} does not exist, or not in this form")
        codec, multihash_offset = decode_uvarint(raw, offset)
        code, offset = decode_uvarint(raw, multihash_offset)
        size, offset = decode_uvarint(raw, offset)
    except InvalidCID:
        raise
    except ParseError as error:
        raise InvalidCID(f"not a CID: {error}") from error
    if size > MAX_DIGEST_BYTES:
        raise InvalidCID(f"digest of {size} bytes, at most {MAX_DIGEST_BYTES} are allowed")
    return codec, multihash_offset, code, size, offset


def _require_v0_form(codec: int, hash_code: int, digest_bytes: int) -> None:
    if (codec, hash_code, digest_bytes) != (DAG_PB, SHA2_256, 32):
        raise InvalidCID(
            "version 0 is dag-pb with a whole sha2-256 only, not "
            f"{codec_name(codec)} with {multihash.name_of(hash_code)} of {digest_bytes} bytes"
        )


def _prefix_of(codec: str | int, version: int, hash_code: int, digest_bytes: int) -> bytes:
    """Return the bytes before the digest in the binary form."""
    code = codec_code(codec)
    if version == 0:
        _require_v0_form(code, hash_code, digest_bytes)
        return _V0_MULTIHASH_START
    if version != 1:
        raise InvalidCID(f"CID version {version} does not exist")
    return b"\x01" + b"".join(map(encode_uvarint, (code, hash_code, digest_bytes)))


# -- hashing many blocks --------------------------------------------------------------------------

CIDMaker: TypeAlias = "Callable[[Buffer], CID]"


@lru_cache(maxsize=64)
def cid_maker(
    codec: str | int = "raw",
    version: int = 1,
    hash: str | int = "sha2-256",
    length: int | None = None,
) -> CIDMaker:
    """
    Return the function from a block to its CID, for many blocks of one kind.

    :param length: cut the digest to this many bytes.
    :raises InvalidCID: if there is no such version, or version 0 cannot say this.
    :raises HashNotSupported: if the hash cannot be computed.
    """
    hash_code = multihash.code_of(hash)
    hash_block = multihash.hasher(hash_code, length)
    offset = 0 if version == 0 else 1 + len(encode_uvarint(codec_code(codec)))
    if hash_code == IDENTITY:
        return lambda data: _make(
            _prefix_of(codec, version, hash_code, len(data)) + hash_block(data), offset
        )
    prefix = _prefix_of(codec, version, hash_code, len(hash_block(b"")))
    return lambda data: _make(prefix + hash_block(data), offset)


@lru_cache(maxsize=256)  # bounded: a peer may send as many different prefixes as it likes
def _maker_for_prefix(prefix: bytes) -> CIDMaker:
    if prefix in _V0_WIRE_PREFIXES:
        return cid_maker("dag-pb", 0)
    codec, _, hash_code, size, offset = _read_prefix(prefix)
    if offset != len(prefix):
        raise InvalidCID(f"{len(prefix) - offset} bytes after the prefix of a CID")
    multihash.check_allowed(hash_code, size)
    # An identity "digest" is as long as the block, whatever the prefix says, as in Go.
    return cid_maker(codec, 1, hash_code, None if hash_code == IDENTITY else size)
