"""Who wants to know: blinker signals of a hub, sent by one thread of their own, in order.

    from app.hub.signals import disconnected

    @disconnected.connect
    def left(hub, client_id, connection_id, reason): ...

`connected` (client_id, connection_id), `disconnected` (client_id, connection_id, reason: a word of ENDINGS in
app/hub/endings.py), `undelivered` (client_id, events: those let go of before anyone was handed them).
The sender is the hub. A receiver may take its time and may fail: no stream waits for it.
"""

from __future__ import annotations

import _thread
import logging
import threading
from collections import deque
from typing import Any

from blinker import Signal

log = logging.getLogger(__name__)

connected = Signal("A stream was opened.")
disconnected = Signal("A stream has ended: the recipe's onCompletion, onTimeout and onError.")
undelivered = Signal("Events were let go of before anyone was handed them.")

# Signals that may wait; beyond, the oldest go, and are counted: a receiver that hangs must not fill memory.
WAITING = 10_000
# The same in bytes of what they tell of.
HEAVY = 16 << 20


class Announcer:
    """Sends signals for one hub. `_lock` guards `_started`, so that only one thread is; none is, and nothing
    is kept, where nobody has connected a receiver."""

    def __init__(self, sender: object) -> None:
        self._sender = sender
        self._waiting: deque[tuple[Signal, dict[str, Any], int]] = deque()
        self._weight = 0
        self._awake = threading.Event()
        self._lock = threading.Lock()
        self._started = False
        self.dropped = 0

    def say(self, signal: Signal, weight: int = 0, **fields: Any) -> None:
        """Has `signal` sent soon; never blocks, and never fails: a stream has its place by now. `weight`:
        bytes that `fields` keep in memory."""
        if not signal.receivers:
            return
        while self._waiting and (len(self._waiting) >= WAITING or self._weight + weight > HEAVY):
            self._weight -= self._waiting.popleft()[2]
            self.dropped += 1
        self._waiting.append((signal, fields, weight))
        self._weight += weight
        self._awake.set()
        if not self._started:
            self._start()

    def _start(self) -> None:
        """By the bare call: `Thread.start` waits for the thread, and streams end where nothing may wait."""
        with self._lock:
            if self._started:
                return
            self._started = True
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError:
            log.warning("no thread can be had for signals; they wait until there is one")
            self._started = False

    def _run(self) -> None:
        while self._awake.wait():
            self._awake.clear()
            while self._waiting:
                signal, fields, weight = self._waiting.popleft()
                self._weight -= weight
                self._send(signal, fields)

    def _send(self, signal: Signal, fields: dict[str, Any]) -> None:
        for receiver in signal.receivers_for(self._sender):
            try:
                receiver(self._sender, **fields)
            except Exception:
                log.exception("a receiver of a signal failed: %r", receiver)
