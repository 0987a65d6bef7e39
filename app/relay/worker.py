"""One answer from its first try to its terminal event, read in a thread of its own.

It reads, and hands each delta on at once; it waits for no browser. Used by relay.py only.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from app.errors import Problem, UpstreamError
from app.relay.clocks import FINISHED, SENTENCES
from app.relay.deltas import Delta, Finished, Said, Usage
from app.relay.generation import Generation
from app.relay.retry import RetryPolicy, Route
from app.relay.upstream import Upstream

log = logging.getLogger(__name__)

# The reason where an upstream says that it is through, and not why: to call that `stop` would be a guess.
UNKNOWN = "unknown"
# After the reason for the end these cost nothing of the text.
HARMLESS = frozenset((FINISHED, "cut", "malformed", "too_large"))
# Characters of an upstream's own word for a reason.
WORD = 64


class Publish(Protocol):
    """Says one event of a generation to its client: its cursor, None where nothing more may be said."""

    def __call__(self, client_id: str, kind: str, fields: dict[str, Any]) -> str | None: ...


@dataclass(frozen=True)
class Size:
    """How long one answer may get: deltas and bytes. Beyond, it ends with `length`."""

    deltas: int = 32_768
    bytes: int = 2 << 20


class Heard:
    """What one try says, as it says it: each delta is said on, the rest is kept for the verdict."""

    def __init__(
        self, generation: Generation, publish: Publish, size: Size, clock: Callable[[], float]
    ) -> None:
        self.reason = ""
        self._generation, self._publish, self._clock = generation, publish, clock
        self._client_id = generation.question.client_id
        self._last, self._bytes = generation.before + size.deltas, size.bytes

    def __call__(self, said: Said) -> bool:
        """Whether more is to come."""
        if type(said) is not Delta:
            return self._ends(said)
        generation, data = self._generation, said.data
        if generation.stopping:
            raise UpstreamError(generation.stopping, "Ended from here")
        size = len(orjson.dumps(data))
        if generation.seq >= self._last or generation.size + size > self._bytes:
            self.reason = "length"
            return False
        fields = generation.add(data, size, self._clock())
        cursor = self._publish(self._client_id, "delta", fields)
        if cursor:
            generation.last_event_id = cursor
        return True

    def _ends(self, said: Said) -> bool:
        """Whether more is to come of an answer that has told its usage, or its end."""
        if type(said) is Usage:
            self._generation.usage = said.data
            return not self.reason  # after the reason it is the last
        assert type(said) is Finished
        if not self.reason:  # said again it must not put the end off
            self._generation.clocks.finish(self._clock())
        self.reason = self.reason or said.reason[:WORD] or UNKNOWN
        return bool(said.reason)  # after `[DONE]` nothing is

    def verdict(self) -> str:
        """The reason that it ended; raises UpstreamError where it only broke off."""
        if not self.reason:
            raise UpstreamError("cut", "The model's answer ended in the middle")
        called = self.reason == "stop" and self._generation.message.tool_calls
        return "tool_calls" if called else self.reason


class Worker:
    """What all answers share: where to read, the best upstream first, whom to tell, when to try again.

    `keep` is called with a generation right before its terminal event: who reloads on that finds it stored.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        publish: Publish,
        keep: Callable[[Generation], None] = lambda generation: None,
        *,
        size: Size | None = None,
        retry: RetryPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.upstreams, self._publish, self._keep = tuple(upstreams), publish, keep
        self._size, self._retry = size or Size(), retry or RetryPolicy()
        self.clock, self._chance = clock, chance

    def choice(self, name: str) -> list[Upstream]:
        """The upstreams that may answer: the one of this name, all where none is named."""
        return [upstream for upstream in self.upstreams if name in ("", upstream.name)]

    def answer(self, generation: Generation) -> None:
        """Sees one generation to its end; returns when its terminal event is out."""
        try:
            if not generation.in_line or self._turn(generation):
                self._tries(generation)
        except Exception:
            log.exception("a worker failed: %r", generation)
            self._failed(generation, UpstreamError("interrupted", "The server failed in the middle"))
        finally:
            generation.ended.set()

    def queue(self, generation: Generation, position: int) -> None:
        """Announces that it waits, or that it has moved on."""
        self._say(generation, "queued", generation.queue(position))

    def begin(self, generation: Generation) -> None:
        """Announces a try: the first from the asker's thread, so that no `[DONE]` slips in between."""
        self._say(generation, "started", generation.started())

    def stopped(self, generation: Generation) -> None:
        """Ends a generation for the reason it was asked to stop for; nothing where it has ended."""
        if generation.stopping in SENTENCES:
            self._failed(generation, UpstreamError(generation.stopping, SENTENCES[generation.stopping]))
        else:
            self._finished(generation, generation.stopping)

    def kept(self) -> int:
        """How many connections to upstreams wait for a next answer."""
        return sum(upstream.kept() for upstream in self.upstreams)

    def tidy(self, now: float) -> None:
        """Closes those that have waited for too long. `now`: monotonic seconds."""
        for upstream in self.upstreams:
            upstream.tidy(now)

    def _turn(self, generation: Generation) -> bool:
        """It has waited, and now is its turn. False where that was in vain."""
        if generation.stopping:
            self.stopped(generation)
            return False
        try:
            if generation.prepare:
                generation.messages = generation.prepare()
        except Problem as problem:  # no room at this moment; or the conversation was deleted meanwhile
            passing = problem.status in (429, 503)
            code = "busy" if passing else "interrupted"
            self._failed(generation, UpstreamError(code, problem.detail, retryable=passing))
            return False
        self.begin(generation)
        return True

    def _tries(self, generation: Generation) -> None:
        upstreams = self.choice(generation.question.upstream)
        route = Route(len(upstreams), self._retry)
        while True:
            try:
                self._finished(generation, self._read(generation, upstreams[route.at]))
                return
            except UpstreamError as error:
                if not self._again(generation, route, error):
                    return
            upstream = upstreams[route.at]
            # The model that was asked for is the first one's; another may not have it.
            model = (
                upstream.model if route.at and upstream.model else generation.question.model or upstream.model
            )
            generation.restart(upstream.name, model, self.clock())
            self.begin(generation)

    def _again(self, generation: Generation, route: Route, error: UpstreamError) -> bool:
        """Waits for the next try, or ends the answer."""
        wait = None if generation.stopping else self._wait(generation, route, error)
        if wait is not None:
            log.info("try %d failed (%s), next in %.2f s: %r", generation.attempt, error, wait, generation)
            generation.woken.wait(wait)
        if generation.stopping:
            self.stopped(generation)
            return False
        if wait is None:
            self._failed(generation, error)
        return wait is not None

    def _wait(self, generation: Generation, route: Route, error: UpstreamError) -> float | None:
        """Seconds until the next try, None for none: after text only if asked to, and once."""
        restarts = generation.question.on_cut == "restart" and not generation.restarted
        if generation.size and not restarts:
            return None
        spent = self.clock() - generation.began - generation.waited
        if generation.size and error.retryable:
            route.begin_anew(spent)
        return route.after(error, spent, self._chance())

    def _read(self, generation: Generation, upstream: Upstream) -> str:
        """Reads one try to its end and returns the reason; raises UpstreamError where it has none."""
        body = {**generation.question.options, "model": generation.model, "messages": generation.messages}
        heard = Heard(generation, self._publish, self._size, self.clock)
        try:
            upstream.ask(body, generation.line, heard)
        except UpstreamError as error:
            if not heard.reason or generation.stopping or error.code not in HARMLESS:
                raise
        return heard.verdict()

    def _finished(self, generation: Generation, reason: str) -> None:
        self._end(generation, "done", generation.finish(reason, self.clock()))

    def _failed(self, generation: Generation, error: UpstreamError) -> None:
        self._end(generation, "error", generation.fail(error, self.clock()))

    def _end(self, generation: Generation, kind: str, fields: dict[str, Any] | None) -> None:
        if fields is None:
            return
        try:
            self._keep(generation)
        except Exception:
            log.exception("an answer could not be stored: %r", generation)
        generation.over = True  # before it is told: who hears of it may ask again at once
        self._say(generation, kind, fields)
        log.info("answer %s", self._in_one_line(generation, kind, fields))

    def _in_one_line(self, generation: Generation, kind: str, fields: dict[str, Any]) -> str:
        """How an answer went, as JSON: what an upstream says can then add no line of its own."""
        asked, measures = generation.question, generation.measures(self.clock())
        how = {
            "id": generation.id,
            "client": asked.client_id,
            "end": kind,
            "reason": fields.get("reason") or fields.get("code"),
            **{name: fields.get(name, value) for name, value in measures.items()},
            "waited_ms": round(generation.waited * 1000, 1),
            "deltas": generation.seq,
            "bytes": generation.size,
        }
        return orjson.dumps(how).decode()

    def _say(self, generation: Generation, kind: str, fields: dict[str, Any]) -> None:
        cursor = self._publish(generation.question.client_id, kind, fields)
        generation.last_event_id = cursor or generation.last_event_id
