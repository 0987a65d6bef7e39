"""A page as its reader sees it: some answers at once, in a tab or two, and what must be true of each stopped.

Used by phases.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from bench.stop.house import PATIENCE, House
from tests.rig.reading import Reader

TERMINAL = ("done", "error")


class Page:
    """A client of its own. `with Page(house, tabs=2) as page:` …"""

    def __init__(self, house: House, tabs: int = 1) -> None:
        self._house = house
        self.client = f"stop-{uuid.uuid4().hex}"
        self._asked: list[str] = []
        # While it waits for something else it reads nothing, and a flood leaves it behind.
        url = house.server.url
        self.tabs = [Reader(url, self.client, lags=True, closeOnDone="false") for _ in range(tabs)]

    def __enter__(self) -> Page:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        for tab in self.tabs:
            tab.close()
        for generation in self._asked if kind else []:  # the next phase must not suffer from this one's fault
            self._house.calls.post(f"/chat/{generation}/stop", {})

    def ask(self, message: str, **body: Any) -> str:
        """The id of the answer that begins."""
        self._asked.append(self._house.calls.ask(self.client, message=message, **body))
        return self._asked[-1]

    def until_read(self, generation: str, deltas: int) -> None:
        """Reads on until so many deltas of it have come to each tab."""
        self._read(lambda tab: tab.seqs.get(generation, 0) >= deltas)

    def until_ended(self, generation: str) -> None:
        self._read(lambda tab: generation in tab.terminals)

    def come_back(self) -> None:
        """Loses its connections, and returns with its last ids."""
        for tab in self.tabs:
            tab.reset()
            tab.connect()
            assert tab.until("connected")["resumed"], "the cursor was not honoured"

    def until_now(self) -> None:
        """Reads all that was said to it before this moment."""
        key = uuid.uuid4().hex
        assert self._house.calls.send(self.client, key).status == 200
        self._read(lambda tab: bool(tab.events) and tab.events[-1].json.get("data") == key)

    def check(self, generation: str, prepared: bool = True) -> dict[str, Any]:
        """AssertionError unless it ended as stopped, once, and its text is the same everywhere; its view.
        `prepared`: whether it had come so far that an upstream was to be asked."""
        view = self._house.view(generation)
        for tab in self.tabs:
            own = [event for event in tab.events if event.json.get("generationId") == generation]
            assert [event.type for event in own if event.type in TERMINAL] == ["done"], own[-3:]
            end = own[-1]
            assert (end.type, end["reason"], end["seq"]) == ("done", "stopped", view["seq"]), end.json
            assert tab.texts.get(generation, "") == view["data"].get("content", "")
            assert end["usage"] == view["usage"]
        assert (view["state"], view["reason"]) == ("done", "stopped"), view
        assert (view["usage"]["prompt_tokens"] > 0) == prepared
        _check_usage(view["usage"], view["seq"], view["data"].get("content", ""))
        self._check_stored(view)
        return view

    def _check_stored(self, view: dict[str, Any]) -> None:
        """What a reload shows."""
        path = f"/conversations/{view['conversationId']}?clientId={self.client}"
        messages = self._house.calls.call("GET", path).json["messages"]
        stored = [each["content"] for each in messages if each.get("generationId") == view["generationId"]]
        assert stored == ([view["data"]["content"]] if view["seq"] else []), messages

    def _read(self, enough: Callable[[Reader], bool]) -> None:
        for tab in self.tabs:
            while not enough(tab):
                tab.next(PATIENCE)


def _check_usage(usage: dict[str, Any], deltas: int, text: str) -> None:
    """Estimated, and said to be, for the upstream that was cut has told nothing: a token is a letter or more,
    and a delta a token or more."""
    assert usage["estimated"] is True
    assert deltas <= usage["completion_tokens"] <= max(deltas, len(text))
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
