"""py-libp2p's small functions over paths, as its examples use them."""

from __future__ import annotations

import os
import tempfile
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


def get_temp_dir() -> Path:
    """Return the folder for temporary files."""
    return Path(tempfile.gettempdir())


def create_temp_file(prefix: str = "py-libp2p_", suffix: str = ".log") -> Path:
    """Make an empty temporary file of a name that nothing else has; return its path."""
    descriptor, name = tempfile.mkstemp(suffix, prefix)
    os.close(descriptor)
    return Path(name)


def resolve_relative_path(base_path: PathLike, relative_path: PathLike) -> Path:
    """Return a path below another one, without links; one that is absolute by itself."""
    return (Path(base_path) / relative_path).resolve()


def normalize_path(path: PathLike) -> Path:
    """Return an absolute path without links."""
    return Path(path).resolve()
