"""The README shows programs that exist, and files that exist."""

from __future__ import annotations

import re

from tests.architecture.source_tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAM = re.compile(r"<!-- (examples/\w+\.py) -->\n```python\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)]+)\)")
LONGEST_EXAMPLE = 80


def test_the_readme_shows_the_examples_as_they_are() -> None:
    shown = PROGRAM.findall(README)
    assert len(shown) == 3
    for name, program in shown:
        _, _, source = (ROOT / name).read_text(encoding="utf-8").partition("annotations\n\n")
        assert program == source, f"copy {name} from its first import on into README.md"


def test_the_first_commands_show_it_and_test_it() -> None:
    commands = re.findall(r"^\$ (make \w+)", README, re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]


def test_links_lead_to_files() -> None:
    assert [link for link in LINK.findall(README) if not (ROOT / link).is_file()] == []


def test_examples_are_short() -> None:
    for path in (ROOT / "examples").glob("*.py"):
        assert path.read_text(encoding="utf-8").count("\n") < LONGEST_EXAMPLE, path.name
