"""Each code block of each page is run by a test, or says why not; every name has a reference."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

from libp2p import exceptions
from libp2p.bitswap import errors as bitswap_errors
from libp2p.exceptions import BaseLibp2pError
from libp2p.ipfs_lite import errors as peer_errors
from tests.support.pages import PAGES, ROOT, Block, blocks_of

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
DOCS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
ALL_DOCS = "\n".join(DOCS.values())

RUN_ELSEWHERE = {"libp2p.bitswap.rst": "tests/integration/test_docs_bitswap.py"}
"""Pages whose Python is run by a test of their own."""
NOT_RUN = re.compile(
    r"make( [\w\"=. ]+)?\Z|\.venv/bin/python -m bench\.run"
    r"|(INTEROP_REQUIRED=1 )?\.venv/bin/python -bb -m pytest tests/"
    r"|LIBP2P_BLOCK_STORE=\S+ python -m pytest tests/conformance/"
    r"|python -m (pip install '?grpcio|grpc_tools)"
)
"""Commands that a page may show and no test runs."""
DIRECTIVE = re.compile(r"^\.\. auto(?:class|function|module):: (\S+)", re.MULTILINE)


def how(block: Block) -> str:
    """Who looks at a block; empty if nobody does."""
    match block.kind, block.mark.partition(":")[0].partition(" of ")[0]:
        case "python", name if name.startswith("examples/") and block.page == "README.md":
            return "tests/architecture/test_readme.py"
        case "python", "":
            return RUN_ELSEWHERE.get(block.page, "")
        case "console", "" | "on another machine":
            return "tests/integration/test_pages.py"
        case "console", "not run":
            commands = [command.line.partition("  #")[0].strip() for command in block.commands()]
            return "nobody has to" if all(map(NOT_RUN.match, commands)) else ""
        case "text", "picture":
            return "nobody has to"
        case "text", "output":
            return "tests/integration/test_pages.py"
    return ""


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    assert how(block), (
        f"{block.page}:{block.line}: run it, or put a comment before it; {block.mark}"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_found(page: Path) -> None:
    text = DOCS[page.name]
    fences = text.count("```") // 2
    assert len(blocks_of(page)) == (fences or text.count(".. code-block::"))
    if page.suffix == ".rst":
        assert not re.search(r"^(?!\.\.).*::$", text, re.MULTILINE), "write code-block:: text"


def test_make_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:``|`|\$ )make ([a-z-]+)", ALL_DOCS)
    assert named
    assert set(named) <= targets


def test_literal_includes_are_of_files_that_tests_run() -> None:
    included = set(re.findall(r"literalinclude:: \.\./(\S+)", ALL_DOCS))
    assert all((ROOT / name).is_file() for name in included)
    assert {name for name in included if not name.startswith("libp2p/")} == {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").rglob("*.py")
    }


def test_every_name_that_is_shown_has_a_reference() -> None:
    documented: set[int] = set()
    for name in DIRECTIVE.findall(ALL_DOCS):
        documented |= {id(value) for value in members_of(name)}
    sources = [block.text for block in BLOCKS if block.kind == "python"]
    sources += [path.read_text() for path in (ROOT / "examples").rglob("*.py")]
    missing: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source, mode="exec")):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("libp2p"):
                for alias in node.names:
                    value = getattr(importlib.import_module(node.module or ""), alias.name)
                    if id(value) not in documented and alias.name not in PLAIN_TYPES:
                        missing.add(f"{node.module}.{alias.name}")
    assert missing == set()


PLAIN_TYPES = {"TProtocol", "CIDInput", "Buffer"}
"""Names for types; the pages say what they stand for where they are used."""


def members_of(name: str) -> list[object]:
    """What a directive documents: an object, or all that a module defines."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        module_name, _, attribute = name.rpartition(".")
        return [getattr(importlib.import_module(module_name), attribute)]
    return [
        value
        for value in vars(module).values()
        if getattr(value, "__module__", None) == module.__name__
    ]


def test_the_overview_names_every_error() -> None:
    classes = {
        name
        for module in (exceptions, bitswap_errors, peer_errors)
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, BaseLibp2pError) and name[0] != "_"
    }
    overview = DOCS["errors.rst"].partition("\nReference\n")[0]
    assert classes - set(re.findall(r"``(?:libp2p\.exceptions\.)?(\w+)``", overview)) == set()
