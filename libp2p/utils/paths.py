"""py-libp2p's small functions over paths, as its examples use them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TypeAlias

PathLike: TypeAlias = "str | os.PathLike[str]"

#: Where `libp2p.save_keypair` writes, below the folder in which the program runs.
ED25519_PATH = Path("libp2p-forge/peer1/ed25519.pem")


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


def get_project_root() -> Path:
    """Return the folder that has the package ``libp2p``: of a checkout, its root."""
    return Path(__file__).resolve().parents[2]


def get_config_dir() -> Path:
    """Return the folder for settings of programs of py-libp2p; it need not exist."""
    base = os.environ.get("APPDATA") if os.name == "nt" else None
    return (Path(base) if base else Path.home() / ".config") / "py-libp2p"


def get_venv_path() -> Path | None:
    """Return the folder of the virtual environment that is active in the shell, if one is."""
    path = os.environ.get("VIRTUAL_ENV")
    return Path(path) if path else None


def get_python_executable() -> Path:
    """Return the interpreter that runs."""
    return Path(sys.executable)


def find_executable(name: str) -> Path | None:
    """Return a program of the search path, if it is there."""
    found = shutil.which(name)
    return Path(found) if found else None


def get_script_binary_path() -> Path:
    """Return the folder of the interpreter, in which scripts of packages are."""
    return get_python_executable().parent


def get_binary_path(binary_name: str) -> Path | None:
    """Return a program of the active virtual environment, or else of the search path."""
    if (venv := get_venv_path()) is not None:
        folder = venv / ("Scripts" if os.name == "nt" else "bin")
        if found := shutil.which(binary_name, path=str(folder)):
            return Path(found)
    return find_executable(binary_name)


def normalize_path(path: PathLike) -> Path:
    """Return an absolute path without links."""
    return Path(path).resolve()
