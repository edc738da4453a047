"""Keys of private networks as people and programs write them."""

from __future__ import annotations

import base64

import pytest

from libp2p.security.pnet.key import key_file, read_key

KEY = bytes(range(32))
HEADER = b"/key/swarm/psk/1.0.0/\n"


@pytest.mark.parametrize(
    "value",
    [
        KEY,
        bytearray(KEY),
        KEY.hex(),
        KEY.hex().upper() + "\n",
        HEADER + b"/base16/\n" + KEY.hex().encode(),
        HEADER.decode() + f"/base16/\n{KEY.hex()}\n",
        b"/key/swarm/psk/1.0.0/\r\n/base16/\r\n" + KEY.hex().encode() + b"\r\n",
        HEADER + b"/base64/\n" + base64.b64encode(KEY) + b"\n",
        HEADER + b"/bin/\n" + KEY,
        HEADER + b"/bin/\n" + KEY + b"\n",
        key_file(KEY),
    ],
)
def test_each_form_is_read(value: object) -> None:
    assert read_key(value) == KEY


@pytest.mark.parametrize(
    "value",
    [
        b"",
        "",
        KEY[:31],
        KEY + b"\0",
        KEY.hex()[:-1],
        KEY.hex()[:-2],
        "g" * 64,
        "é" * 64,
        HEADER,
        HEADER + b"/base16/\n",
        HEADER + b"/base16/\n" + KEY.hex().encode()[:-2],
        HEADER + b"/base64/\n!!!",
        HEADER + b"/base58/\n" + KEY.hex().encode(),
        b"/key/swarm/psk/2.0.0/\n/base16/\n" + KEY.hex().encode(),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(value: bytes | str) -> None:
    with pytest.raises(ValueError, match="psk is not 32 bytes, 64 hexadecimal digits") as raised:
        read_key(value)
    assert KEY.hex()[:20] not in str(raised.value)


def test_of_a_large_file_only_the_start_is_read() -> None:
    assert read_key(key_file(KEY).encode() + b" " * 2000 + b"no digits") == KEY


def test_a_number_is_no_key() -> None:
    with pytest.raises(TypeError, match="psk"):
        read_key(5)
