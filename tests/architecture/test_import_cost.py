"""`import libp2p` is quick because it loads little, and it changes nothing in the program."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

NOT_NEEDED = {
    "aioquic", "click", "fsspec", "httpx", "libp2p.ipfs_lite", "lmdb", "OpenSSL", "platformdirs",
    "prometheus_client", "pytest", "requests", "rich", "sphinx", "zeroconf",
}  # fmt: skip
"""Extras, tools and upper layers: whoever wants them imports them."""

_PROBE = """
import json, logging, signal, sys, threading, warnings
root = logging.getLogger()
before = (root.level, list(root.handlers), list(warnings.filters), signal.getsignal(signal.SIGINT))
{statement}
after = (root.level, list(root.handlers), list(warnings.filters), signal.getsignal(signal.SIGINT))
handlers = [
    f"{{name}}: {{handler}}"
    for name, logger in logging.root.manager.loggerDict.items()
    if name.partition(".")[0] == "libp2p" and isinstance(logger, logging.Logger)
    for handler in logger.handlers
    if not isinstance(handler, logging.NullHandler)
]
print(json.dumps({{
    "modules": list(sys.modules),
    "unchanged": before == after,
    "handlers": handlers,
    "threads": threading.active_count(),
}}))
"""


def probe(statement: str) -> dict[str, Any]:
    """What a fresh interpreter looks like after one import statement."""
    done = subprocess.run(
        [sys.executable, "-bb", "-c", _PROBE.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    ["import libp2p", "from libp2p import new_host", "import libp2p.bitswap, libp2p.host.ping"],
)
def test_importing_loads_no_extra_and_changes_nothing(statement: str) -> None:
    found = probe(statement)
    assert NOT_NEEDED & set(found["modules"]) == set()
    assert found["unchanged"]
    assert found["handlers"] == []
    assert found["threads"] == 1


@pytest.mark.slow
def test_content_addressing_loads_no_network() -> None:
    loaded = set(probe("import libp2p.ipld.cid, libp2p.ipld.importer")["modules"])
    assert {"trio", "libp2p.network", "libp2p.host"} & loaded == set()
