"""The code blocks of the README and of the pages in docs/, and what is to be done with each."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.rst"))]

_RST = re.compile(
    r"(?:^\.\. \((?P<mark>.+)\)\n\n)?"
    r"^\.\. code-block:: (?P<kind>\w+)\n(?: +:\w+:.*\n)*\n(?P<text>(?:[ \t]+\S.*\n|\n)+)",
    re.MULTILINE,
)
_MARKDOWN = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Command:
    """A line after ``$``, and the lines that it is said to print."""

    line: str
    output: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """A code block; ``mark`` is the comment before it, which says what it is."""

    page: str
    line: int
    kind: str
    text: str
    mark: str

    def commands(self) -> Iterator[Command]:
        """What is typed into a console. Lines of nothing but a comment are left out."""
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        command: Command | None = None
        for line in lines:
            if line.startswith("$ "):
                if command is not None:
                    yield command
                command = Command(line[2:])
            elif command is not None and line.strip() and not line.strip().startswith("#"):
                command.output.append(line)
        if command is not None:
            yield command


def blocks_of(page: Path) -> list[Block]:
    """All code blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page.name,
            text.count("\n", 0, found.start("kind")) + 1,
            found["kind"],
            textwrap.dedent(found["text"]).strip("\n"),
            found["mark"] or "",
        )
        for found in (_MARKDOWN if page.suffix == ".md" else _RST).finditer(text)
    ]
