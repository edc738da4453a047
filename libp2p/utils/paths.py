"""py-libp2p's small functions over paths, as its examples use them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

PathLike: TypeAlias = "str | os.PathLike[str]"


def join_paths(*parts: PathLike) -> Path:
    """Return a path of several parts."""
    return Path(*parts)


def get_script_dir(script_path: PathLike) -> Path:
    """Return the folder of a script; call it with ``__file__``."""
    return Path(script_path).parent.absolute()


def ensure_dir_exists(path: PathLike) -> Path:
    """Make a folder, with those above it, unless it is there; return it."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
