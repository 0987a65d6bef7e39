"""What an answer is made of: pieces of text, of thoughts and of tool calls, and how they add up to a message.

Pure. payloads.py makes Delta, Usage and Finished of what an upstream sends; the hub folds deltas with Message
and merge, the store keeps what Message came to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

# The parts of a Message that are text.
_TEXTS = ("content", "reasoning", "refusal")
# An index beyond is none.
MAX_CALLS = 4096


# Not frozen: that takes longer to make than all the rest of a delta's way to here.
@dataclass(slots=True)
class Delta:
    """A piece of the answer: those of `content`, `reasoning`, `tool_calls`, `refusal` that are there."""

    data: dict[str, Any]


@dataclass(slots=True)
class Usage:
    """Tokens as the upstream counts them: at least `prompt_tokens`, `completion_tokens`, `total_tokens`."""

    data: dict[str, Any]


@dataclass(slots=True)
class Finished:
    """The upstream says that the answer is whole; `reason` in its own word, "" for a bare `[DONE]`."""

    reason: str


Said = Delta | Usage | Finished


@dataclass(slots=True)
class _Call:
    """What was told of a call so far; `argued`: some of its arguments."""

    index: int
    id: str = ""
    name: str = ""
    argued: bool = False
    told: dict[str, Any] | None = None  # besides; None before its first piece


class Calls:
    """Tells the pieces of one answer's tool calls apart. What leaves has an own `index` each and texts for
    `name` and `arguments`; a Message adds them up.

    Upstreams leave the index out, say 0 for all of them, repeat the id with each piece or make up another.
    """

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}  # by own index
        self._last: dict[int | None, _Call] = {}  # by the upstream's index; None: of all
        self._by_id: dict[tuple[int | None, str], _Call] = {}

    def pieces(self, delta: dict[str, Any]) -> list[dict[str, Any]]:
        """The pieces in one delta, `function_call` (what it was called before) included."""
        calls, legacy = delta.get("tool_calls"), delta.get("function_call")
        said = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        if isinstance(legacy, dict) and legacy and not said:
            said = [{"index": 0, "type": "function", "function": legacy}]
        return [piece for piece in map(self._piece, said) if piece]

    def _piece(self, said: dict[str, Any]) -> dict[str, Any] | None:
        """One piece as it goes on, without what was said before; None where that leaves nothing."""
        index, id, texts = _index_of(said), _id_of(said), _texts_of(said)
        call = self._call_of(index, id, texts)
        new, told = call.told is None, call.told or {}
        rest = {
            k: v for k, v in said.items() if k not in ("index", "id", "function") and v and told.get(k) != v
        }
        call.told = {**told, **rest}
        if id and not call.id:
            call.id = rest["id"] = id
            self._by_id[index, id] = self._by_id[None, id] = call
        if texts.get("name") in ("", call.name):  # repeated, not another half of it
            del texts["name"]
        call.name += texts.get("name", "")
        call.argued = call.argued or bool(texts.get("arguments"))
        if not (new or rest or any(texts.values())):
            return None
        return {"index": call.index, **rest, **({"function": texts} if texts else {})}

    def _call_of(self, index: int | None, id: str, texts: dict[str, str]) -> _Call:
        """The call that a piece is of, a new one where it begins one."""
        call = self._by_id.get((index, id)) or self._last.get(index)
        if call is None or _begins(call, index, id, texts):
            taken = index is None or index in self._calls
            call = _Call(max(self._calls, default=-1) + 1 if taken else index or 0)
            self._calls[call.index] = call
        self._last[index] = self._last[None] = call
        self._last.setdefault(call.index, call)
        return call


def _begins(call: _Call, index: int | None, id: str, texts: dict[str, str]) -> bool:
    """Whether a piece begins a call of its own, after one of the same index.

    It does by an id of its own: but some upstreams make one up for each piece, of which only the first has a
    name. Without ids it does by a name: another one after arguments, or any where there is no index.
    """
    name, arguments = texts.get("name"), texts.get("arguments")
    if id and call.id:
        return id != call.id and bool(name or not arguments)
    return bool(name and call.name) and (index is None or (call.argued and name != call.name))


def _texts_of(call: dict[str, Any]) -> dict[str, str]:
    """`name` and `arguments`, which come as an object from some, as text."""
    function = call.get("function")
    said = {name: function.get(name) for name in ("name", "arguments")} if isinstance(function, dict) else {}
    return {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in said.items()
        if value is not None
    }


def _index_of(call: dict[str, Any]) -> int | None:
    index = call.get("index")
    return index if type(index) is int and 0 <= index < MAX_CALLS else None


def _id_of(call: dict[str, Any]) -> str:
    return call["id"] if isinstance(call.get("id"), str) else ""


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
        if len(delta) == 1 and "content" in delta:  # nearly all of them
            self.content.append(delta["content"])
            return
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
