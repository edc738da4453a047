"""Who decides about a record: namespaces of keys, in text and in bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidArgument, InvalidRecordType, WrongArgumentType
from libp2p.records.utils import key_to_bytes, key_to_text, split_key
from libp2p.records.validator import (
    BlankValidator,
    ErrBetterRecord,
    NamespacedValidator,
    Validator,
)


class ShortValues:
    """Accepts values of up to four bytes, and prefers the last in order; inherits from nobody."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def validate(self, key: str, value: bytes) -> None:
        self.keys.append(key)
        if len(value) > 4:
            raise KeyError("too long")

    def select(self, key: str, values: list[bytes]) -> int:
        return values.index(max(values))


class Confused(BlankValidator):
    """Selects a record that nobody gave it."""

    def select(self, key: str, values: list[bytes]) -> int:
        return len(values)


class PyLibp2pValidator(Validator):
    """As programs for py-libp2p write one."""

    def validate(self, key: str, value: bytes) -> None:
        if not key.startswith("/example/"):
            raise InvalidRecordType("not mine")

    def select(self, key: str, values: list[bytes]) -> int:
        return 0


@pytest.mark.parametrize(
    ("key", "namespace", "rest"),
    [
        ("/ipns/a", "ipns", "a"),
        (b"/ipns/\xff\x00/", "ipns", b"\xff\x00/"),
        ("/ipns//a/b", "ipns", "/a/b"),
        ("/ipns/", "ipns", ""),
        (b"/\xc3\xa9/x", "é", b"x"),
    ],
)
def test_a_key_has_a_namespace_and_a_rest(key: Any, namespace: str, rest: str | bytes) -> None:
    assert split_key(key) == (namespace, rest)


@pytest.mark.parametrize("key", ["", "/", "//", "//a", "ipns/a", "/ipns", b"", b"/\xff/a", b"pk//"])
def test_a_key_without_a_namespace_is_refused(key: Any) -> None:
    with pytest.raises(InvalidRecordType, match="key"):
        split_key(key)


@given(st.binary())
def test_a_key_in_text_is_the_same_key(key: bytes) -> None:
    assert key_to_bytes(key_to_text(key)) == key == key_to_bytes(memoryview(key))  # type: ignore[arg-type]


def test_a_text_without_bytes_is_no_key() -> None:
    with pytest.raises(InvalidRecordType, match="UTF-8"):
        key_to_bytes("/ipns/\ud800")
    with pytest.raises(WrongArgumentType, match="bytes or str"):
        key_to_bytes(7)  # type: ignore[arg-type]


def test_the_validator_of_the_namespace_decides() -> None:
    short = ShortValues()
    validator = NamespacedValidator({"short": short, "any": BlankValidator()})
    validator.validate(b"/short/\xff", b"1234")
    validator.validate("/any/a", b"12345")
    with pytest.raises(InvalidRecordType, match="too long") as refused:
        validator.validate("/short/b", b"12345")
    assert isinstance(refused.value.__cause__, KeyError)
    assert short.keys == ["/short/\udcff", "/short/b"]
    assert validator.namespaces == ["any", "short"]
    assert isinstance(short, Validator)


def test_what_py_libp2p_programs_inherit_from_works() -> None:
    validator = NamespacedValidator()
    validator.add_validator("example", PyLibp2pValidator())
    validator.validate(b"/example/key", b"value")


@pytest.mark.parametrize("key", ["/other/a", "plain", b"/\xff/a", ""])
def test_nobody_responsible_is_a_refusal_unless_wanted_otherwise(key: str | bytes) -> None:
    strict = NamespacedValidator({"short": ShortValues()})
    with pytest.raises(InvalidRecordType, match=r"No validator registered.*/short/"):
        strict.validate(key, b"")
    with pytest.raises(InvalidRecordType, match="No validator"):
        strict.select(key, [b""])
    assert strict.validator_by_key(key) is None
    strict.set_strict(False)
    strict.validate(key, b"12345")
    lax = NamespacedValidator(strict_validation=False)
    lax.validate(key, b"12345")
    assert lax.select(key, [b"a", b"b"]) == 0
    short = NamespacedValidator(strict_validation=False, fallback_validator=ShortValues())
    with pytest.raises(InvalidRecordType, match="too long"):
        short.validate(key, b"12345")


def test_the_best_record_is_one_of_those_given() -> None:
    validator = NamespacedValidator({"short": ShortValues(), "confused": Confused()})
    assert validator.select("/short/a", [b"1", b"3", b"2"]) == 1
    with pytest.raises(InvalidRecordType, match="record 2 of 2"):
        validator.select("/confused/a", [b"1", b"2"])
    with pytest.raises(InvalidArgument, match="empty"):
        validator.select("/short/a", [])


@pytest.mark.parametrize("namespace", ["", "a/b"])
def test_a_namespace_is_a_name(namespace: str) -> None:
    with pytest.raises(InvalidArgument, match="namespace"):
        NamespacedValidator({namespace: BlankValidator()})


def test_a_validator_has_both_methods() -> None:
    with pytest.raises(WrongArgumentType, match="namespace must be"):
        NamespacedValidator({b"pk": BlankValidator()})  # type: ignore[dict-item]
    with pytest.raises(WrongArgumentType, match="validate and select"):
        NamespacedValidator({"pk": object()})  # type: ignore[dict-item]


def test_a_better_record_is_told() -> None:
    error = ErrBetterRecord("/a/b", b"better")
    assert (error.key, error.value) == ("/a/b", b"better")
    assert "/a/b" in str(error)
