"""
Multihash: a digest behind the code of its hash function.

https://github.com/multiformats/multihash. The registry holds what content addressing allows
(boxo's verifcid list) and further functions that can be computed. A CID may have any other hash
function, but then its block cannot be verified.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import HashNotSupported, InvalidMultihash, ParseError
from libp2p.utils.varint import decode_uvarint, encode_uvarint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

__all__ = [
    "IDENTITY",
    "MAX_DIGEST_BYTES",
    "MIN_DIGEST_BYTES",
    "SHA2_256",
    "HashNotSupported",
    "InvalidMultihash",
    "allowed_names",
    "check_allowed",
    "code_of",
    "digest",
    "hasher",
    "name_of",
    "unwrap",
    "wrap",
]

IDENTITY: Final = 0x00
SHA2_256: Final = 0x12

#: A shorter digest can be collided in practice (boxo's verifcid refuses it as well).
MIN_DIGEST_BYTES: Final = 20
#: No function here makes more. A longer "identity" would be a block that bypasses the store.
MAX_DIGEST_BYTES: Final = 128

_BLAKE2B_8: Final = 0xB201  # and one code more for each further byte of digest
_BLAKE2S_8: Final = 0xB241


class _Hash(NamedTuple):
    name: str
    code: int
    size: int
    """Of the whole digest; of the usual one if the function makes any length."""
    compute: Callable[[Buffer, int], bytes]
    allowed: bool = True
    extendable: bool = False


# -- the functions --------------------------------------------------------------------------------


def _stdlib(name: str) -> Callable[[Buffer, int], bytes]:
    new = getattr(hashlib, name)
    return lambda data, length: new(data).digest()[:length]


def _shake(name: str) -> Callable[[Buffer, int], bytes]:
    new = getattr(hashlib, name)
    return lambda data, length: new(data).digest(length)


def _blake2(name: str, size: int) -> Callable[[Buffer, int], bytes]:
    new = getattr(hashlib, name)
    return lambda data, length: new(data, digest_size=size).digest()[:length]


def _double_sha256(data: Buffer, length: int) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()[:length]


def _identity(data: Buffer, length: int) -> bytes:
    if len(data) > MAX_DIGEST_BYTES:
        raise HashNotSupported(
            f"identity holds at most {MAX_DIGEST_BYTES} bytes, the data has {len(data)}"
        )
    if length not in (len(data), _ANY_LENGTH):
        raise HashNotSupported(f"identity of {len(data)} bytes cannot be {length} bytes long")
    return bytes(data)


def _blake3(data: Buffer, length: int) -> bytes:
    try:
        module = importlib.import_module("blake3")
    except ImportError:
        raise HashNotSupported("blake3 needs the package 'blake3': pip install blake3") from None
    computed: bytes = module.blake3(data).digest(length=length)
    return computed


def _keccak(bits: int) -> Callable[[Buffer, int], bytes]:
    # Keccak before NIST changed its padding; the standard library has only the later SHA-3.
    def compute(data: Buffer, length: int) -> bytes:
        try:
            module = importlib.import_module("Crypto.Hash.keccak")
        except ImportError:
            raise HashNotSupported(
                f"keccak-{bits} needs the package 'pycryptodome': pip install pycryptodome"
            ) from None
        computed: bytes = module.new(digest_bits=bits, data=data).digest()
        return computed[:length]

    return compute


_ANY_LENGTH: Final = -1

_HASHES: Final = [
    _Hash("identity", IDENTITY, _ANY_LENGTH, _identity),
    _Hash("sha1", 0x11, 20, _stdlib("sha1")),
    _Hash("sha2-256", SHA2_256, 32, _stdlib("sha256")),
    _Hash("sha2-512", 0x13, 64, _stdlib("sha512")),
    _Hash("sha3-512", 0x14, 64, _stdlib("sha3_512")),
    _Hash("sha3-384", 0x15, 48, _stdlib("sha3_384")),
    _Hash("sha3-256", 0x16, 32, _stdlib("sha3_256")),
    _Hash("sha3-224", 0x17, 28, _stdlib("sha3_224")),
    _Hash("shake-128", 0x18, 32, _shake("shake_128"), allowed=False, extendable=True),
    _Hash("shake-256", 0x19, 64, _shake("shake_256"), extendable=True),
    _Hash("keccak-224", 0x1A, 28, _keccak(224)),
    _Hash("keccak-256", 0x1B, 32, _keccak(256)),
    _Hash("keccak-384", 0x1C, 48, _keccak(384)),
    _Hash("keccak-512", 0x1D, 64, _keccak(512)),
    _Hash("blake3", 0x1E, 32, _blake3, extendable=True),
    _Hash("sha2-384", 0x20, 48, _stdlib("sha384"), allowed=False),
    _Hash("dbl-sha2-256", 0x56, 32, _double_sha256),
    *(
        _Hash(f"blake2b-{8 * n}", _BLAKE2B_8 + n - 1, n, _blake2("blake2b", n), n >= 20)
        for n in range(1, 65)
    ),
    *(
        _Hash(f"blake2s-{8 * n}", _BLAKE2S_8 + n - 1, n, _blake2("blake2s", n), n >= 20)
        for n in range(1, 33)
    ),
]
_BY_CODE: Final = {known.code: known for known in _HASHES}
_BY_NAME: Final = {known.name: known for known in _HASHES}
_BY_NAME["sha3"] = _BY_NAME["sha3-512"]


# -- the registry ---------------------------------------------------------------------------------


def _lookup(hash_function: str | int) -> _Hash:
    if type(hash_function) is bool or not isinstance(hash_function, str | int):
        raise HashNotSupported(
            f"a hash function is given by name or code, not {type(hash_function).__name__}"
        )
    if isinstance(hash_function, int):
        known = _BY_CODE.get(hash_function)
        text = f"with code {hash_function:#x}"
    else:
        known = _BY_NAME.get(hash_function.lower())
        text = repr(hash_function)
    if known is None:
        raise HashNotSupported(f"unknown hash function {text}")
    return known


def code_of(hash_function: str | int) -> int:
    """Return the code of a function by its name, in any case; ``sha3`` is sha3-512."""
    return _lookup(hash_function).code


def name_of(code: int) -> str:
    """Return the function's name, or its code in hex if it is not known."""
    known = _BY_CODE.get(code)
    return hex(code) if known is None else known.name


