"""What the scripted upstream is told to answer, as plain JSON. Pure: tests write it, playing.py plays it.

An answer is a dict; what is left out has its default:

    status, headers   the head: 200 and `Content-Type: text/event-stream`
    chunked           True; False: the body ends with the connection; "length": sent whole with its length;
                      "gzip": chunked and compressed, flushed at every step
    before_head       seconds between the request and the head
    head              False: none is sent, the steps send what there is of it; with `chunked` False
    slice             bytes a send(); 0: each step in one piece
    when              only a request whose body holds this text takes this answer
    steps             what the body does, one after the other

A step sends something, then waits, then perhaps ends the connection. `repeat` plays it that many times; in
texts `{i}` becomes the number of the round and `{ns}` the nanoseconds of CLOCK_MONOTONIC, one clock for all
processes of a machine.

    {"delta": text or object}   {"finish": "stop"}   {"usage": {…}}   {"chunk": object}   {"done": True}
    {"send": text}   {"send_b64": base64}       bytes as they are
    {"sleep": seconds}   {"hang": seconds}      wait; whoever reads may leave meanwhile
    {"close": True}   {"reset": True}           end without the end of the body: by FIN, by RST
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

FOREVER = 3600.0
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
ENDING: list[Json] = [{"finish": "stop"}, {"usage": USAGE}, {"done": True}]
ROLE: Json = {"delta": {"role": "assistant", "content": ""}}


def deltas(words: Iterable[str], gap: float = 0.0, **answer: Any) -> Json:
    """A whole answer of these words, `gap` seconds apart."""
    steps = [{"delta": word, "sleep": gap} for word in words]
    return {"steps": [ROLE, *steps, *ENDING], **answer}


def counted(count: int, gap: float = 0.0, text: str = "w{i} ", **answer: Any) -> Json:
    """A whole answer of `count` deltas, "w0 w1 w2 …" unless `text` says otherwise."""
    return {"steps": [ROLE, {"repeat": count, "delta": text, "sleep": gap}, *ENDING], **answer}


def cut(words: Iterable[str], how: str = "close", gap: float = 0.0, **answer: Any) -> Json:
    """An answer that breaks off after these words; `how`: "close", "reset", or "hang" for silence."""
    steps = [{"delta": word, "sleep": gap} for word in words]
    return {"steps": [ROLE, *steps, {how: FOREVER if how == "hang" else True}], **answer}


def silence() -> Json:
    """The request is taken and never answered, not even with a head."""
    return {"before_head": FOREVER, "steps": []}


def half_head(endless: bool = False) -> Json:
    """A head that breaks off in a line, or one whose line never ends: a letter every 10 ms."""
    rest: Json = {"repeat": 60_000, "send": "a", "sleep": 0.01} if endless else {"hang": FOREVER}
    return {"head": False, "chunked": False, "steps": [{"send": "HTTP/1.1 200 OK\r\nX-Half: "}, rest]}


def failure(
    status: int, message: str = "scripted failure", *, retry_after: float | str | None = None
) -> Json:
    """An error as OpenAI words it."""
    error = {"error": {"message": message, "type": "scripted", "param": None, "code": None}}
    return document(
        error, status=status, headers={} if retry_after is None else {"Retry-After": str(retry_after)}
    )


def document(body: Any, *, status: int = 200, headers: Json | None = None) -> Json:
    """One JSON document instead of a stream."""
    return _whole("application/json", json.dumps(body), status, headers)


def page(html: str = "<!doctype html><title>Sign in</title>", *, status: int = 200) -> Json:
    """A page, as a captive portal or a wrong address gives it."""
    return _whole("text/html; charset=utf-8", html, status, None)


def _whole(kind: str, body: str, status: int, headers: Json | None) -> Json:
    head = {"Content-Type": kind, **(headers or {})}
    return {"status": status, "headers": head, "chunked": "length", "steps": [{"send": body}]}


def frame(step: Json, i: int, ns: int) -> bytes:
    """The bytes of the body that one round of a step sends; empty for one that only waits or ends."""
    if "send_b64" in step:
        return base64.b64decode(step["send_b64"])
    if "send" in step:
        return _fill(step["send"], i, ns).encode()
    if "done" in step:
        return b"data: [DONE]\n\n"
    chunk = _chunk(step)
    return b"data: " + _fill(json.dumps(chunk), i, ns).encode() + b"\n\n" if chunk else b""


def _fill(text: str, i: int, ns: int) -> str:
    return text.replace("{i}", str(i)).replace("{ns}", str(ns))


def _chunk(step: Json) -> Json | None:
    if "chunk" in step:
        return dict(step["chunk"])
    if "usage" in step:
        return _completion(choices=[], usage=step["usage"])
    if "finish" in step:
        return _completion(choices=[{"index": 0, "delta": {}, "finish_reason": step["finish"]}])
    if "delta" in step:
        delta = {"content": step["delta"]} if isinstance(step["delta"], str) else step["delta"]
        return _completion(choices=[{"index": 0, "delta": delta, "finish_reason": None}])
    return None


def _completion(**fields: Any) -> Json:
    return {
        "id": "chatcmpl-rig",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "scripted",
        **fields,
    }
