"""The running answers: each a thread that reads its upstream, a stranger to whatever browser listens.

The verbs are `start`, `stop`, `get`, `interrupt`. Leaving, stopping and timing out are three things: that a
browser leaves changes nothing here. `_lock` guards all that stands below it in `Relay.__init__`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.errors import Conflict, NotFound, Overloaded, TooMany
from app.relay.clocks import Allowed, Clocks
from app.relay.generation import Generation, Question
from app.relay.worker import Worker

# Seconds between two looks at the clocks of all answers.
WATCH_PERIOD = 0.1
# Seconds that `stop` waits for the worker; only a DNS look-up, which can't be cut, takes longer.
STOP_PATIENCE = 1.0
# Seconds that an ended answer's id is remembered.
MEMORY = 600.0


@dataclass(frozen=True)
class Bounds:
    """How many answers at once: in this process, and for one client; how many are remembered by their ids."""

    worker: int = 500
    client: int = 3
    known: int = 100_000


class Relay:
    """All answers of a process, those that ended within the last ten minutes included.

    `listening`: whether a client has an open stream; `leave_grace`: seconds it may have none where the asker
    wants an answer cancelled that nobody reads.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        bounds: Bounds | None = None,
        allowed: Allowed | None = None,
        listening: Callable[[str], bool] = lambda client_id: True,
        leave_grace: float = 60.0,
        spawn: Callable[..., None] | None = None,
    ) -> None:
        self.upstream = worker.upstream
        self._worker, self._clock = worker, worker.clock
        self._bounds, self._allowed = bounds or Bounds(), allowed or Allowed()
        self._listening, self._leave_grace = listening, leave_grace
        self._spawn = spawn or _thread
        self._lock = threading.Lock()
        self._generations: dict[str, Generation] = {}
        self._running: dict[str, Generation] = {}
        self._ended: deque[Generation] = deque()  # in the order in which they will be forgotten
        self._texts = 0  # bytes of those
        self._watching = False
        self._closed = False

    def __repr__(self) -> str:
        running, known = len(self._running), len(self._generations)
        return f"<Relay to {self.upstream.name}: {running} running, {known} known>"

    def start(
        self, question: Question, prepare: Callable[[], list[dict[str, Any]]]
    ) -> tuple[Generation, bool]:
        """The answer to `question`, and whether it is new: the same id and fingerprint is the same answer.

        `prepare` is called once the id is claimed and gives what the model is told; what it raises ends the
        claim. Raises Conflict (id taken, conversation busy), TooMany, Overloaded.
        """
        generation = self._new(question)
        while known := self._claim(generation):
            known.begun.wait()
            if known.state != "refused":
                return known, False
        self._engage(generation)
        try:
            generation.messages = prepare()
            self._worker.begin(generation)
        except BaseException:
            self._refuse(generation)
            raise
        generation.begun.set()
        return generation, True

    def get(self, generation_id: str) -> Generation:
        """A generation that runs or ended within the last ten minutes. Raises NotFound."""
        with self._lock:
            self._forget()
            generation = self._generations.get(generation_id)
        if generation is None:
            raise NotFound(f"No answer {generation_id} is known here", field="generationId")
        return generation

    def running(self, conversation_id: str) -> list[str]:
        """The ids of the answers that run in a conversation."""
        with self._lock:
            return [g.id for g in self._in_conversation(conversation_id)]

    def stop(self, generation_id: str) -> Generation:
        """Ends an answer and freezes its text; once it has ended, changes nothing. Raises NotFound."""
        generation = self.get(generation_id)
        self._end([generation], "stopped")
        return generation if generation.state != "refused" else self.get(generation_id)

    def count(self) -> int:
        """How many answers run."""
        return len(self._running)

    def held(self) -> int:
        """Bytes of all texts that are held here: of answers that run, and of those that are remembered."""
        with self._lock:
            return self._texts + sum(generation.size for generation in self._running.values())

    def close(self) -> None:
        """No new answers from now on."""
        self._closed = True

    def interrupt(self) -> None:
        """Ends all answers as `interrupted`, since the process ends."""
        with self._lock:
            running = list(self._running.values())
        self._end(running, "interrupted")

    def _end(self, generations: list[Generation], why: str) -> None:
        """Asks the workers to end, and ends what they don't: who is stuck in a look-up has said nothing."""
        for generation in generations:
            generation.begun.wait()  # or its end would be told before its start
            generation.stop(why)
        deadline = time.monotonic() + STOP_PATIENCE
        for generation in generations:
            if generation.state == "refused":
                continue
            if not generation.ended.wait(max(0.0, deadline - time.monotonic())):
                self._worker.stopped(generation)

    def _engage(self, generation: Generation) -> None:
        """Finds the threads before anything is said: what is started must end."""
        try:
            self._watch()
            self._spawn(self._answer, generation)  # it waits until the start is told
        except RuntimeError as error:
            self._refuse(generation)
            raise Overloaded("No thread can be had for the answer", retry_after=5) from error

    def _refuse(self, generation: Generation) -> None:
        """Gives the claim back; whoever waits for its start finds that it never was."""
        with self._lock:
            generation.state = "refused"
            del self._generations[generation.id]
            self._running.pop(generation.id, None)
        generation.begun.set()

    def _new(self, question: Question) -> Generation:
        upstream, now = self.upstream, self._clock()
        model = question.model or upstream.model
        return Generation(question, upstream.name, model, Clocks(self._allowed, now), now)

    def _claim(self, generation: Generation) -> Generation | None:
        """Takes the id and a place; returns the generation that has the id already and asks the same."""
        question = generation.question
        while True:
            with self._lock:
                known = self._known(question)
                own = self._in_conversation(question.conversation_id)
                busy = [g for g in own if g.question.client_id == question.client_id]  # another's are none
                interrupts = bool(busy) and not (known or self._closed) and question.on_busy == "interrupt"
                if not known and not interrupts:
                    self._check_room(question, busy)
                    self._generations[generation.id] = self._running[generation.id] = generation
            if not interrupts:
                return known
            self._end(busy, "stopped")

    # --- under the lock ----------------------------------------------------------------------------

    def _known(self, question: Question) -> Generation | None:
        self._forget()
        known = self._generations.get(question.generation_id)
        if known and known.question.fingerprint != question.fingerprint:
            raise Conflict("This generationId belongs to another question", field="generationId")
        return known

    def _in_conversation(self, conversation_id: str) -> list[Generation]:
        return [g for g in self._running.values() if g.busy_in(conversation_id)]

    def _check_room(self, question: Question, busy: list[Generation]) -> None:
        running = [g for g in self._running.values() if g.state == "running"]
        if self._closed:
            raise Overloaded("The server is about to restart", retry_after=5)
        if busy:
            raise Conflict("An answer is running in this conversation", code="busy", field="conversationId")
        if sum(g.question.client_id == question.client_id for g in running) >= self._bounds.client:
            raise TooMany(f"{self._bounds.client} answers of this client are running", retry_after=5)
        if len(running) >= self._bounds.worker:
            raise Overloaded("Too many answers are running", retry_after=5)
        if len(self._generations) >= self._bounds.known:  # forgetting one early could answer twice
            raise Overloaded("Too many answers of the last minutes are remembered", retry_after=60)

    def _forget(self) -> None:
        horizon = self._clock() - MEMORY
        while self._ended and (self._ended[0].ended_at or 0.0) < horizon:
            generation = self._ended.popleft()
            self._texts -= generation.size
            self._generations.pop(generation.id, None)

    # --- threads ---------------------------------------------------------------------------------------

    def _answer(self, generation: Generation) -> None:
        generation.begun.wait()
        if generation.state == "refused":
            return
        try:
            self._worker.answer(generation)
        finally:
            generation.messages = []  # it is remembered for minutes, and they may be megabytes
            generation.message.compact()
            with self._lock:
                self._running.pop(generation.id, None)
                self._ended.append(generation)
                self._texts += generation.size

    def _watch(self) -> None:
        """Sees to it that one thread looks at the clocks while anything runs."""
        with self._lock:
            if self._watching:
                return
            self._watching = True
        try:
            self._spawn(self._look)
        except BaseException:
            with self._lock:
                self._watching = False
            raise

    def _look(self) -> None:
        pause = threading.Event()
        while True:
            with self._lock:
                running = list(self._running.values())
                if not running:
                    self._watching = False
                    return
            now = self._clock()
            for generation in running:
                line = generation.line  # first: a clock of the last try must not cut the next
                code = generation.clocks.rang(now)
                if code:
                    line.cut(code)
                if generation.question.on_leave == "cancel" and self._left(generation, now):
                    generation.stop("left")
            pause.wait(WATCH_PERIOD)

    def _left(self, generation: Generation, now: float) -> bool:
        """Whether nobody has listened for longer than the grace."""
        if self._listening(generation.question.client_id):
            generation.alone_since = None
        elif generation.alone_since is None:
            generation.alone_since = now
        return generation.alone_since is not None and now - generation.alone_since > self._leave_grace


def _thread(target: Callable[..., None], *args: Any) -> None:
    threading.Thread(target=target, args=args, name=target.__name__, daemon=True).start()
