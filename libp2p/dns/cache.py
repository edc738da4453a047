"""Answers by name, for as long as their TTL says (sans-I/O)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name has: the texts of its TXT records, or its IP addresses; or why nobody knows."""

    values: tuple[str, ...]
    expires_at: float
    failure: str = ""


class AnswerCache:
    """Answers by key; at most ``limit`` of them, those that expire last."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._answers: dict[Hashable, Answer] = {}
        self._order: list[tuple[float, int, Hashable]] = []  # a heap
        self._serial = count()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: Hashable, now: float) -> Answer | None:
        """Return an answer that has not expired."""
        answer = self._answers.get(key)
        return answer if answer is not None and answer.expires_at > now else None

    def put(self, key: Hashable, answer: Answer, now: float) -> None:
        """Remember an answer."""
        self._answers[key] = answer
        heappush(self._order, (answer.expires_at, next(self._serial), key))
        while self._order and (len(self._answers) > self._limit or self._order[0][0] <= now):
            expires_at, _, first = heappop(self._order)
            stored = self._answers.get(first)
            if stored is not None and stored.expires_at == expires_at:
                del self._answers[first]
        if len(self._order) > 2 * self._limit:  # of answers that were replaced
            live = self._answers.items()
            self._order = [(a.expires_at, next(self._serial), key) for key, a in live]
            heapify(self._order)
