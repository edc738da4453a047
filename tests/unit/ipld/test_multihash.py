from __future__ import annotations

import hashlib
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.ipld import multihash
from libp2p.ipld.multihash import HashNotSupported, InvalidMultihash
from tests.support.strategies import octets

ABC = b"abc"


@pytest.mark.parametrize(
    ("name", "code", "start"),
    [
        ("sha1", 0x11, "a9993e36"),
        ("sha2-256", 0x12, "ba7816bf"),
        ("sha2-512", 0x13, "ddaf35a1"),
        ("sha2-384", 0x20, "cb00753f"),
        ("sha3-224", 0x17, "e642824c"),
        ("sha3-256", 0x16, "3a985da7"),
        ("sha3-384", 0x15, "ec014982"),
        ("sha3-512", 0x14, "b751850b"),
        ("shake-128", 0x18, "5881092d"),
        ("shake-256", 0x19, "483366601360a877"),
        ("dbl-sha2-256", 0x56, "4f8b42c2"),
        ("blake2b-512", 0xB240, "ba80a53f"),
        ("blake2b-256", 0xB220, "bddd813c"),
        ("blake2s-256", 0xB260, "508c5e8c"),
        ("blake3", 0x1E, "6437b3ac"),
        ("identity", 0x00, "616263"),
    ],
)
def test_published_digests(name: str, code: int, start: str) -> None:
    digest = multihash.digest(name, memoryview(ABC))
    assert digest.hex().startswith(start)
    assert multihash.digest(code, ABC) == digest
    assert multihash.code_of(name) == code
    assert multihash.name_of(code) == name


def test_names_are_read_in_any_case_and_sha3_is_its_longest() -> None:
    assert multihash.code_of("SHA2-256") == 0x12
    assert multihash.code_of("sha3") == multihash.code_of("sha3-512")


def test_usual_lengths_of_functions_that_make_any() -> None:
    assert len(multihash.digest("shake-256", ABC)) == 64
    assert len(multihash.digest("shake-128", ABC)) == 32
    assert len(multihash.digest("blake3", ABC)) == 32


@pytest.mark.parametrize("name", ["blake3", "shake-256"])
def test_functions_of_any_length_extend_their_digest(name: str) -> None:
    longest = multihash.digest(name, ABC, 128)
    assert len(longest) == 128
    assert longest.startswith(multihash.digest(name, ABC, 20))


@pytest.mark.parametrize("name", ["sha2-256", "sha2-512", "blake2b-512", "dbl-sha2-256", "sha3"])
def test_a_digest_can_be_cut(name: str) -> None:
    assert multihash.digest(name, ABC, 20) == multihash.digest(name, ABC)[:20]


@pytest.mark.parametrize(
    ("name", "length"),
    [("sha2-256", 33), ("sha2-256", 0), ("sha1", -1), ("blake3", 129), ("blake2b-160", 21)],
)
def test_a_digest_of_impossible_length_is_refused(name: str, length: int) -> None:
    with pytest.raises(HashNotSupported, match=name):
        multihash.digest(name, ABC, length)


def test_identity_holds_128_bytes_and_no_more() -> None:
    assert multihash.digest("identity", bytes(128)) == bytes(128)
    assert multihash.digest("identity", ABC, 3) == ABC
    with pytest.raises(HashNotSupported, match="at most 128"):
        multihash.digest("identity", bytes(129))
    with pytest.raises(HashNotSupported):
        multihash.digest("identity", ABC, 2)


@pytest.mark.parametrize("hash_function", ["md5", "", 0xD5, -1])
def test_an_unknown_function_is_refused(hash_function: str | int) -> None:
    with pytest.raises(HashNotSupported, match="unknown"):
        multihash.digest(hash_function, ABC)


def test_an_unknown_code_is_named_by_its_number() -> None:
    assert multihash.name_of(0x3F42) == "0x3f42"


def test_blake3_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    with pytest.raises(HashNotSupported, match="pip install blake3"):
        multihash.digest("blake3", ABC)


def test_keccak_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Crypto.Hash.keccak", None)
    with pytest.raises(HashNotSupported, match=r"keccak-256 .* pip install pycryptodome"):
        multihash.digest("keccak-256", ABC)


def test_keccak_uses_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def new(digest_bits: int, data: bytes) -> SimpleNamespace:
        return SimpleNamespace(digest=lambda: hashlib.sha3_512(data).digest()[: digest_bits // 8])

    monkeypatch.setitem(sys.modules, "Crypto.Hash.keccak", SimpleNamespace(new=new))
    assert len(multihash.digest("keccak-224", ABC)) == 28
    assert multihash.digest("keccak-512", ABC, 20) == hashlib.sha3_512(ABC).digest()[:20]


# -- what content may be named by ------------------------------------------------------------------


def test_the_allowed_functions_are_those_of_kubo() -> None:
    names = set(multihash.allowed_names())
    assert names == {
        *("identity", "sha1", "sha2-256", "sha2-512", "dbl-sha2-256", "shake-256", "blake3"),
        *(f"sha3-{bits}" for bits in (224, 256, 384, 512)),
        *(f"keccak-{bits}" for bits in (224, 256, 384, 512)),
        *(f"blake2b-{bits}" for bits in range(160, 513, 8)),
        *(f"blake2s-{bits}" for bits in range(160, 257, 8)),
    }


@pytest.mark.parametrize(("code", "size"), [(0x12, 20), (0x12, 32), (0x1E, 128), (0, 0), (0, 128)])
def test_allowed_digests(code: int, size: int) -> None:
    multihash.check_allowed(code, size)


@pytest.mark.parametrize(
    ("code", "size", "reason"),
    [
        (0x12, 19, "at least 20"),
        (0x1E, 129, "at most 128"),
        (0x00, 129, "at most 128"),
        (0xD5, 16, "unknown"),
        (0x20, 48, "sha2-384 is not allowed"),
        (0xB213, 19, "blake2b-152 is not allowed"),
        (0xB253, 19, "blake2s-152 is not allowed"),
    ],
)
def test_digests_that_cannot_vouch_for_content(code: int, size: int, reason: str) -> None:
    with pytest.raises(HashNotSupported, match=reason):
        multihash.check_allowed(code, size)


# -- the binary form -------------------------------------------------------------------------------


@given(st.integers(0, 2**63 - 1), octets(128))
def test_a_multihash_is_read_as_it_was_written(code: int, digest: bytes) -> None:
    assert multihash.unwrap(multihash.wrap(code, digest)) == (code, digest)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x12",
        b"\x12\x02a",
        b"\x12\x02abc",
        b"\x92\x00\x00",
        b"\x12\x80\x00",
        b"\x00\x81\x01" + bytes(129),
        b"\xff" * 12,
    ],
)
def test_a_malformed_multihash_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidMultihash):
        multihash.unwrap(data)
