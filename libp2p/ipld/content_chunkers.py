"""
Chunkers that cut where the content says so: what is inserted moves no cut further on (sans-I/O).

A cut is after the first byte, from the least size on, at which the lowest bits of a hash over the
last bytes, the window, are all zero. Both hashes are linear: that of a window is the XOR of what
each of its bytes contributes by its value and its place. That is computed for many places at once
where numpy is installed, and byte by byte elsewhere; the cuts are the same, and those of Kubo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from libp2p.exceptions import InvalidImportOptions
from libp2p.ipld.block import MAX_CHUNK_BYTES

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

__all__ = ["ContentChunker", "buzhash_chunker", "rabin_chunker"]

#: Bytes whose hashes are computed at once: with more, they leave the processor's caches.
_PIECE_BYTES: Final = 64 * 1024


def _numpy() -> Any:
    """Return numpy, or None where it is not installed."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


class ContentChunker:
    """
    Cuts by content.

    :param find: is called with the next bytes, and the least and the largest size of a chunk; it
        returns the size of the next chunk. No bytes further on matter.
    """

    def __init__(
        self, min_size: int, max_size: int, find: Callable[[memoryview, int, int], int]
    ) -> None:
        self._min_size: Final = min_size
        self._max_size: Final = max_size
        self._find: Final = find
        self._held = bytearray()

    def feed(self, buffers: Iterable[Buffer]) -> list[Buffer]:
        for buffer in buffers:
            self._held += buffer
        return self._cut(self._max_size)

    def finish(self) -> list[Buffer]:
        return self._cut(1)

    def _cut(self, needed: int) -> list[Buffer]:
        """Return the next chunks, as long as so many bytes are left."""
        chunks: list[Buffer] = []
        if len(self._held) < needed:
            return chunks
        rest = memoryview(bytes(self._held))
        while len(rest) >= needed:
            size = min(len(rest), self._max_size)
            if size > self._min_size:
                size = self._find(rest, self._min_size, size)
            chunks.append(rest[:size])
            rest = rest[size:]
        self._held = bytearray(rest)
        return chunks


# -- buzhash --------------------------------------------------------------------------------------

_BUZHASH_MIN: Final = 128 * 1024
_BUZHASH_MAX: Final = 512 * 1024
_BUZHASH_MASK: Final = 2**17 - 1
_BUZHASH_WINDOW: Final = 32
#: What each value of a byte contributes, 32 bits each: the numbers of Kubo.
_BUZHASH_TABLE: Final = (
    "6236e7d510279b0b72818182dc5265142fd41e3d777ef8c883ee52852c8f36372f049c1a57df97919207151f"
    "9b54481874eef6582028ca600271d91a27ae587eecf9fa5f236e71cdf43a8a2e0bb133809e57912c89a26cdb"
    "9fcf3d71a86da6f19c49f376346aecc7f094a9eeea99e9cbb01713c6088acffb2960a0fb344a626c7ff22a46"
    "6d7a1aa56a71491641d454ca8325b8300b65f563447feccaf9d0ea5ec1d9d3d4cb5ec57455aae90286edc0e7"
    "0d3a9e33e70dc1e1e3c5f6399b43140ac6490ac55e4030fb8e976dd5a87468eaf830ef6fcc1ed5a5611f4e78"
    "ddd11905f2613904566c67b9905a5ccc7b37b3a44b53898a6b8fd29daad81575511be4143cfac1e78029a179"
    "d40efeda07380e02dc9beffd2d04908299bc7831ff5002a821ce764601cd049b0f43994fc3c6c5a5bbda5f50"
    "0ec15ec79adb19b60c1e80b9b9b52968ae1624192542b40591a42e9d6be0f6686ed7a6b9bc2777b4e162ce56"
    "4266aad560fdb70466f832a59595f6cafee83ced55228d9912bf0e28668964590789afda0282baa82367a343"
    "591491b02ff1a4b1410739b69b7055a02e0eb22924fc82523327d3dfb07826691c62e0697f503101f50593ae"
    "d9eb275de00eb6785917ccde97b9660add06202ded229e22a9c735bfd6316fe66fc72e4c0206dfa2d6b15c5a"
    "69d87b4909c9774513445d6135a975aa859aa9b965380013d1fb6391c29255fd784a3b91b9e74c2663ce4d40"
    "c07cbe9ee6e4529e0fb3632f9438d9c9682f94a8f8fd4611257ec1ed475ce3d660ee2db12afab0022b9e4878"
    "86b340de1482fdcafe41b3bfd4a412b0e09db98cc1af5d537e55e25fd3346b38b7a12cbd9c6827ba71f78bee"
    "8c3a0f52150491b0f26de912233e3a4ed309ebbaa0a9e0ffca2b5921eeb9893c33829e889870cc2a23c4b9d0"
    "eba32ea3bdac4d223bc8c44c1e8d0397f9327735783b009f0eb837422621dc71ed017d035c760aa15a69814b"
    "96e3047fa93c9cde615c86f5b4322aa54225534d0d2e2de3ccfccc4b0bac2a57f0a06d04bc78d737f2d1f766"
    "f5a7953cbcdfda855213b7d5bce8a328d38f5f18db094244fe571253317fa7ee4a324f433ffc39d951b3fa8e"
    "7a4bee9f78bbc6829f5c035002fe286c245ab686ed6bf7d70ac4988a3fe010fac65fe369a45749cb2b84e537"
    "de9ff36320540f9aaa8c9b345bc476b31d574bd7929100ad4721de4d27df1b0558b18546b7e76764df904e58"
    "97af57a1bd4dc433a6256dfdf63998f3f1e05833e20acf26f57fd9d690300b4d89df429068d01cbccf893ee3"
    "cc42a046778e181b67265c76e981a4c482991da1708f7294e6e2ae62fc44187095e1b0b60445f8255a93b47f"
    "5e9cf4be84da71e79d9582b09bf835ef591f61e2433259855d2de32e8d8fbf0f95b30f3807ad5b6e4e934edf"
    "3cd4990e9053e2595c41857d"
)


