"""Escapes text from outside, so that it cannot control a terminal or forge a line of a log."""

from __future__ import annotations

from typing import Final

#: Room for five peers with their answers, or for eight addresses of a failed dial.
MAX_LINE_CHARACTERS: Final = 1000


def printable(text: str) -> str:
    r"""
    Return ``text`` with control characters written as ``\x1b``, ``\n`` and so on.

    Bytes of a file's name that are not UTF-8 are written as ``\xff``.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def one_line(text: str) -> str:
    """Return `printable` of the first `MAX_LINE_CHARACTERS` of ``text``."""
    if len(text) > MAX_LINE_CHARACTERS:
        text = f"{text[: MAX_LINE_CHARACTERS - 1]}…"
    return printable(text)


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    # How Python carries a byte that it could not decode.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(letter)[1:-1]
