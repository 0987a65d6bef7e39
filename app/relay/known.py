"""Which answers are known by their ids: those that run, and for ten minutes those that have ended.

Pure; whoever calls holds the relay's lock. Used by relay.py only.
"""

from __future__ import annotations

from collections import deque

from app.errors import Conflict, NotFound, Overloaded
from app.relay.generation import Generation, Question

# Seconds that an ended answer's id is remembered: that long the same POST is the same answer.
MEMORY = 600.0


class Known:
    """Answers by id; `texts` are the bytes of those that have ended."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_id: dict[str, Generation] = {}
        self._ended: deque[Generation] = deque()  # in the order in which they will be forgotten
        self.texts = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def same(self, question: Question) -> Generation | None:
        """The answer that has the id of `question`. Raises Conflict where that asked something else."""
        known = self._by_id.get(question.generation_id)
        if known and known.question.fingerprint != question.fingerprint:
            raise Conflict("This generationId belongs to another question", field="generationId")
        return known

    def get(self, generation_id: str) -> Generation:
        """Raises NotFound."""
        generation = self._by_id.get(generation_id)
        if generation is None:
            raise NotFound(f"No answer {generation_id} is known here", field="generationId")
        return generation

    def check_room(self) -> None:
        """Raises Overloaded: to forget an id early could answer the same question twice."""
        if len(self._by_id) >= self._most:
            raise Overloaded("Too many answers of the last minutes are remembered", retry_after=60)

    def claim(self, generation: Generation) -> None:
        self._by_id[generation.id] = generation

    def drop(self, generation: Generation) -> None:
        """It never was."""
        self._by_id.pop(generation.id, None)

    def ended(self, generation: Generation) -> None:
        """From now on it is only remembered."""
        self._ended.append(generation)
        self.texts += generation.size

    def forget(self, now: float) -> None:
        """Lets go of those that ended longer ago than MEMORY."""
        while self._ended and (self._ended[0].ended_at or 0.0) < now - MEMORY:
            generation = self._ended.popleft()
            self.texts -= generation.size
            self._by_id.pop(generation.id, None)
