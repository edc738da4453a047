"""The key of a private network, and the text that it is kept in (``swarm.key``)."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from libp2p.exceptions import InvalidArgument
from libp2p.utils import arguments

KEY_BYTES: Final = 32
#: A file has two short lines and the key; what is longer is none.
MAX_FILE_BYTES: Final = 1024

_HEADER: Final = b"/key/swarm/psk/1.0.0/"
_EXPECTED: Final = "32 bytes, 64 hexadecimal digits, or what a swarm.key file holds"


def read_key(value: object) -> bytes:
    """
    Return the 32 bytes of a key.

    :param value: the bytes themselves, 64 hexadecimal digits, or the content of a ``swarm.key``
        file as Kubo and go-libp2p read it (``/base16/``, ``/base64/`` or ``/bin/``).
    :raises ValueError: if it is none of these; `TypeError` if it is neither text nor bytes. Neither
        repeats the value, which may be a key with a slip in it.
    """
    if not isinstance(value, str | bytes | bytearray):
        raise arguments.wrong_type("psk", type(value), _EXPECTED)
    data = value.encode() if isinstance(value, str) else bytes(value)
    if isinstance(value, str) and not data.startswith(_HEADER):
        key = _decoded(b"/base16/", data)
    elif len(data) == KEY_BYTES:
        key = data
    else:
        key = _of_file(data)
    if key is None or len(key) != KEY_BYTES:
        raise InvalidArgument(f"psk is not {_EXPECTED}")
    return key


def key_file(key: bytes) -> str:
    """Return the text of a ``swarm.key`` file, as Kubo reads it; keep it from others."""
    return f"{_HEADER.decode()}\n/base16/\n{read_key(key).hex()}\n"


def _of_file(data: bytes) -> bytes | None:
    lines = data[:MAX_FILE_BYTES].split(b"\n", 2)
    if len(lines) < 3 or lines[0].rstrip(b"\r") != _HEADER:
        return None
    return _decoded(lines[1].rstrip(b"\r"), lines[2])


def _decoded(encoding: bytes, text: bytes) -> bytes | None:
    try:
        if encoding == b"/base16/":
            return bytes.fromhex(text.decode("ascii"))
        if encoding == b"/base64/":
            return base64.b64decode(b"".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        return None
    return text[:KEY_BYTES] if encoding == b"/bin/" else None
