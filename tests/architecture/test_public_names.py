"""What a package offers is listed in its `__all__`, and what is listed is there."""

from __future__ import annotations

import ast
import importlib

import pytest

from tests.architecture.source_tree import Module, modules

LOADER = {"libp2p.utils.lazy", "libp2p.utils.version"}
PACKAGES = [module for module in modules() if module.is_package and module.tree.body]


def re_exported(module: Module) -> set[str]:
    """Public names that the package's file imports for others."""
    names: set[str] = set()
    for node in module.tree.body:
        if getattr(node, "module", None) in LOADER:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("libp2p"):
            names |= {alias.asname or alias.name for alias in node.names}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.name)
def test_listed_names_exist_once(module: Module) -> None:
    package = importlib.import_module(module.name)
    listed: list[str] = list(getattr(package, "__all__", []))
    assert len(listed) == len(set(listed))
    assert [name for name in listed if not hasattr(package, name)] == []


def names_for_type_checkers(module: Module) -> set[str]:
    """What type checkers are told that a package has which loads its names later."""
    names: set[str] = set()
    for block in module.tree.body:
        if not isinstance(block, ast.If) or ast.unparse(block.test) != "TYPE_CHECKING":
            continue
        for node in block.body:
            if isinstance(node, ast.ImportFrom):
                names |= {alias.name for alias in node.names if alias.name == alias.asname}
            elif isinstance(node, ast.Assign):
                names.add(ast.unparse(node.targets[0]))
    return names


@pytest.mark.parametrize(
    "package", ["libp2p", "libp2p.bitswap", "libp2p.ipfs_lite", "libp2p.kad_dht"]
)
def test_type_checkers_know_the_same_names(package: str) -> None:
    [module] = [module for module in PACKAGES if module.name == package]
    assert names_for_type_checkers(module) == set(importlib.import_module(package).__all__)
    assert set(importlib.import_module(package).__all__) <= set(
        dir(importlib.import_module(package))
    )


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        importlib.import_module("libp2p.bitswap").nothing  # noqa: B018


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.name)
def test_re_exported_names_are_listed(module: Module) -> None:
    package = importlib.import_module(module.name)
    assert re_exported(module) - set(getattr(package, "__all__", [])) == set()
