"""The clocks of an answer: how long each silence may last, and which clock rang.

Pure. A model may think for minutes, so the clocks are separate: comments prove a connection, not an answer.
"""

from __future__ import annotations

from dataclasses import dataclass

# After the last word an upstream may still send its usage; it is not waited for longer than this.
AFTERWORD = 2.0
FINISHED = "finished"

# What the event `error` tells people, by the clock that rang.
SENTENCES = {
    "timeout_first": "The model said nothing for too long",
    "timeout_content": "The model fell silent in the middle of its answer",
    "timeout_bytes": "The connection to the model went dead",
    "timeout_total": "The answer took longer than is allowed",
    "busy": "The server had no room for the question in time",
    "interrupted": "The server was restarted before the answer was whole",
}


@dataclass(frozen=True)
class Allowed:
    """Seconds each clock allows; defaults and reasons in app/settings.py."""

    first: float = 300.0
    content: float = 120.0
    bytes: float = 300.0
    total: float = 1800.0
    waiting: float = 300.0


class Clocks:
    """The clocks of one answer; `rang` names the first that ran out, "" for none.

    `said`: when its last text came, None before the first. That bytes arrive is told by their count, so that
    nothing has to be done for each piece.
    """

    def __init__(self, allowed: Allowed, now: float) -> None:
        self._allowed = allowed
        self.begin(now)

    def begin(self, now: float) -> None:
        """Its turn has come: the time in line counts for no clock but that of the line."""
        self._began = now
        self.attempt(now)

    def attempt(self, now: float) -> None:
        """A try begins: all but the total start anew."""
        self._tried = self._byte = now
        self._pieces = 0
        self.said: float | None = None
        self._finished: float | None = None

    def finish(self, now: float) -> None:
        self._finished = now

    def heard(self, pieces: int, now: float) -> None:
        """So many pieces have arrived by now."""
        if pieces != self._pieces:
            self._pieces, self._byte = pieces, now

    def rang(self, now: float) -> str:
        """The code of the event `error`, or `finished` where only the afterword is missing."""
        allowed = self._allowed
        if self._finished is not None:
            return FINISHED if now - self._finished > AFTERWORD else ""
        if now - self._began > allowed.total:
            return "timeout_total"
        if self.said is None and now - self._tried > allowed.first:
            return "timeout_first"
        if self.said is not None and now - self.said > allowed.content:
            return "timeout_content"
        return "timeout_bytes" if now - self._byte > allowed.bytes else ""
