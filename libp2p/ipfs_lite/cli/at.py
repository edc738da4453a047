"""What every command is told: the repo, the time limit, and how to print."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec

from libp2p.ipfs_lite.cli.ending import run_to_an_end
from libp2p.ipfs_lite.cli.terminal import say, say_json
from libp2p.ipfs_lite.config import default_repo_path

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class At:
    """The repo, if it was named, the time limit in seconds, and whether JSON is printed."""

    named_repo: Path | None
    timeout: float | None
    as_json: bool

    @property
    def repo(self) -> Path:
        return default_repo_path() if self.named_repo is None else self.named_repo

    def run(
        self,
        work: Callable[Concatenate[At, P], Awaitable[None]],
        *args: P.args,
        **options: P.kwargs,
    ) -> None:
        """Run ``work``, with this as its first argument, to its end or to the time limit."""
        run_to_an_end(partial(work, self, *args, **options), self.timeout)

    async def say(self, values: Mapping[str, object], *lines: str, needed: bool = True) -> None:
        """
        Print an object if it is to be JSON, else lines.

        :param needed: see `say`.
        """
        if self.as_json:
            return await say_json(values, needed=needed)
        for line in lines:
            await say(line, needed=needed)
