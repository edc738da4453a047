"""docs/limits.rst names every limit of the code, and every one of them says why it is there."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from docs.limit_reasons import limits_of, named_in, readable, reasons_in
from tests.architecture.source_tree import ROOT, Module, modules

PAGE = named_in((ROOT / "docs" / "limits.rst").read_text(encoding="utf-8"))


def bounds_of(module: Module) -> Iterator[str]:
    """Public constants of a module whose name says that they are an upper bound."""
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and target.id.startswith("MAX_"):
                yield target.id


def test_every_bound_has_a_row() -> None:
    missing = [
        f"{module.name}.{name}"
        for module in modules()
        for name in bounds_of(module)
        if name not in PAGE.get(module.name, [])
    ]
    assert not missing, "\n".join(["not in docs/limits.rst:", *missing])


@pytest.mark.parametrize("module", PAGE)
def test_every_row_has_a_value_and_a_reason(module: str) -> None:
    for limit in limits_of(module, PAGE[module]):
        assert limit.value
        assert limit.reason


def test_constants_below_one_comment_share_its_reason() -> None:
    source = "#: Both ways,\n#: for one reason.\nA: Final = 1\nB: Final = 2\n\nC: Final = 3\n"
    assert reasons_in(source) == {
        "A": "Both ways, for one reason.",
        "B": "Both ways, for one reason.",
        "C": "",
    }
    assert reasons_in("#: one\nA = 1\n#: two\nB = 2\n") == {"A": "one", "B": "two"}


def test_values_have_the_unit_that_the_name_speaks_of() -> None:
    assert readable("MAX_BYTES", 4 << 20) == "4 MiB"
    assert readable("MAX_FRAME_PAYLOAD", 65_507) == "65,507 bytes"
    assert readable("PING_TIMEOUT", 10.0) == "10 s"
    assert readable("MAX_STREAMS", 1000) == "1,000"
