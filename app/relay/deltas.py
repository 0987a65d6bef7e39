"""One payload of an upstream's stream to what it says: text, a reason to end, usage, an error.

Pure. Speaks OpenAI's `chat.completion.chunk` and what its many imitators make of it; every oddity met in the
field has a row in tests/relay/test_deltas.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.errors import UpstreamError

# The same thing under three names.
_REASONING = ("reasoning_content", "reasoning", "reasoning_text")
# The parts of a Message that are text.
_TEXTS = ("content", "reasoning", "refusal")
# What the `code` or `type` of an error inside a stream has in it.
_RATE = re.compile(r"rate_?limit|too_many|quota|\b429\b")
_AUTH = re.compile(r"auth|api_key|permission|\b40[13]\b")


@dataclass(frozen=True)
class Delta:
    """A piece of the answer: those of `content`, `reasoning`, `tool_calls`, `refusal` that are there."""

    data: dict[str, Any]


@dataclass(frozen=True)
class Usage:
    """Tokens as the upstream counts them: at least `prompt_tokens`, `completion_tokens`, `total_tokens`."""

    data: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """The upstream says that the answer is whole; `reason` in its own word, "" for a bare `[DONE]`."""

    reason: str


Said = Delta | Usage | Finished


def parse(payload: str) -> list[Said]:
    """What one event's data says, in order; empty for what says nothing (role only, keep-alives).

    Raises UpstreamError: `malformed` where it is no JSON object, else the error the upstream reports.
    """
    if payload == "[DONE]":
        return [Finished("")]
    if not payload.strip() or payload.startswith(":"):  # a keep-alive; a comment that a proxy made data of
        return []
    chunk = _object(payload)
    if chunk.get("error"):
        raise _reported(chunk["error"])
    said: list[Said] = []
    choice = _choice_0(chunk)
    data = _delta(choice.get("message") if choice.get("delta") is None else choice["delta"])
    if data:
        said.append(Delta(data))
    if choice.get("finish_reason"):  # "" on every chunk means: not yet
        said.append(Finished(str(choice["finish_reason"])))
    if isinstance(chunk.get("usage"), dict):
        said.append(Usage(chunk["usage"]))
    return said


def _object(payload: str) -> dict[str, Any]:
    try:
        chunk = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise UpstreamError("malformed", f"The upstream sent what is not JSON: {payload[:200]!r}") from None
    if not isinstance(chunk, dict):
        raise UpstreamError("malformed", f"The upstream sent no JSON object: {payload[:200]!r}")
    return chunk


def _choice_0(chunk: dict[str, Any]) -> dict[str, Any]:
    """Choice 0 only: nobody renders several. Usage and content-filter chunks have none."""
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            return choice
    return {}


def _delta(delta: Any) -> dict[str, Any]:
    if not isinstance(delta, dict):
        return {}
    data: dict[str, Any] = {}
    for name in ("content", "refusal"):
        if isinstance(delta.get(name), str) and delta[name]:
            data[name] = delta[name]
    thought = next((delta[n] for n in _REASONING if isinstance(delta.get(n), str) and delta[n]), "")
    if thought:
        data["reasoning"] = thought
    calls = delta.get("tool_calls")
    if isinstance(calls, list) and any(isinstance(call, dict) for call in calls):
        data["tool_calls"] = [call for call in calls if isinstance(call, dict)]
    return data


def _reported(error: Any) -> UpstreamError:
    """An error inside a stream that began with 200."""
    details = error if isinstance(error, dict) else {"message": error}
    message = f"The upstream reports: {details.get('message') or 'an error'}"[:300]
    kind = f"{details.get('code', '')} {details.get('type', '')}".lower()
    if _RATE.search(kind):
        return UpstreamError("rate_limited", message)
    if _AUTH.search(kind):
        return UpstreamError("auth", message, retryable=False)
    return UpstreamError("upstream_status", message)


def merge(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """The `data` of one Delta that adds to a Message what these add one after the other."""
    names = dict.fromkeys(name for delta in deltas for name in delta)
    return {name: _merged(name, [delta[name] for delta in deltas if name in delta]) for name in names}


def _merged(name: str, values: list[Any]) -> Any:
    """Texts joined, pieces of tool calls one after the other; of what no Message adds up, the last."""
    if name in _TEXTS:
        return "".join(values)
    return [call for calls in values for call in calls] if name == "tool_calls" else values[-1]


@dataclass
class Message:
    """An assistant's message as its deltas add up. What the hub folds into, and what is stored."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    tool_calls: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, delta: dict[str, Any]) -> None:
        """Adds the `data` of one Delta."""
        for name in _TEXTS:
            if name in delta:
                getattr(self, name).append(delta[name])
        for call in delta.get("tool_calls", ()):
            self._add_call(call)

    def compact(self) -> None:
        """Joins the pieces, once no more come: each of them takes 50 bytes besides its text."""
        for name in _TEXTS:
            setattr(self, name, ["".join(getattr(self, name))] if getattr(self, name) else [])

    def data(self) -> dict[str, Any]:
        """`{content}`, and `reasoning`, `refusal`, `tool_calls` where there are any."""
        data: dict[str, Any] = {"content": "".join(self.content)}
        if self.reasoning:
            data["reasoning"] = "".join(self.reasoning)
        if self.refusal:
            data["refusal"] = "".join(self.refusal)
        if self.tool_calls:
            data["tool_calls"] = [call for _, call in sorted(self.tool_calls.items())]
        return data

    def _add_call(self, call: dict[str, Any]) -> None:
        """Name and arguments come split, the name at times late: text is joined, the rest replaced."""
        index = call.get("index")
        at = index if isinstance(index, int) else 0
        whole = self.tool_calls.setdefault(at, {"index": at, "function": {"name": "", "arguments": ""}})
        whole.update({k: v for k, v in call.items() if k not in ("index", "function") and v})
        function = call.get("function")
        for name in ("name", "arguments"):
            piece = function.get(name) if isinstance(function, dict) else None
            if piece is not None:
                whole["function"][name] += piece if isinstance(piece, str) else orjson.dumps(piece).decode()
