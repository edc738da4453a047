"""
Five lines each, in fresh virtual environments that have this package and what the lines import.

``make nightly`` runs it: pip takes a minute for each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: For one environment: pip, and the lines.
SECONDS = 900

pytestmark = [
    pytest.mark.skipif(not os.environ.get("NIGHTLY"), reason="pip takes minutes: NIGHTLY=1"),
    pytest.mark.timeout(SECONDS),
]


class Case(NamedTuple):
    packages: tuple[str, ...]
    lines: str
    extra: str = ""
    """Of this package."""


CASES = {
    "sync": Case(
        (),
        """
from libp2p.ipfs_lite import sync

cid = sync.add(b"hello")
print(sync.get(cid))
""",
    ),
    "aio": Case(
        (),
        """
import asyncio
from libp2p.ipfs_lite import aio

async def main():
    print(await aio.get(await aio.add(b"hello")))

asyncio.run(main())
""",
    ),
    "pandas, csv": Case(
        ("pandas",),
        """
import pandas

pandas.DataFrame({"word": [b"hello"]}).to_csv("ipfs://table.csv", index=False)
print(pandas.read_csv("ipfs://table.csv").word[0])
""",
        "fs",
    ),
    "pandas, parquet": Case(
        ("pandas", "pyarrow"),
        """
import pandas

pandas.DataFrame({"word": [b"hello"], "other": [1]}).to_parquet("ipfs://table.parquet")
print(pandas.read_parquet("ipfs://table.parquet", columns=["word"]).word[0])
""",
        "fs",
    ),
    "zarr 3": Case(
        ("zarr>=3",),
        """
import zarr

written = zarr.create_array("ipfs://cube", shape=(5,), chunks=(2,), dtype="S1")
written[:] = [b"h", b"e", b"l", b"l", b"o"]
print(b"".join(zarr.open_array("ipfs://cube", mode="r")[:]))
""",
        "fs",
    ),
    "a notebook's kernel": Case(
        ("nbclient", "ipykernel"),
        """
import nbclient, nbformat

cells = ["from libp2p.ipfs_lite import aio", "cid = await aio.add(b'hello')", "await aio.get(cid)"]
book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
print(nbclient.NotebookClient(book).execute().cells[-1].outputs[0].data["text/plain"])
""",
    ),
}


def run(*command: object, folder: Path) -> str:
    """Run a program that sees nothing of this checkout; return what it prints."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**env, "IPFS_LITE_PATH": str(folder / "repo")},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This package, as pip installs it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir")
    run(*pip, folder, ROOT, folder=folder)
    [made] = folder.glob("*.whl")
    return made


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_five_lines_do_it(case: Case, wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    extra = f"[{case.extra}]" if case.extra else ""
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, f"libp2p{extra} @ {wheel.as_uri()}", *case.packages, folder=tmp_path)
    (tmp_path / "lines.py").write_text(case.lines, encoding="utf-8")
    assert run(python, "lines.py", folder=tmp_path) == "b'hello'"
