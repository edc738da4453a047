"""Where a command works, and how long it may take."""

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
    """Where the repo is, if that was said, and how many seconds there are."""

    named_repo: Path | None
    timeout: float | None

    @property
    def repo(self) -> Path:
        return default_repo_path() if self.named_repo is None else self.named_repo

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        run_to_an_end(work, self.timeout)
