"""The application in this process: `edge` to call it, streams that are read lazily and always closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app import create_app
from app.settings import Settings
from app.web.parts import NAME, Parts
from tests.conftest import ADMIN_TOKEN
from tests.rig.reading import eventually
from tests.rig.wire import Event, Wire

HOST = {"Host": "localhost"}
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
STREAM = "/sse/createConnect"


class Listening:
    """One event stream that is read item by item, as a server would. `take` waits for the next item."""

    def __init__(self, response: TestResponse) -> None:
        self.status, self.headers = response.status_code, response.headers
        self._response, self._items, self._wire = response, iter(response.response), Wire()
        self.events: list[Event] = []
        self._left: list[Event] = []

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *exc: object) -> None:
        self._response.close()

    @property
    def retry(self) -> int | None:
        """Milliseconds of the last `retry:` line."""
        return self._wire.retry

    def take(self) -> list[Event]:
        """What `until` left of the last item, else the events of the next; StopIteration at the end."""
        found, self._left = self._left, []
        if not found:
            item = next(self._items)
            self._wire.feed(item if isinstance(item, bytes) else item.encode())
            found = list(iter(self._wire.pop, None))
            self.events += found
        return found

    def until(self, kind: str) -> Event:
        """Reads on until an event of this type is in."""
        while True:
            found = self.take()
            for i, event in enumerate(found):
                if event.type == kind:
                    self._left = found[i + 1 :]
                    return event

    def rest(self) -> list[str]:
        """The types of all that comes until the end."""
        return [event.type for item in iter(lambda: next_or_none(self), None) for event in item]


def next_or_none(stream: Listening) -> list[Event] | None:
    try:
        return stream.take()
    except StopIteration:
        return None


class Edge:
    """One application, and whoever calls it."""

    def __init__(self, **settings: Any) -> None:
        self.app = create_app(Settings.load(**settings))
        self.parts: Parts = self.app.extensions[NAME]
        self._http = self.app.test_client()

    def call(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> TestResponse:
        """Any request; the caller closes what comes back where it is a stream."""
        return self._http.open(target, method=method, data=body, headers={**HOST, **(headers or {})})

    def get(self, target: str, **headers: str) -> TestResponse:
        return self.call("GET", target, headers=_named(headers))

    def post(self, target: str, body: Any, **headers: str) -> TestResponse:
        """`body` as JSON."""
        kind = {"Content-Type": "application/json"}
        return self.call("POST", target, json.dumps(body).encode(), {**kind, **_named(headers)})

    def listen(self, query: str, cursor: str = "", **headers: str) -> Listening:
        """An open stream; its first item has not been taken yet."""
        given = {**_named(headers), **({"Last-Event-ID": cursor} if cursor else {})}
        return Listening(self.call("GET", f"{STREAM}?{query}", headers=given))

    def ask(self, client_id: str, **question: Any) -> dict[str, str]:
        """POST /chat; the ids of the new answer."""
        response = self.post("/chat", {"clientId": client_id, "message": "hi", **question})
        assert response.status_code == 201, response.text
        ids: dict[str, str] = response.get_json()
        return ids

    def view(self, generation_id: str) -> dict[str, Any]:
        """GET /chat/<id>."""
        found: dict[str, Any] = self.get(f"/chat/{generation_id}").get_json()
        return found

    def ended(self, generation_id: str) -> dict[str, Any]:
        """GET /chat/<id>, once the answer has ended and no thread works on it."""
        eventually(lambda: self.view(generation_id)["state"] in ("done", "error"))
        eventually(lambda: generation_id not in self.parts.relay._places.running)
        return self.view(generation_id)

    def numbers(self) -> dict[str, Any]:
        """How many there are of everything that a request may not leave behind."""
        counts = self.parts.hub.counts()
        conversations = len(self.parts.conversations)
        return {**counts, "generations": repr(self.parts.relay), "conversations": conversations}

    def end(self) -> None:
        """No thread outlives the test."""
        self.parts.relay.close()
        self.parts.relay.interrupt()
        eventually(lambda: not self.parts.relay.count())
        self.parts.sweep.stop()


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


MakeEdge = Callable[..., Edge]


@pytest.fixture(autouse=True)
def no_setting_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the surroundings set must not decide how these tests end."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def make_edge() -> Iterator[MakeEdge]:
    """`make_edge(heartbeat=1)`: an application with these settings."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Edge:
            edge = Edge(**settings)
            stack.callback(edge.end)
            return edge

        yield make


@pytest.fixture
def edge(make_edge: MakeEdge) -> Edge:
    """An application as shipped, with an admin and without an upstream."""
    return make_edge(admin_token=ADMIN_TOKEN)