@lru_cache(maxsize=1)
def _buzhash_values() -> list[int]:
    table = bytes.fromhex(_BUZHASH_TABLE)
    return [int.from_bytes(table[at : at + 4], "big") for at in range(0, len(table), 4)]


def buzhash_chunker() -> ContentChunker:
    """Return the chunker ``buzhash``: chunks of 128 to 512 KiB, on average 256."""
    return ContentChunker(_BUZHASH_MIN, _BUZHASH_MAX, _find_buzhash)


def _find_buzhash(data: memoryview, start: int, end: int) -> int:
    numpy = _numpy()
    if numpy is None:
        return _find_buzhash_slowly(data, start, end)
    return _find_in_pieces(numpy, data, (start, end), _BUZHASH_WINDOW, _buzhashes, _BUZHASH_MASK)


def _find_buzhash_slowly(data: memoryview, start: int, end: int) -> int:
    table = _buzhash_values()
    state = 0
    for byte in data[start - _BUZHASH_WINDOW : start]:
        state = (state << 1 & 0xFFFFFFFF | state >> 31) ^ table[byte]
    coming = zip(
        data[start - _BUZHASH_WINDOW : end - _BUZHASH_WINDOW], data[start:end], strict=True
    )
    for place, (out, byte) in enumerate(coming, start):
        if not state & _BUZHASH_MASK:
            return place
        # 32 turns of 32 bits: what a byte contributed when it came is what is taken out.
        state = (state << 1 & 0xFFFFFFFF | state >> 31) ^ table[out] ^ table[byte]
    return end


def _buzhashes(numpy: Any, data: Any) -> Any:
    """Return the hash at the end of each window in the data."""
    hashes = numpy.array(_buzhash_values(), numpy.uint32)[data]
    width = 1
    while width < _BUZHASH_WINDOW:  # from those of windows half as long
        older = hashes[:-width]
        turned = older << numpy.uint32(width)
        turned |= older >> numpy.uint32(32 - width)
        turned ^= hashes[width:]
        hashes = turned
        width *= 2
    return hashes


# -- Rabin ----------------------------------------------------------------------------------------

_RABIN_WINDOW: Final = 16
#: An irreducible polynomial over GF(2), of degree 53.
_RABIN_POLYNOMIAL: Final = 0x3DF305DFB2A805
_RABIN_DEGREE: Final = 53
_RABIN_AVERAGE: Final = 256 * 1024


