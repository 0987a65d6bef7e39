"""Who runs, who waits, and whose turn is next: the limits of answers at once, and a fair line before them.

The line is one of start-time fair queueing: each question of a client comes a round after that client's last
one, also where that was answered while others waited, and no round begins before that of whoever ran last. So
nobody waits for all that another one asks.
Pure; whoever calls holds the relay's lock. Used by relay.py only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from app.errors import Overloaded, TooMany
from app.relay.generation import Generation

# Of the line, one client may take this part: whoever asks 200 times must not keep all others out.
SHARE = 10
# Seconds after which who was turned away may ask again.
RETRY_AFTER = 5.0

Key = TypeVar("Key")
Generations = dict[str, Generation]


@dataclass(frozen=True)
class Bounds:
    """How many answers: at once in this process, and for one client; waiting for that; remembered by ids."""

    worker: int = 500
    client: int = 3
    waiting: int = 200
    known: int = 100_000


class Places:
    """Answers by id, each list in the order of arrival.

    Who has ended takes no place any more, also where its thread has not left yet: who is told of an end may
    ask again at once.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.running: Generations = {}
        self.waiting: Generations = {}
        self._of_client: dict[str, Generations] = {}  # those that run
        self._talks: dict[tuple[str, str], Generations] = {}  # those that run or wait in a conversation
        self._round = 0  # of whoever began last
        self._rounds: dict[str, dict[str, int]] = {}  # of all that a client has here
        self._served: dict[str, int] = {}  # the last round of clients that had a turn while others wait

    def __len__(self) -> int:
        return len(self.running) + len(self.waiting)

    def all(self) -> list[Generation]:
        return [*self.running.values(), *self.waiting.values()]

    def talk(self, client_id: str, conversation_id: str) -> list[Generation]:
        """What runs or waits in a client's conversation."""
        known = self._talks.get((client_id, conversation_id), {})
        return [generation for generation in known.values() if not generation.over]

    def enter(self, generation: Generation) -> bool:
        """Takes it in; whether it may run at once. Raises TooMany or Overloaded where the line is full."""
        asked = generation.question
        self._give_round(generation)
        talk = self._talks.setdefault((asked.client_id, asked.conversation_id), {})
        talk[generation.id] = generation
        # Who has ended and not left yet makes room for those in line first: it is told to them as it leaves.
        if self._may_run(generation) and not any(map(self._may_run, self.waiting.values())):
            self._run(generation)
            return True
        try:
            self._check_line(asked.client_id)
        except BaseException:
            self._forget(generation)
            raise
        self.waiting[generation.id] = generation
        return False

    def leave(self, generation: Generation) -> list[Generation]:
        """Forgets it, whether it ran or waited; those whose turn it is now are among the running."""
        self._forget(generation)
        return self.due()

    def _forget(self, generation: Generation) -> None:
        asked = generation.question
        self.waiting.pop(generation.id, None)
        if self.running.pop(generation.id, None) and self.waiting:
            self._served[asked.client_id] = max(generation.round, self._served.get(asked.client_id, 0))
        elif not self.waiting:
            self._served.clear()
        _drop(self._of_client, asked.client_id, generation.id)
        _drop(self._rounds, asked.client_id, generation.id)
        _drop(self._talks, (asked.client_id, asked.conversation_id), generation.id)

    def line(self) -> list[Generation]:
        """Those who wait, in the order in which it will be their turn: by round, then by arrival."""
        return sorted(self.waiting.values(), key=lambda generation: generation.round)

    def _give_round(self, generation: Generation) -> None:
        rounds = self._rounds.setdefault(generation.question.client_id, {})
        last = max([*rounds.values(), self._served.get(generation.question.client_id, -1)])
        generation.round = max(self._round, 1 + last)
        rounds[generation.id] = generation.round

    def due(self) -> list[Generation]:
        """Those whose turn it is; they are among the running from here on."""
        due = []
        for generation in self.line():
            if self._may_run(generation):
                self._run(generation)
                due.append(generation)
        return due

    def _may_run(self, generation: Generation) -> bool:
        """Where process, client and conversation have room. Who doesn't fit keeps nobody behind it back."""
        asked = generation.question
        own = self._of_client.get(asked.client_id, {})
        talk = self.talk(asked.client_id, asked.conversation_id)
        return (
            len(self.running) < self._bounds.worker
            and sum(not known.over for known in own.values()) < self._bounds.client
            and talk[:1] == [generation]
        )

    def _run(self, generation: Generation) -> None:
        if generation.round > self._round:
            self._round = generation.round
            self._served = {c: r for c, r in self._served.items() if r >= self._round}
        self.waiting.pop(generation.id, None)
        self.running[generation.id] = generation
        self._of_client.setdefault(generation.question.client_id, {})[generation.id] = generation

    def _check_line(self, client_id: str) -> None:
        most = max(1, self._bounds.waiting // SHARE)
        if sum(waiting.question.client_id == client_id for waiting in self.waiting.values()) >= most:
            raise TooMany(f"{most} questions of this client are waiting", retry_after=RETRY_AFTER)
        if len(self.waiting) >= self._bounds.waiting:
            raise Overloaded("Too many questions are waiting", retry_after=RETRY_AFTER)


def _drop(by_key: dict[Key, dict[str, Any]], key: Key, generation_id: str) -> None:
    if key in by_key:
        by_key[key].pop(generation_id, None)
        if not by_key[key]:
            del by_key[key]
