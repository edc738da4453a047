"""Sphinx's settings; `make docs` builds the pages with warnings as errors."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from docs.limit_reasons import limits_of  # noqa: E402 - found through the path above

project = "libp2p"
author = "The libp2p for Python authors"
release = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "version"
]

extensions = ["sphinx.ext.autodoc"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
default_role = "literal"  # what docstrings have in single backticks is code
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"libp2p {release}"
nitpicky = True
# Two packages may each have a class of one name, and annotations name it without its package.
suppress_warnings = ["ref.python"]
# Types in signatures are named as the code names them; most have no page of their own.
nitpick_ignore_regex = [("py:.*", ".*")]


class Limits(SphinxDirective):
    """``.. limits:: MODULE`` with names of constants below it: a table of values and reasons."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[Node]:
        """Write the table as reStructuredText, so that reasons may use its markup."""
        names = " ".join(self.content).split()
        lines = [f"``{self.arguments[0]}``", "", ".. list-table::", "   :header-rows: 1"]
        lines += ["   :widths: 32 12 56", "", "   * - Constant", "     - Value", "     - Why"]
        try:
            limits = limits_of(self.arguments[0], names)
        except LookupError as error:
            raise self.error(str(error)) from None
        for limit in limits:
            reason = limit.reason.replace("`", "``").replace("````", "``")
            lines += [f"   * - ``{limit.name}``", f"     - {limit.value}", f"     - {reason}"]
        return self.parse_text_to_nodes(StringList(lines, self.get_source_info()[0]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known."""
    app.add_directive("limits", Limits)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
