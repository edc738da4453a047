"""`import libp2p` is quick because it loads little; so is a command that needs little."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

NOT_NEEDED = {
    "aioquic", "click", "fsspec", "httpx", "libp2p.ipfs_lite", "lmdb", "OpenSSL", "platformdirs",
    "prometheus_client", "pytest", "requests", "rich", "sphinx", "zeroconf",
}  # fmt: skip
"""Extras, tools and upper layers: whoever wants them imports them."""

ID_LOADS = {
    "click", "nacl", "trio",
    "libp2p.base_types", "libp2p.bitswap.errors", "libp2p.crypto.ed25519", "libp2p.crypto.keys",
    "libp2p.encoding_config",
    "libp2p.crypto.serialization", "libp2p.exceptions", "libp2p.hostile_input", "libp2p.io.utils",
    "libp2p.ipfs_lite.cli.at", "libp2p.ipfs_lite.cli.commands", "libp2p.ipfs_lite.cli.ending",
    "libp2p.ipfs_lite.cli.entry", "libp2p.ipfs_lite.cli.identity",
    "libp2p.ipfs_lite.cli.options", "libp2p.ipfs_lite.cli.parameters",
    "libp2p.ipfs_lite.cli.lazy_group", "libp2p.ipfs_lite.cli.terminal",
    "libp2p.ipfs_lite.config",
    "libp2p.ipfs_lite.descriptors", "libp2p.ipfs_lite.errors", "libp2p.utils.file_locks",
    "libp2p.ipfs_lite.output", "libp2p.ipfs_lite.repo", "libp2p.ipld.multibase",
    "libp2p.ipld.profile_names", "libp2p.ipld.protowire", "libp2p.peer.id",
    "libp2p.utils.arguments", "libp2p.utils.lazy", "libp2p.utils.logs", "libp2p.utils.owner_files",
    "libp2p.utils.printable", "libp2p.utils.shown", "libp2p.utils.varint", "libp2p.utils.version",
    "libp2p.utils.writing",
}  # fmt: skip
"""What ``ipfs-lite id`` loads: modules of the library (packages aside), packages of others."""

ID = """
import sys
sys.argv = ["ipfs-lite", "--repo", {repo!r}, "id"]
from libp2p.ipfs_lite.cli import main
main()
"""

MOST_TIMES_TRIO = 1.6
"""The time of ``ipfs-lite id`` beside that of ``import trio``, which it cannot do without."""


def loaded_by(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded at the end of a program."""
    code = f"import atexit, sys\natexit.register(lambda: print(*sys.modules))\n{code}"
    done = subprocess.run(
        [sys.executable, "-bb", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    ["import libp2p", "from libp2p import new_host", "import libp2p.bitswap, libp2p.host.ping"],
)
def test_importing_loads_no_extra(statement: str) -> None:
    assert NOT_NEEDED & loaded_by(statement) == set()


@pytest.mark.slow
def test_a_package_loads_what_is_used() -> None:
    assert "libp2p.bitswap.client" not in loaded_by("import libp2p.bitswap.errors")
    assert "trio" not in loaded_by("from libp2p.bitswap import BitswapError")


@pytest.mark.slow
def test_content_addressing_loads_no_network() -> None:
    loaded = loaded_by("import libp2p.ipld.cid, libp2p.ipld.importer")
    assert {"trio", "libp2p.network", "libp2p.host"} & loaded == set()


@pytest.fixture
def show_id(tmp_path: Path) -> str:
    """Return a program that prints the id of a repo that is there."""
    code = ID.format(repo=str(tmp_path / "repo"))
    loaded_by(code)
    return code


@pytest.mark.slow
def test_printing_the_id_loads_what_it_needs(show_id: str) -> None:
    before = loaded_by("import trio, click, nacl.signing, json, secrets, base64")
    new = loaded_by(show_id) - before
    packages = {name.rpartition(".")[0] for name in new if name.startswith("libp2p.")}
    ours = {name for name in new if name.startswith("libp2p.")} - packages
    assert ours - ID_LOADS == set()
    others = {name.partition(".")[0] for name in new} - sys.stdlib_module_names
    assert others - ID_LOADS - {"libp2p"} == set()


def cpu_seconds(code: str, compiled: Path) -> float:
    """Return the processor time of a program; ``compiled`` keeps what its modules compile to."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.slow
@pytest.mark.timed
def test_printing_the_id_takes_little_more_than_loading_trio(show_id: str, tmp_path: Path) -> None:
    programs = (show_id, "import trio")
    pairs = [[cpu_seconds(program, tmp_path) for program in programs] for _ in range(8)]
    ours, trio = map(min, zip(*pairs, strict=True))
    assert ours <= MOST_TIMES_TRIO * trio
