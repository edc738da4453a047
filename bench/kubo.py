"""Rows beside Kubo: fetching a file from it, adding one, and reading one that is here."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import check_output

from bench.contestants import KUBO, OURS, ROOT, Cost, NotHere, ipfs_lite, run
from bench.row import Budget, Row, Sample
from tests.interop.build_peers import find_peer
from tests.interop.child import JsonChild
from tests.interop.kubo import Kubo
from tests.interop.trees import write_large_tree

KUBO_PIN = "kubo, pin add"
"""Into its repository only, without writing the file."""
UNVERIFIED = "ours, --no-verify"

SMALL_MIB = 96
"""100 MB."""
_PIECE = 1 << 20


def make_file(path: Path, mib: int) -> str:
    """Write `mib` MiB of reproducible noise; its SHA-256."""
    source, digest = random.Random(mib), hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(mib):
            piece = source.randbytes(_PIECE)
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _row_folder(stack: ExitStack) -> Path:
    """Return a folder that the run removes at its end; its files are emptied after the row."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    stack.callback(_empty, folder)
    return folder


def _empty(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.truncate(path, 0)


@dataclass
class _KuboRow(Row):
    """A file of `mib` MiB, and a scratch folder for each measurement."""

    mib: int
    contestants: tuple[str, ...] = (OURS, KUBO)
    unit: str = "MB/s"
    _folder: Path = field(init=False)
    _sha256: str = field(init=False)

    def prepare(self, stack: ExitStack) -> None:
        if find_peer("kubo") is None:
            raise NotHere("Kubo is not built: run make interop-peers")
        self._folder = _row_folder(stack)
        self._sha256 = make_file(self._file, self.mib)

    @property
    def _file(self) -> Path:
        return self._folder / "file"

    def _scratch(self) -> Path:
        """
        Return a new folder, with nothing left to be written back by whoever was measured before.

        Nothing is removed before the end of the run. A file system that has just freed thousands of
        files takes several times as long to make new ones, which would be charged to the next.
        """
        os.sync()
        return Path(tempfile.mkdtemp(dir=self._folder))

    def _rate(self, seconds: float) -> float:
        return self.mib * 2**20 / seconds / 1e6


@dataclass
class Fetch(_KuboRow):
    """A file from a Kubo daemon into the repository and to disk, by peers that are connected."""

    name: str = "fetch"
    contestants: tuple[str, ...] = (OURS, KUBO, KUBO_PIN)
    budgets: tuple[Budget, ...] = (Budget(OURS, KUBO, 2.5),)
    peak_budget_mib: float | None = 110
    _provider: Kubo = field(init=False)
    _cid: str = field(init=False)

    def __post_init__(self) -> None:
        self.title = f"{self.mib} MiB from Kubo to disk, 256 KiB chunks (CPU: fetcher + provider)"

    def prepare(self, stack: ExitStack) -> None:
        super().prepare(stack)
        self._provider = stack.enter_context(Kubo(repo=self._folder / "provider"))
        self._cid = self._provider.add(self._file, "--chunker=size-262144")

    def measure(self, contestant: str) -> Sample:
        before = self._provider.cpu_seconds()
        scratch = self._scratch()
        output = scratch / "out"
        if contestant in (KUBO, KUBO_PIN):
            seconds, cpu, peak = self._kubo(scratch, output if contestant == KUBO else None)
        else:
            seconds, cpu, peak = self._ours(scratch, output)
        if contestant != KUBO_PIN and sha256_of(output) != self._sha256:
            raise RuntimeError(f"{contestant} fetched other bytes")
        cost = self._provider.cpu_seconds() - before
        return Sample(self._rate(seconds), (cpu, cost), peak)

    def _ours(self, scratch: Path, output: Path) -> tuple[float, float, int]:
        script = ROOT / "bench" / "lite_peer.py"
        environment = {"PYTHONPATH": str(ROOT)}
        with JsonChild([sys.executable, script, scratch / "repo"], env=environment) as fetcher:
            fetcher.request("connect", addr=self._provider.addr, timeout=60)
            found = fetcher.request("get", cid=self._cid, output=str(output), timeout=600)
            return found["seconds"], found["cpu_seconds"], fetcher.rss_bytes()

    def _kubo(self, scratch: Path, output: Path | None) -> tuple[float, float, int]:
        with Kubo(repo=scratch / "repo") as fetcher:
            fetcher.swarm_connect(self._provider.addr)
            before, start = fetcher.cpu_seconds(), time.perf_counter()
            if output is None:
                fetcher.run("pin", "add", self._cid, timeout=None)
            else:
                fetcher.get(self._cid, output)
            seconds = time.perf_counter() - start
            return seconds, fetcher.cpu_seconds() - before, fetcher.rss_bytes()


@dataclass
class Command(_KuboRow):
    """
    A command that fetches a file from a Kubo daemon, from its start to its end, seen from outside.

    Ours is one process: imports, keys, connecting and all. Kubo's is the command line and the
    daemon behind it, which runs already and is connected; the processor time is that of both.
    """

    name: str = "get"
    """The row is called as the command is: ``get`` to disk, or ``cat`` to nowhere."""
    nocopy: bool = False
    ratio: float = 2.0
    cpu_seconds_per_gib: float = 9.0
    peak_budget_mib: float | None = 110
    _provider: Kubo = field(init=False)
    _cid: str = field(init=False)

    def __post_init__(self) -> None:
        place = "nowhere" if self.name == "cat" else "disk"
        option = " --nocopy" if self.nocopy else ""
        self.title = (
            f"{self._verb}{option} {self.mib} MiB from Kubo to {place} (CPU: command + provider)"
        )
        self.budgets = (Budget(OURS, KUBO, self.ratio),)
        self.cpu_budget_seconds = self.cpu_seconds_per_gib * self.mib / 1024

    @property
    def _verb(self) -> str:
        return "cat" if self.name == "cat" else "get"

    def prepare(self, stack: ExitStack) -> None:
        super().prepare(stack)
        self._provider = stack.enter_context(Kubo(repo=self._folder / "provider"))
        raw = ["--raw-leaves"] if self.nocopy else []
        self._cid = self._provider.add(self._file, "--chunker=size-262144", *raw)

    def measure(self, contestant: str) -> Sample:
        before, scratch = self._provider.cpu_seconds(), self._scratch()
        output = scratch / "out"
        command = ["cat"] if self._verb == "cat" else ["get", "-o", str(output)]
        if contestant == OURS:
            command += ["--nocopy"] if self.nocopy else []
            peer = ["--peer", self._provider.addr]
            cost = run(ipfs_lite("--repo", scratch / "repo", *command, *peer, self._cid))
        else:
            cost = self._kubo(scratch, [*command, self._cid])
        if self._verb == "get" and sha256_of(output) != self._sha256:
            raise RuntimeError(f"{contestant} fetched other bytes")
        provided = self._provider.cpu_seconds() - before
        return Sample(self._rate(cost.seconds), (cost.cpu_seconds, provided), cost.peak_bytes)

    def _kubo(self, scratch: Path, command: list[str]) -> Cost:
        binary = find_peer("kubo")
        assert binary is not None
        with Kubo(repo=scratch / "repo") as fetcher:
            fetcher.swarm_connect(self._provider.addr)
            before = fetcher.cpu_seconds()
            cost = run([binary, "--repo-dir", fetcher.repo, *command])
            cpu = cost.cpu_seconds + fetcher.cpu_seconds() - before
            return Cost(cost.seconds, cpu, cost.peak_bytes + fetcher.rss_bytes())


@dataclass
class Add(_KuboRow):
    """A file into a fresh repository, or only hashed."""

    name: str = "add"
    only_hash: bool = False
    chunk_bytes: int = 2**20
    nocopy: bool = False
    """Ours writes no copy; Kubo is as it is by default."""
    budgets: tuple[Budget, ...] = (Budget(OURS, KUBO, 1.2),)
    peak_budget_mib: float | None = 110

    def __post_init__(self) -> None:
        kind = "hashed only (-n)" if self.only_hash else "added to disk"
        kind = "added without copying (--nocopy)" if self.nocopy else kind
        self.title = f"{self.mib} MiB {kind}, chunks of {self.chunk_bytes // 1024} KiB"

    def measure(self, contestant: str) -> Sample:
        flags = ["-Q", f"--chunker=size-{self.chunk_bytes}", "--cid-version=1", "--raw-leaves"]
        flags += ["-n"] if self.only_hash else []
        repo = self._scratch() / "repo"
        if contestant == OURS:
            flags += ["--nocopy"] if self.nocopy else []
            cost = run(ipfs_lite("--repo", repo, "add", *flags, self._file))
        else:
            binary = find_peer("kubo")
            assert binary is not None
            with Kubo(repo=repo, daemon=False):
                cost = run([binary, "--repo-dir", repo, "add", *flags, self._file])
        return Sample(self._rate(cost.seconds), (cost.cpu_seconds,), cost.peak_bytes)


@dataclass
class Tree(Row):
    """A folder of many files added to a fresh repository, or written out of one."""

    name: str
    files: int = 20_000
    contestants: tuple[str, ...] = (OURS, KUBO)
    unit: str = "files/s"
    budgets: tuple[Budget, ...] = (Budget(OURS, KUBO, 1.0),)
    peak_budget_mib: float | None = 110
    _folder: Path = field(init=False)
    _cid: str = field(init=False, default="")
    _repos: dict[str, Path] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        what = "added to disk" if self.name == "addtree" else "of the own repository to disk"
        self.title = f"a folder of {self.files:,} files, 150 folders and one of a quarter, {what}"

    def prepare(self, stack: ExitStack) -> None:
        if find_peer("kubo") is None:
            raise NotHere("Kubo is not built: run make interop-peers")
        self._folder = _row_folder(stack)
        write_large_tree(self._folder / "tree", self.files, self.files // 4)
        if self.name == "gettree":
            for contestant in self.contestants:
                self._add(contestant)

    def measure(self, contestant: str) -> Sample:
        os.sync()
        if self.name == "addtree":
            cost = self._add(contestant)
        else:
            # Folders stay until the end, for the reason that `_KuboRow._scratch` gives.
            output = Path(tempfile.mkdtemp(dir=self._folder)) / "out"
            cost = self._run(contestant, "get", "-o", str(output), self._cid)
        return Sample(self.files / cost.seconds, (cost.cpu_seconds,), cost.peak_bytes)

    def _add(self, contestant: str) -> Cost:
        repo = Path(tempfile.mkdtemp(dir=self._folder)) / "repo"
        self._repos[contestant] = repo
        add = ["add", "-r", "-Q", str(self._folder / "tree")]
        if contestant == OURS:
            cost = self._run(contestant, *add)
            only_hash = ipfs_lite("--repo", repo, *add, "-n")
            self._cid = check_output(only_hash, cwd=ROOT, text=True).strip()
            return cost
        with Kubo(repo=repo, daemon=False, profile="unixfs-v1-2025"):
            return self._run(contestant, *add)

    def _run(self, contestant: str, *command: str) -> Cost:
        repo = self._repos[contestant]
        if contestant == OURS:
            return run(ipfs_lite("--repo", repo, *command))
        binary = find_peer("kubo")
        assert binary is not None
        return run([binary, "--repo-dir", repo, *command])


@dataclass
class Read(_KuboRow):
    """A file out of the repository to nowhere, the whole command; its blocks are hashed or not."""

    name: str = "read"
    contestants: tuple[str, ...] = (OURS, UNVERIFIED, KUBO)
    # Kubo does not hash what it reads.
    budgets: tuple[Budget, ...] = (Budget(OURS, UNVERIFIED, 0.5),)
    peak_budget_mib: float | None = 110
    _repos: dict[str, tuple[Path, str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.title = f"{self.mib} MiB of the own repository, 1 MiB chunks"

    def prepare(self, stack: ExitStack) -> None:
        super().prepare(stack)
        repo = self._scratch() / "repo"
        add = ["add", "-Q", "--chunker=size-1048576", "--cid-version=1", "--raw-leaves"]
        cid = check_output(ipfs_lite("--repo", repo, *add, self._file), cwd=ROOT, text=True).strip()
        self._repos = {OURS: (repo, cid), UNVERIFIED: (repo, cid)}
        repo = self._scratch() / "repo"
        with Kubo(repo=repo, daemon=False) as kubo:
            self._repos[KUBO] = repo, kubo.add(self._file, *add[2:])

    def measure(self, contestant: str) -> Sample:
        repo, cid = self._repos[contestant]
        if contestant == KUBO:
            binary = find_peer("kubo")
            assert binary is not None
            cost = run([binary, "--repo-dir", repo, "cat", cid])
        else:
            flags = ["--no-verify"] if contestant == UNVERIFIED else []
            cost = run(ipfs_lite("--repo", repo, "cat", *flags, cid))
        return Sample(self._rate(cost.seconds), (cost.cpu_seconds,), cost.peak_bytes)


@dataclass
class Car(_KuboRow):
    """A CAR file of the own repository to disk, or one into a fresh repository: whole commands."""

    name: str = "carexport"
    """Or ``carimport``."""
    budgets: tuple[Budget, ...] = (Budget(OURS, KUBO, 1.0),)
    peak_budget_mib: float | None = 110
    _repos: dict[str, Path] = field(init=False, default_factory=dict)
    _cid: str = field(init=False)

    def __post_init__(self) -> None:
        self.title = f"{self.name.removeprefix('car')} of {self.mib} MiB, 256 KiB chunks"

    def prepare(self, stack: ExitStack) -> None:
        super().prepare(stack)
        add = ["add", "-Q", "--chunker=size-262144", "--cid-version=1", "--raw-leaves"]
        add.append("--max-file-links=174")
        with Kubo(repo=self._scratch() / "repo", daemon=False) as kubo:
            self._repos[KUBO] = kubo.repo
            self._cid = kubo.add(self._file, *add[2:])
        self._repos[OURS] = self._scratch() / "repo"
        check_output(ipfs_lite("--repo", self._repos[OURS], *add, self._file), cwd=ROOT)
        if self.name == "carimport":
            export = ("dag", "export", self._cid, "-o", self._car)
            check_output(ipfs_lite("--repo", self._repos[OURS], *export), cwd=ROOT)

    @property
    def _car(self) -> Path:
        return self._folder / "file.car"

    def measure(self, contestant: str) -> Sample:
        scratch = self._scratch()
        repo = self._repos[contestant] if self.name == "carexport" else scratch / "repo"
        verb = ["export", self._cid] if self.name == "carexport" else ["import", str(self._car)]
        if contestant == OURS:
            output = ["-o", str(scratch / "out")] if self.name == "carexport" else []
            cost = run(ipfs_lite("--repo", repo, "dag", *verb, *output))
        else:
            binary = find_peer("kubo")
            assert binary is not None
            if self.name == "carimport":
                with Kubo(repo=repo, daemon=False):
                    pass
            command = [str(binary), "--repo-dir", str(repo), "dag", *verb]
            if self.name == "carexport":  # it has no option for a file
                command = ["sh", "-c", 'exec "$@" > "$0"', str(scratch / "out"), *command]
            cost = run(command)
        if self.name == "carexport" and (scratch / "out").stat().st_size < self.mib << 20:
            raise RuntimeError(f"{contestant} has not written it whole")
        return Sample(self._rate(cost.seconds), (cost.cpu_seconds,), cost.peak_bytes)


def rows(mib: int) -> list[Row]:
    """The rows of this module; files have `mib` MiB."""
    return [
        Fetch(mib),
        Fetch(SMALL_MIB, name="fetch100"),
        Command(mib),
        Command(mib, name="getnocopy", nocopy=True, ratio=2.5),
        Command(mib, name="cat", ratio=2.2, cpu_seconds_per_gib=6.0),
        Add(mib),
        Add(mib, name="add256", chunk_bytes=2**18),
        Add(mib, name="hash", only_hash=True),
        Add(mib, name="addnocopy", nocopy=True, budgets=(Budget(OURS, KUBO, 2.0),)),
        Tree("addtree"),
        Tree("gettree"),
        Read(mib),
        Car(mib),
        Car(mib, name="carimport"),
    ]
