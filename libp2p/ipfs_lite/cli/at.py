"""The repo and the time limit of a command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from libp2p.ipfs_lite.cli.ending import run_to_an_end
from libp2p.ipfs_lite.config import default_repo_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True, slots=True)
class At:
    """The repo, if it was named, and the time limit in seconds."""

    named_repo: Path | None
    timeout: float | None

    @property
    def repo(self) -> Path:
        return default_repo_path() if self.named_repo is None else self.named_repo

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        run_to_an_end(work, self.timeout)
