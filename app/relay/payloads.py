"""One event's data to what it says: text, a reason to end, usage, an error.

Pure. Speaks OpenAI's `chat.completion.chunk` and what its many imitators make of it; every oddity met in the
field has a stream in tests/data. parser.py uses it event by event, upstream.py for an answer that is one
document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from app.errors import UpstreamError
from app.relay.deltas import Calls, Delta, Finished, Said, Usage
from app.relay.reported import reported

# The same thing under three names.
_REASONING = ("reasoning_content", "reasoning", "reasoning_text")
# Names of events that only keep the connection alive.
_IDLE = frozenset(("ping", "heartbeat", "keepalive", "keep-alive"))
# A character that takes two \\u escapes, or half of one: servers that cut a text anywhere send such halves.
# What looks like one after an escaped backslash is none.
_HALVES = re.compile(r"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..")
_HALF = 6
# Where another event begins inside of one: two were glued together, or the blank line was forgotten.
_SEAM = re.compile(rb"(?:data: ?|\n)(?=\{|\[DONE\])")
# So many parts of one event are looked at: each may be JSON that is large and broken at its end.
_PARTS = 16
# Bytes of a usage at most.
_COUNTS = 16_384
# Characters of a payload that an error repeats.
_QUOTED = 200


class Payloads:
    """The payloads of one answer, one after the other. Keeps what the pieces of tool calls need to be told
    apart. `glued`: some came glued together, and what was broken of them was left out."""

    def __init__(self) -> None:
        self._calls = Calls()
        self.glued = False

    def said(self, payload: bytes, event: str = "message") -> Iterable[Said]:
        """What one event's data says, in order; nothing for what says nothing (role only, keep-alives).

        `event` is its name. Raises UpstreamError: `malformed` where it is no JSON object, else the error that
        the upstream reports.
        """
        if event == "error":  # an error also without a key that says so, and where it is no JSON
            raise reported(_loaded(_SEAM.split(payload)[-1], or_else=payload.decode("utf-8", "replace")))
        if event in _IDLE:
            return []
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return self._no_json(payload)
        if type(chunk) is not dict:
            raise _malformed(payload)
        return self._chunk(chunk)

    def _chunk(self, chunk: dict[str, Any]) -> list[Said]:
        if chunk.get("error"):
            raise reported(chunk)
        said: list[Said] = []
        choices = chunk.get("choices")
        choice = choices[0] if type(choices) is list and len(choices) == 1 else None
        if type(choice) is not dict or choice.get("index"):  # not just the first one, as nearly always
            choice = _choice_0(chunk)
        if choice:
            reason = choice.get("finish_reason")
            if reason == "error" or choice.get("error"):  # so OpenRouter ends what broke
                raise reported({"error": choice.get("error") or "it ended with an error"})
            delta = choice.get("delta")
            if type(delta) is dict and len(delta) == 1 and type(delta.get("content")) is str:
                data = delta if delta["content"] else {}  # but a text, as nearly always
            else:
                data = self._data(choice.get("message") if delta is None else delta)
            if data:
                said.append(Delta(data))
            if reason:  # "" on every chunk means: not yet
                said.append(Finished("tool_calls" if reason == "function_call" else str(reason)))
        elif "error" in (chunk.get("object"), chunk.get("type")):
            raise reported(chunk)
        usage = chunk.get("usage") or choice.get("usage")
        if type(usage) is dict and _can_be_told(usage):
            said.append(Usage(usage))
        return said

    def _data(self, delta: Any) -> dict[str, Any]:
        """The `data` of a Delta: only what is there."""
        if type(delta) is not dict:
            return {}
        data = _texts(delta.get("content"))
        thought = next((delta[n] for n in _REASONING if isinstance(delta.get(n), str) and delta[n]), "")
        if thought:
            data["reasoning"] = thought
        if delta.get("refusal") and isinstance(delta["refusal"], str):
            data["refusal"] = delta["refusal"]
        calls = self._calls.pieces(delta)
        if calls:
            data["tool_calls"] = calls
        return data

    def _no_json(self, payload: bytes) -> Iterable[Said]:
        """What a payload says that is no JSON: `[DONE]`, a keep-alive, or several glued together."""
        if payload == b"[DONE]":
            return [Finished("")]
        if not payload.strip() or payload.startswith(b":"):  # a keep-alive; a proxy made data of a comment
            return []
        chunk = _loose(payload)
        if chunk is not None:
            return self._chunk(chunk)
        parts = _SEAM.split(payload)
        if not 1 < len(parts) <= _PARTS or not _is_whole(parts[-1]):
            raise _malformed(payload)
        self.glued = True
        return self._each(parts)

    def _each(self, parts: list[bytes]) -> Iterator[Said]:
        for part in parts:
            if _is_whole(part):
                yield from self.said(part)


def document(body: bytes) -> list[Said]:
    """What a whole `chat.completion` says that came in the place of a stream.

    Raises UpstreamError: the error it reports, or `not_a_stream` where it is anything else.
    """
    chunk = _loaded(body, or_else=None)
    if isinstance(chunk, dict) and (chunk.get("error") or isinstance(_choice_0(chunk).get("message"), dict)):
        said = list(Payloads().said(body))
        return said if any(isinstance(item, Finished) for item in said) else [*said, Finished("")]
    message = f"The upstream sent a document that is no answer: {_quoted(body)}"
    raise UpstreamError("not_a_stream", message, retryable=False)


def _loaded(payload: bytes, or_else: Any) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return or_else


def _loose(payload: bytes) -> dict[str, Any] | None:
    """What is JSON but for NaN, for control characters within a text or for half a character: an object."""
    try:
        text = _HALVES.sub(lambda m: r"\ufffd" if len(m[0]) == _HALF else m[0], payload.decode())
        chunk = json.loads(text, strict=False, parse_int=orjson.loads, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None
    return chunk if isinstance(chunk, dict) else None


def _is_whole(part: bytes) -> bool:
    """Whether a part of a broken event is an event by itself, and not a piece of one."""
    if part == b"[DONE]":
        return True
    chunk = _loaded(part, or_else=None)
    return isinstance(chunk, dict) and any(chunk.get(name) for name in ("choices", "error", "usage"))


def _choice_0(chunk: dict[str, Any]) -> dict[str, Any]:
    """Choice 0 only: nobody renders several. Usage and content-filter chunks have none."""
    choices = chunk.get("choices")
    for choice in choices if type(choices) is list else ():
        if type(choice) is dict and choice.get("index") in (0, None):
            return choice
    return {}


def _texts(content: Any) -> dict[str, Any]:
    """Content is a text, or a list of parts, each of them text or a thought that is text or such a list."""
    if isinstance(content, str):
        return {"content": content} if content else {}
    text, thought = [], []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and "thinking" in part:
            inner = part["thinking"]
            thought.append(inner if isinstance(inner, str) else _texts(inner).get("content", ""))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            text.append(part["text"])
    joined = {"content": "".join(text), "reasoning": "".join(thought)}
    return {name: value for name, value in joined.items() if value}


def _can_be_told(data: dict[str, Any]) -> bool:
    """Whether it can be passed on: orjson reads more levels than it writes, and nobody counts in MiB."""
    try:
        return len(orjson.dumps(data)) <= _COUNTS
    except TypeError:
        return False


def _quoted(payload: bytes) -> str:
    return repr(payload[: 4 * _QUOTED].decode("utf-8", "replace")[:_QUOTED])


def _malformed(payload: bytes) -> UpstreamError:
    return UpstreamError("malformed", f"The upstream sent what is no JSON object: {_quoted(payload)}")
