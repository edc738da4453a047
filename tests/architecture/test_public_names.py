"""What a package offers is listed in its `__all__`, and what is listed is there."""

from __future__ import annotations

import ast
import importlib

import pytest

from tests.architecture.source_tree import Module, modules

PACKAGES = [module for module in modules() if module.is_package and module.tree.body]


def re_exported(module: Module) -> set[str]:
    """Public names that the package's file imports for others."""
    names: set[str] = set()
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("libp2p"):
            names |= {alias.asname or alias.name for alias in node.names}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.name)
def test_listed_names_exist_once(module: Module) -> None:
    package = importlib.import_module(module.name)
    listed: list[str] = list(getattr(package, "__all__", []))
    assert len(listed) == len(set(listed))
    assert [name for name in listed if not hasattr(package, name)] == []


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.name)
def test_re_exported_names_are_listed(module: Module) -> None:
    package = importlib.import_module(module.name)
    assert re_exported(module) - set(getattr(package, "__all__", [])) == set()
