"""The application as it is served, with one more route: POST /produce?clients=500&seconds=6.

Then a thread for each of the clients c0, c1, … (under gevent a greenlet) publishes the deltas of one answer
through the hub, as the relay would, but for the upstream. For benches, on loopback.
"""

from __future__ import annotations

import threading
import time
import uuid

from flask import request
from pacing import beats

from wsgi import app

hub = app.extensions["deltahub"].hub


@app.post("/produce")
def produce() -> tuple[str, int]:
    seconds, start = float(request.args["seconds"]), time.monotonic_ns()
    for number in range(int(request.args["clients"])):
        threading.Thread(target=answer, args=(number, seconds, start), daemon=True).start()
    return "", 204


def answer(number: int, seconds: float, start: int) -> None:
    client, generation, seq = f"c{number}", str(uuid.uuid4()), 0
    about = {"generationId": generation, "conversationId": generation, "model": "", "attempt": 1}
    hub.publish(client, "started", about | {"data": {"role": "user", "content": "hi"}})
    for due, text in beats(number, seconds, start):
        if (wait := due - time.monotonic_ns()) > 0:
            time.sleep(wait / 1e9)
        seq += 1
        hub.publish(client, "delta", {"generationId": generation, "seq": seq, "data": {"content": text}})
    hub.publish(client, "done", {"generationId": generation, "seq": seq, "reason": "stop"})
