"""
Packages that import their names when the names are first used.

A program that uses one part of a package does not load the others: importing bitswap's errors does
not load its engine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """
    Return the ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    :param homes: modules, as import statements name them inside of ``package`` (``.peer``), and the
        names that each is the home of. ``"Transport as NoiseTransport"`` renames one. A module of
        the package is an attribute of it too, as if it had been imported.
    """
    found = {}
    for module, names in homes.items():
        for name in names:
            original, _, new_name = name.partition(" as ")
            found[new_name or original] = module, original
    submodules = {module.split(".")[1] for module in homes if module.startswith(".")}

    def load(name: str) -> Any:
        if name in found:
            module, original = found[name]
            value = getattr(import_module(module, package), original)
        elif name in submodules:
            value = import_module(f".{name}", package)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *found, *submodules})

    return load, list_names, list(found)