def rabin_chunker(arguments: str) -> ContentChunker:
    """
    Return the chunker ``rabin``, ``rabin-AVERAGE`` or ``rabin-MIN-AVERAGE-MAX``.

    :raises InvalidImportOptions: if the sizes are none, or out of order.
    """
    labels = ("min:", "avg:", "max:")
    parts = arguments.split("-") if arguments else [str(_RABIN_AVERAGE)]
    if len(parts) == 3:
        parts = [part.removeprefix(label) for part, label in zip(parts, labels, strict=True)]
    if len(parts) not in (1, 3) or not all(
        part.isascii() and part.isdigit() and len(part) < 10 for part in parts
    ):
        raise InvalidImportOptions(
            f"chunker 'rabin-{arguments}': write rabin, rabin-AVERAGE or rabin-MIN-AVERAGE-MAX"
        )
    sizes = [int(part) for part in parts]
    average = sizes[-2] if len(sizes) == 3 else sizes[0]
    low, high = (sizes[0], sizes[2]) if len(sizes) == 3 else (average // 3, average + average // 2)
    # With less than a window, Kubo cuts nothing at all.
    if not _RABIN_WINDOW <= low < average < high <= MAX_CHUNK_BYTES:
        raise InvalidImportOptions(
            f"chunker 'rabin-{arguments}': sizes must rise, from {_RABIN_WINDOW} at least to "
            f"{MAX_CHUNK_BYTES} at most, not {low}, {average}, {high}"
        )
    mask = 2 ** (average.bit_length() - 1) - 1

    def find(data: memoryview, start: int, end: int) -> int:
        numpy = _numpy()
        if numpy is None:
            return _find_rabin_slowly(data, start, end, mask)
        return _find_in_pieces(numpy, data, (start, end), _RABIN_WINDOW, _rabin_hashes, mask)

    return ContentChunker(low, high, find)


def _reduced(value: int) -> int:
    """Return a polynomial's remainder."""
    while (excess := value.bit_length() - 1 - _RABIN_DEGREE) >= 0:
        value ^= _RABIN_POLYNOMIAL << excess
    return value


@lru_cache(maxsize=_RABIN_WINDOW + 1)
def _rabin_values(place: int) -> list[int]:
    """Return what each value of a byte contributes that has so many bytes behind it."""
    return [_reduced(byte << 8 * place) for byte in range(256)]


@lru_cache(maxsize=1)
def _rabin_overflow() -> list[int]:
    """Return what replaces the upper 8 bits of a hash that is shifted by a byte."""
    return [_reduced(top << _RABIN_DEGREE) ^ top << _RABIN_DEGREE for top in range(256)]


def _find_rabin_slowly(data: memoryview, start: int, end: int, mask: int) -> int:
    overflow, leaving = _rabin_overflow(), _rabin_values(_RABIN_WINDOW - 1)
    state = 0
    for byte in data[start - _RABIN_WINDOW : start]:
        state = state << 8 | byte
        state ^= overflow[state >> _RABIN_DEGREE]
    coming = zip(data[start - _RABIN_WINDOW : end - _RABIN_WINDOW], data[start:end], strict=True)
    for place, (out, byte) in enumerate(coming, start):
        if not state & mask:
            return place
        state = (state ^ leaving[out]) << 8 | byte
        state ^= overflow[state >> _RABIN_DEGREE]
    return end


def _rabin_hashes(numpy: Any, data: Any) -> Any:
    """Return the lowest 32 bits of the hash at the end of each window in the data."""
    indices = data.astype(numpy.intp)
    count = len(data) - _RABIN_WINDOW + 1
    hashes = numpy.zeros(count, numpy.uint32)
    for place in range(_RABIN_WINDOW):
        table = numpy.array(_rabin_values(place), numpy.uint64).astype(numpy.uint32)
        first = _RABIN_WINDOW - 1 - place
        hashes ^= table[indices[first : first + count]]
    return hashes


# -- both -----------------------------------------------------------------------------------------


def _find_in_pieces(
    numpy: Any,
    data: memoryview,
    sizes: tuple[int, int],
    window: int,
    hashes: Callable[[Any, Any], Any],
    mask: int,
) -> int:
    """Return the first size from the least on at which the hash is zero, else the largest."""
    start, end = sizes
    octets = numpy.frombuffer(data, numpy.uint8)
    for at in range(start, end, _PIECE_BYTES):
        piece = octets[at - window : min(at + _PIECE_BYTES - 1, end)]
        found = numpy.flatnonzero((hashes(numpy, piece) & numpy.uint32(mask)) == 0)
        if len(found):
            return at + int(found[0])
    return end