def allowed_names() -> list[str]:
    """Return the names of the functions that content may be added and exchanged under."""
    return [known.name for known in _HASHES if known.allowed]


def check_allowed(code: int, digest_bytes: int) -> None:
    """
    Refuse an unknown or weak function, and a digest that is too short.

    :raises HashNotSupported: with the reason.
    """
    known = _lookup(code)
    if not known.allowed:
        raise HashNotSupported(f"{known.name} is not allowed for content addressing")
    if digest_bytes > MAX_DIGEST_BYTES:
        raise HashNotSupported(f"digest of {digest_bytes} bytes, at most {MAX_DIGEST_BYTES}")
    if digest_bytes < MIN_DIGEST_BYTES and code != IDENTITY:
        raise HashNotSupported(f"digest of {digest_bytes} bytes, at least {MIN_DIGEST_BYTES}")


# -- digests --------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def hasher(hash_function: str | int, length: int | None = None) -> Callable[[Buffer], bytes]:
    """
    Return the function from data to digest, for hashing many blocks.

    :param length: cut the digest to this many bytes; blake3 and shake also make longer ones.
    :raises HashNotSupported: if the function is unknown or cannot make that length.
    """
    known = _lookup(hash_function)
    if known.code == SHA2_256 and length in (None, known.size):
        sha256 = hashlib.sha256
        return lambda data: sha256(data).digest()
    compute = known.compute
    size = known.size if length is None else length
    longest = known.size if known.size != _ANY_LENGTH and not known.extendable else MAX_DIGEST_BYTES
    if known.code != IDENTITY and not 1 <= size <= longest:
        raise HashNotSupported(f"{known.name} cannot make {size} bytes, at most {longest}")
    return lambda data: compute(data, size)


def digest(hash_function: str | int, data: Buffer, length: int | None = None) -> bytes:
    """Hash ``data`` once; see `hasher`."""
    return hasher(hash_function, length)(data)


def wrap(code: int, digest: Buffer) -> bytes:
    """Write the multihash of a digest."""
    return b"".join((encode_uvarint(code), encode_uvarint(len(digest)), digest))


def unwrap(multihash: Buffer) -> tuple[int, bytes]:
    """
    Read a multihash: its function's code, known or not, and the digest.

    :raises InvalidMultihash: if anything is missing, left over or too long.
    """
    try:
        code, offset = decode_uvarint(multihash)
        size, offset = decode_uvarint(multihash, offset)
    except ParseError as error:
        raise InvalidMultihash(f"multihash is malformed: {error}") from error
    if size > MAX_DIGEST_BYTES:
        raise InvalidMultihash(f"digest of {size} bytes, at most {MAX_DIGEST_BYTES} are allowed")
    if len(multihash) - offset != size:
        raise InvalidMultihash(f"digest of {len(multihash) - offset} bytes, {size} were announced")
    return code, bytes(multihash[offset:])
