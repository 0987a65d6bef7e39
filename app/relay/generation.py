"""One answer as a state machine: what was said so far, and the one terminal event it ends with.

    queued ──▶ running ──▶ done | error        refused: it never began

Pure but for its lock. The worker that reads the upstream is the only one that adds text; anyone may ask it
to stop; the first to end it wins. `_lock` guards `state` and with it the right to end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from app.errors import UpstreamError
from app.relay.clocks import Clocks
from app.relay.deltas import Message
from app.relay.line import Line

# What a token comes to where the upstream doesn't count: English text in most vocabularies.
CHARACTERS_PER_TOKEN = 4
# The states in which nothing more is to come.
OVER = frozenset({"done", "error", "refused"})

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """What an answer is asked for. `said` is the user's message; `fingerprint` tells whether a request with
    the same id asks the same; `upstream`: the only one to ask, "" for any. `on_cut`: keep, restart;
    `on_leave`: continue, cancel; `on_busy`, of what runs in the conversation: reject, queue, interrupt."""

    generation_id: str
    client_id: str
    conversation_id: str
    said: dict[str, Any]
    model: str = ""
    upstream: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    on_cut: str = "keep"
    on_leave: str = "continue"
    on_busy: str = "reject"


class Generation:
    """The state of one answer. Times are monotonic seconds."""

    def __init__(self, question: Question, upstream: str, model: str, clocks: Clocks, now: float) -> None:
        self.question, self.id = question, question.generation_id
        self.upstream, self.model = upstream, model
        self.messages: Messages = []  # all that the model is given
        self.prepare: Callable[[], Messages] | None = (
            None  # what gives them, where that must wait for its turn
        )
        self.clocks = clocks
        self.line = Line()
        self.state = "running"
        self.in_line = False  # whether it had to wait for its turn
        self.behind = False  # another answer of its conversation comes first
        self.position = 0  # in the line, from 1
        self.round = 0  # of the line, see places.py
        self.over = False  # takes no place any more: it has ended and is kept, or it never began
        self.attempt = 0
        self.seq = self.before = 0  # `before` this try
        self.size = 0
        self.message = Message()
        self.usage: dict[str, Any] = {}
        self.end: dict[str, Any] = {}
        self.last_event_id = ""
        self.stopping = ""
        self.restarted = False  # after text, which is done once at most
        self.alone_since: float | None = None
        self.begun = threading.Event()  # its start is told, or it was refused
        self.woken = threading.Event()
        self.ended = threading.Event()
        self.began = now
        self.waited = 0.0
        self.first: float | None = None
        self.writing: float | None = None  # since when, in this try
        self.ended_at: float | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        asked = self.question
        return f"<Generation {asked.generation_id} of {asked.client_id}: {self.state}, {self.seq} deltas>"

    def queue(self, position: int) -> dict[str, Any]:
        """It waits for its turn. The fields of `queued`."""
        self.position = position
        return {"generationId": self.id, "position": position}

    def refuse(self) -> None:
        """It never was."""
        with self._lock:
            self.state, self.over = "refused", True

    def admit(self, now: float) -> None:
        """Its turn has come. Its clocks begin; its timing began when it was asked."""
        with self._lock:
            if self.state == "queued":
                self.state = "running"
        self.waited = now - self.began
        self.clocks.begin(now)

    def stop(self, why: str) -> None:
        """Asks the worker to end: wakes it from a wait, cuts its socket in whatever phase it is."""
        self.stopping = self.stopping or why
        self.woken.set()
        self.line.cut(why)

    def restart(self, upstream: str, model: str, now: float) -> None:
        """Another try, perhaps elsewhere. Its text starts over; `seq` goes on."""
        self.upstream, self.model = upstream, model
        self.restarted = self.restarted or self.size > 0
        self.attempt += 1
        self.message, self.size, self.usage = Message(), 0, {}
        self.before, self.writing = self.seq, None
        self.clocks.attempt(now)
        self.line = Line()
        if self.stopping:  # asked between two lines
            self.line.cut(self.stopping)

    def add(self, data: dict[str, Any], size: int, now: float) -> dict[str, Any]:
        """Takes one delta in; returns the fields of its event."""
        self.seq = seq = self.seq + 1
        self.size += size
        if self.writing is None:
            self.writing = now
            self.first = now if self.first is None else self.first
        self.clocks.said = now
        self.message.add(data)
        return {"generationId": self.id, "seq": seq, "data": data}

    def started(self) -> dict[str, Any]:
        """A try begins. The fields of `started`."""
        asked, self.attempt = self.question, self.attempt or 1
        return {
            "generationId": self.id,
            "conversationId": asked.conversation_id,
            "model": self.model,
            "attempt": self.attempt,
            "data": asked.said,
        }

    def finish(self, reason: str, now: float) -> dict[str, Any] | None:
        """Ends it well. The fields of `done`; None where it had ended already."""
        return self._end("done", now, lambda: {"reason": reason, **self.measures(now)})

    def measures(self, now: float) -> dict[str, Any]:
        """What it took: in `done`, and in the log whatever the end was."""
        return {
            "usage": self.usage or self._estimate(),
            "timing": self._timing(now),
            "attempts": self.attempt,
            "upstream": self.upstream if self.attempt else "",
            "model": self.model,
        }

    def fail(self, error: UpstreamError, now: float) -> dict[str, Any] | None:
        """Ends it badly; the text so far is kept. The fields of `error`; None where it had ended already."""
        return self._end("error", now, lambda: {
            "code": error.code,
            "message": error.message,
            "retryable": error.retryable,
            "partial": self.size > 0,
        })  # fmt: skip

    def let_go(self) -> None:
        """It is only remembered from now on, for minutes: what it was asked may be megabytes."""
        self.messages, self.prepare = [], None
        self.question = replace(self.question, said={}, options={})
        self.message.compact()

    def view(self, ended: bool) -> dict[str, Any]:
        """What GET /chat/<id> answers. `ended`: whether its end may be told yet, see app/web/chat.py."""
        end = {name: value for name, value in self.end.items() if name != "generationId"} if ended else {}
        return {
            "generationId": self.id,
            "conversationId": self.question.conversation_id,
            "state": self.state if ended or self.state == "queued" else "running",
            **({"position": self.position} if self.state == "queued" else {}),
            "attempt": self.attempt,
            "data": self.message.data(),
            "seq": self.seq,
            "usage": None,
            "timing": None,
            "lastEventId": self.last_event_id,
            **end,
        }

    def _end(self, state: str, now: float, fields: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        with self._lock:
            if self.state in OVER:
                return None
            self.state = state
            self.ended_at = now
            self.end = {"generationId": self.id, "seq": self.seq, **fields()}
            return self.end

    def _estimate(self) -> dict[str, Any]:
        """Tokens as counted here, where the upstream didn't: most send one in each delta, some several."""
        if not self.attempt:  # nobody was asked
            return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "estimated": True}
        asked = sum(len(str(message.get("content", ""))) for message in self.messages)
        said = sum(map(len, (*self.message.content, *self.message.reasoning)))
        prompt, answer = (-(-size // CHARACTERS_PER_TOKEN) for size in (asked, said))
        answer = max(answer, self.seq - self.before)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
            "estimated": True,
        }

    def _timing(self, now: float) -> dict[str, Any]:
        first = self.first
        writing = 0.0 if self.writing is None else now - self.writing
        counted = self.usage.get("completion_tokens")
        tokens = counted if isinstance(counted, int) and counted > 0 else self.seq - self.before
        return {
            "first_token_ms": round((first - self.began) * 1000, 1) if first is not None else None,
            "total_ms": round((now - self.began) * 1000, 1),
            "tokens_per_s": round(tokens / writing, 1) if writing > 0 else None,
        }
