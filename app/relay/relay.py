"""The running answers: each a thread that reads its upstream, a stranger to whatever browser listens.

The verbs are `start`, `stop`, `get`, `close`, `interrupt`. Beyond the limits a question waits in line, and a
place that gets free is given on by whoever leaves it. `_lock` guards `_known` and `_places`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from app.errors import Conflict, Invalid, Overloaded
from app.relay.clocks import Allowed, Clocks
from app.relay.generation import Generation, Messages, Question
from app.relay.known import Known
from app.relay.places import Bounds, Places
from app.relay.watch import Leaving, Spawn, Watch, thread
from app.relay.worker import Worker

log = logging.getLogger(__name__)

# Seconds that `stop` waits for the worker; only a DNS look-up, which can't be cut, takes longer.
STOP_PATIENCE = 1.0


class Relay:
    """All answers of a process, those that ended within the last ten minutes included."""

    def __init__(
        self,
        worker: Worker,
        *,
        bounds: Bounds | None = None,
        allowed: Allowed | None = None,
        leaving: Leaving | None = None,
        spawn: Spawn = thread,
    ) -> None:
        self._worker, self._clock, self._spawn = worker, worker.clock, spawn
        self._allowed, self._leaving = allowed or Allowed(), leaving or Leaving()
        self._lock = threading.Lock()
        self._known = Known((bounds or Bounds()).known)
        self._places = Places(bounds or Bounds())
        self._watch = Watch(self._running, self._any, self._tend, self._clock, spawn)
        self._closed = False

    def __repr__(self) -> str:
        names = ", ".join(upstream.name for upstream in self._worker.upstreams)
        running, waiting = len(self._places.running), len(self._places.waiting)
        return f"<Relay to {names}: {running} running, {waiting} waiting, {len(self._known)} known>"

    def start(self, question: Question, prepare: Callable[[], Messages]) -> tuple[Generation, bool]:
        """The answer to `question`, and whether it is new: the same id and fingerprint is the same answer.

        `prepare` is called once the id is claimed and gives what the model is told; what it raises ends the
        claim. Where another answer of the conversation comes first, it is called when that has ended.
        Raises Invalid (no such upstream), Conflict (id taken, conversation busy), TooMany, Overloaded.
        """
        generation = self._new(question)
        while known := self._claim(generation):
            known.begun.wait()
            if known.state != "refused":
                return known, False
        try:
            self._engage(generation)
            self._announce(generation, prepare)
        except BaseException:
            self._refuse(generation)
            raise
        generation.begun.set()
        return generation, True

    def get(self, generation_id: str) -> Generation:
        """A generation that runs, waits, or ended within the last ten minutes. Raises NotFound."""
        with self._lock:
            self._known.forget(self._clock())
            return self._known.get(generation_id)

    def running(self, client_id: str, conversation_id: str) -> list[str]:
        """The ids of the answers that run or wait in a client's conversation."""
        with self._lock:
            return [generation.id for generation in self._places.talk(client_id, conversation_id)]

    def context(self, name: str) -> int:
        """Tokens that all upstreams which may answer can take: that of `name`, "" for all; 0: not known."""
        return min((u.context for u in self._worker.choice(name) if u.context), default=0)

    def stop(self, generation_id: str) -> Generation:
        """Ends an answer and freezes its text; once it has ended, changes nothing. Raises NotFound."""
        generation = self.get(generation_id)
        self._end([generation], "stopped")
        return generation if generation.state != "refused" else self.get(generation_id)

    def count(self) -> int:
        """How many answers run or wait."""
        return len(self._places)

    def held(self) -> int:
        """Bytes of all texts that are held here: of answers that run, and of those that are remembered."""
        with self._lock:
            return self._known.texts + sum(generation.size for generation in self._places.running.values())

    def close(self) -> None:
        """No new answers from now on, and those that wait are told that there will be none."""
        with self._lock:
            self._closed = True
            waiting = list(self._places.waiting.values())
        self._end(waiting, "interrupted")

    def interrupt(self) -> None:
        """Ends all answers as `interrupted`, since the process ends."""
        with self._lock:
            everything = self._places.all()
        self._end(everything, "interrupted")

    # --- from a question to its thread -----------------------------------------------------------------

    def _new(self, question: Question) -> Generation:
        choice = self._worker.choice(question.upstream)
        if not choice:
            raise Invalid(f"No upstream is named {question.upstream}", field="upstream")
        upstream, now = choice[0], self._clock()
        model = question.model or upstream.model
        return Generation(question, upstream.name, model, Clocks(self._allowed, now), now)

    def _claim(self, generation: Generation) -> Generation | None:
        """Takes the id and a place; returns the generation that has the id already and asks the same."""
        question = generation.question
        while True:
            with self._lock:
                self._known.forget(self._clock())
                known = self._known.same(question)
                if known:
                    return known
                self._known.check_room()
                busy = self._places.talk(question.client_id, question.conversation_id)
                if not busy or question.on_busy != "interrupt" or self._closed:
                    self._enter(generation, busy)
                    return None
            self._end(busy, "stopped")

    def _enter(self, generation: Generation, busy: list[Generation]) -> None:
        """Needs the lock."""
        if self._closed:
            raise Overloaded("The server is about to restart", retry_after=5)
        if busy and generation.question.on_busy != "queue":
            raise Conflict("An answer is running in this conversation", code="busy", field="conversationId")
        generation.behind = bool(busy)
        generation.in_line = not self._places.enter(generation)
        generation.state = "queued" if generation.in_line else "running"
        self._known.claim(generation)

    def _engage(self, generation: Generation) -> None:
        """Finds the threads before anything is said: what is started must end."""
        try:
            self._watch.ensure()
            if not generation.in_line:
                self._spawn(self._answer, generation)  # it waits until the start is told
        except RuntimeError as error:
            raise Overloaded("No thread can be had for the answer", retry_after=5) from error

    def _announce(self, generation: Generation, prepare: Callable[[], Messages]) -> None:
        """From the asker's thread, so that no `[DONE]` slips in between."""
        if generation.behind:
            generation.prepare = prepare  # it is told the answer that comes first, too
        else:
            generation.messages = prepare()
        if generation.in_line:
            self._worker.queue(generation, self._positions().get(generation.id, 1))
        else:
            self._worker.begin(generation)

    def _refuse(self, generation: Generation) -> None:
        """Gives the claim back; whoever waits for its start finds that it never was."""
        with self._lock:
            generation.refuse()
            self._known.drop(generation)
            due = self._leave(generation)
        generation.begun.set()
        self._turn(due)

    def _answer(self, generation: Generation) -> None:
        generation.begun.wait()
        if generation.state == "refused":
            return
        try:
            self._worker.answer(generation)
        finally:
            self._settle(generation)

    # --- from its end to the next one's turn ---------------------------------------------------------------

    def _end(self, generations: list[Generation], why: str) -> None:
        """Asks the workers to end, and ends what they don't: who is stuck in a look-up has said nothing."""
        for generation in generations:
            generation.begun.wait()  # or its end would be told before its start
            self._quit(generation, why)
        deadline = time.monotonic() + STOP_PATIENCE
        for generation in generations:
            if generation.state == "refused":
                continue
            if not generation.ended.wait(max(0.0, deadline - time.monotonic())):
                self._worker.stopped(generation)
                with self._lock:
                    due = self._admitted(self._places.due())
                self._turn(due)

    def _quit(self, generation: Generation, why: str) -> None:
        """Asks a worker to end; who is in line has none, and is ended here."""
        generation.stop(why)
        with self._lock:
            waited = generation.id in self._places.waiting
            due = self._leave(generation) if waited else []
        try:
            if waited:
                self._worker.stopped(generation)
        finally:
            if waited:
                self._settle(generation)
                generation.ended.set()
            self._turn(due)

    def _settle(self, generation: Generation) -> None:
        """It has ended: it is only remembered, and its place is another's."""
        self._turn(self._left(generation))

    def _left(self, generation: Generation) -> list[Generation]:
        generation.let_go()
        with self._lock:
            self._known.ended(generation)
            return self._leave(generation)

    def _leave(self, generation: Generation) -> list[Generation]:
        """Needs the lock. Its place is given on; those who have it now are to begin."""
        return self._admitted(self._places.leave(generation))

    def _admitted(self, due: list[Generation]) -> list[Generation]:
        """Needs the lock, or the clocks of the line would ring for who has left it."""
        for generation in due:
            generation.admit(self._clock())
        return due

    def _turn(self, due: list[Generation]) -> None:
        """Those whose turn it is begin."""
        for generation in due:
            try:
                self._spawn(self._answer, generation)
            except RuntimeError:
                log.exception("no thread can be had: %r", generation)
                generation.begun.wait()
                generation.stop("busy")
                self._worker.stopped(generation)
                due += self._left(generation)
                generation.ended.set()

    # --- while it runs or waits ------------------------------------------------------------------------

    def _running(self) -> list[Generation]:
        with self._lock:
            return list(self._places.running.values())

    def _any(self) -> bool:
        """Whether there is something to look at."""
        return len(self._places) > 0 or self._worker.kept() > 0

    def _positions(self) -> dict[str, int]:
        with self._lock:
            return {generation.id: i for i, generation in enumerate(self._places.line(), 1)}

    def _tend(self, now: float) -> None:
        """Ends whom nobody reads and who waited too long; tells those in line how far they have come; closes
        connections that nobody uses."""
        self._worker.tidy(now)
        with self._lock:
            everything = [g for g in self._places.all() if g.begun.is_set()]  # no end before its start
            waiting = [g for g in everything if g.id in self._places.waiting]
        for generation in self._leaving.gone(everything, now):
            self._quit(generation, "left")
        for generation in waiting:
            if now - generation.began > self._allowed.waiting:
                self._quit(generation, "busy")
        positions = self._positions()
        for generation in waiting:
            at = positions.get(generation.id, generation.position)
            if at != generation.position:
                self._worker.queue(generation, at)
