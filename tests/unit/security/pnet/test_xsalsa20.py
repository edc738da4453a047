"""XSalsa20 beside libsodium's, which seals boxes with it."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_secretbox

from libp2p.security.pnet.xsalsa20 import XSalsa20


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=24, max_size=24),
    st.lists(st.binary(max_size=200), min_size=1, max_size=5),
)
def test_pieces_are_encrypted_as_libsodium_does(
    key: bytes, nonce: bytes, pieces: list[bytes]
) -> None:
    stream = XSalsa20(key, nonce)
    stream.apply(memoryview(bytearray(32)))  # a box's first 32 bytes are the key of its checksum
    views = [memoryview(bytearray(piece)) for piece in pieces]
    for view in views:
        stream.apply(view)
    box = crypto_secretbox(b"".join(pieces), nonce, key)
    assert b"".join(map(bytes, views)) == box[-sum(map(len, pieces)) or len(box) :]


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "Crypto.Cipher", None)
    with pytest.raises(ValueError, match=r"pip install 'libp2p\[pnet\]'"):
        XSalsa20(bytes(32), bytes(24))
