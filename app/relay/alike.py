"""Events that differ from one read before in nothing but their text: told by their bytes, without JSON.

An upstream puts the same hundreds of bytes around each token. What stands before and after the text of one
event is learned, and proved by asking what another text in that place would say: then any JSON string there
is the text, and nothing else is said. Pure. Used by parser.py only.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable

from orjson import JSONDecodeError, loads

from app.relay.deltas import Delta, Said

# What each of the events begins with.
DATA = b"data: "
# What stands before and after a text, by what it is; whether it is the one that is said, the proof finds out.
_PLACES = {
    "content": re.compile(rb'(.*?"content": ?")[^"\\]*(".*)'),
    "reasoning": re.compile(rb'(.*?"reasoning(?:_content|_text)?": ?")[^"\\]*(".*)'),
}
# What no event begins with: nothing is learned yet.
_NOTHING = b"\n"
# How often may be learned in vain, as where each event counts what was used so far.
TRIES = 4
# Bytes of an event that is learned from: the search for its text takes a moment for each.
LEARNED = 4096


class Alike:
    """What is alike in the events of one upstream, each of them a line `data: …`.

    `says`: what an event's data says, for the proof. `most`: bytes of an event at most.
    """

    def __init__(self, says: Callable[[bytes], Iterable[Said]], most: int) -> None:
        self._says, self._most = says, most
        self._name, self._before, self._after = "", _NOTHING, b""  # with the quotes around the text
        self._begins = self._ends = 0  # where the text does, quotes and all: bytes from either end
        self._vain = 0

    def told(self, block: bytes, start: int, end: int) -> Delta | None:
        """The text that is all an event says, which is `block` from `start` to `end`; None where that can't
        be told here."""
        if not block.startswith(self._before, start, end) or not block.endswith(self._after, start, end):
            return None
        try:
            text = loads(block[start + self._begins : end - self._ends])
        except JSONDecodeError:  # it ends before the last quote, or is no strict JSON
            return None
        if not text or end - start >= self._most:
            return None
        self._vain = 0
        return Delta({self._name: text})

    def learn(self, event: bytes, said: Iterable[Said]) -> None:
        """`event` says what is `said`; if that is but a text, others like it can be told."""
        match said:
            case [Delta(data)] if self._vain < TRIES and len(event) <= LEARNED:
                self._vain += 1
                for name in data.keys() & _PLACES.keys():
                    place = _PLACES[name].fullmatch(event)
                    if place and self._proved(name, place[1], place[2]):
                        self._name, self._before, self._after = name, place[1], place[2]
                        self._begins, self._ends = len(place[1]) - 1, len(place[2]) - 1

    def _proved(self, name: str, before: bytes, after: bytes) -> bool:
        """Whether any text between these two is all that is said: nobody can have foreseen this one."""
        probe = secrets.token_hex(8)
        return list(self._says(before[len(DATA) :] + probe.encode() + after)) == [Delta({name: probe})]
