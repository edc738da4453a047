"""Texts of strangers, for a terminal or a log: nothing in them steers it or begins a line."""

from __future__ import annotations

from typing import Final

#: Letters of a line: five peers with their answers, or a dial that failed at eight addresses.
MAX_LINE_CHARACTERS: Final = 1000


def printable(text: str) -> str:
    r"""
    Write what could steer a terminal, or begin another line, as ``\x1b`` and the like.

    A file's name may hold anything. Bytes that are no UTF-8 become ``\xff`` and the like.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def one_line(text: str) -> str:
    """Return ``text`` `printable`, and cut if it is long."""
    if len(text) > MAX_LINE_CHARACTERS:
        text = f"{text[: MAX_LINE_CHARACTERS - 1]}…"
    return printable(text)


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    # How Python carries a byte that it could not decode.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(letter)[1:-1]
