"""Folders for transfers: written from a seed, and compared."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = ("f%d", "file %d.txt", "naïve-%d", "данные %d", "日本-%d.bin", "it's %d")


def write_large_tree(root: Path, files: int, in_one_folder: int) -> None:
    """
    Write a folder: small files and some large ones, three levels, links, names of all kinds.

    :param files: how many, with the links.
    :param in_one_folder: how many of them are in the folder ``big``.
    """
    source = random.Random(files)
    folders = [root / f"a{n // 10}" / f"b{n % 10}" for n in range(150)]
    for folder in [*folders, root / "big", root / "empty"]:
        folder.mkdir(parents=True)
    for number in range(files):
        is_in_big = number * in_one_folder % files < in_one_folder
        folder = root / "big" if is_in_big else folders[number % len(folders)]
        path = folder / (source.choice(_NAMES) % number)
        kind = source.random()
        if kind < 0.03:
            path.symlink_to("f1")
        else:
            size = 0 if kind < 0.06 else int(source.paretovariate(1.0) * 1000)
            path.write_bytes(source.randbytes(min(size, 3 * 2**20)))


def is_same_tree(one: Path, other: Path, *, with_times: bool = False) -> bool:
    """
    Compare what is in two folders; links are not followed.

    :param with_times: compare modes and times of change too, but those of links.
    """

    def contents(path: Path) -> object:
        if path.is_symlink():
            return os.readlink(path)
        status = path.stat()
        kept = (status.st_mode, status.st_mtime_ns) if with_times else ()
        return kept, path.is_dir() or path.read_bytes()

    found = [
        {path.relative_to(folder): contents(path) for path in folder.rglob("*")}
        for folder in (one, other)
    ]
    return found[0] == found[1]
