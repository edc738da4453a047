"""Which names and links of a folder that a stranger has made could lead out of it (no I/O)."""

from __future__ import annotations

import ntpath
import os
import posixpath
from typing import Final

WINDOWS: Final = os.name == "nt"
#: What no name on Windows has, and names of devices there.
_NOT_ON_WINDOWS: Final = frozenset('<>:"\\|?*').union(map(chr, range(32)))
_DEVICES: Final = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{name}{digit}" for name in ("COM", "LPT") for digit in "0123456789¹²³"]
)


def is_file_name(name: str, *, windows: bool = WINDOWS) -> bool:
    """Tell whether a file in a folder can be called so, and lies in that folder then."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        return False
    if not windows:
        return True
    stem = name.partition(".")[0].rstrip().upper()
    return not (_NOT_ON_WINDOWS & set(name) or stem in _DEVICES or name[-1] in ". ")


def stays_inside(target: str, depth: int, *, windows: bool = WINDOWS) -> bool:
    """
    Tell whether a symbolic link surely leads to a place inside the folder.

    :param depth: folders between the whole one and the link.
    """
    path = ntpath if windows else posixpath
    parts = (target.replace("\\", "/") if windows else target).split("/")
    up = 0
    while up < len(parts) and parts[up] == "..":
        up += 1
    # A ".." behind a name may follow another link, and so lead anywhere.
    is_outside = ".." in parts[up:] or up > depth or path.isabs(target) or not target
    rooted = windows and target[:1] in ("/", "\\")
    return not (is_outside or rooted or path.splitdrive(target)[0] or "\0" in target)


def link_fault(target: str, depth: int, *, unsafe: bool) -> str:
    """
    Return what is wrong with where a symbolic link leads; nothing if it can be made.

    :param depth: as for `stays_inside`.
    :param unsafe: True if links may lead out of the folder.
    """
    if not unsafe and not stays_inside(target, depth):
        return "which may be outside the folder"
    if not target or "\0" in target:
        return "to which no link can lead"
    return ""
