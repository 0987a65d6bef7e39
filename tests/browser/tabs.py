"""Several tabs of one browser on one client's stream, and what each of them was told."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from playwright.sync_api import BrowserContext, Page

from tests.rig.reading import eventually
from tests.rig.serving import Server

# Opens a source and keeps what it says. `maker`: newSharedSource or newEventSource.
OPEN = """async ([maker, options]) => {
    const file = maker === 'newSharedSource' ? 'shared' : 'index';
    const client = await import(`/static/src/client/${file}.js`);
    window.heard = { messages: [], statuses: [], errors: [], opens: 0 };
    window.source = client[maker]({
        url: '/sse/createConnect', closeOnDone: false, retry: { min: 50, max: 200 }, ...options,
        onMessage: ({ data, lastEventId }) => heard.messages.push([data, lastEventId]),
        onStatus: ({ state, reason }) => heard.statuses.push(reason ? `${state}: ${reason}` : state),
        onError: ({ status, fatal, willRetry }) => heard.errors.push({ status, fatal, willRetry }),
        onOpen: () => { heard.opens += 1; },
    });
}"""


class Tab:
    """One page with one source."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self, client: str, *, maker: str = "newSharedSource", **options: Any) -> Tab:
        self.page.evaluate(OPEN, [maker, {"clientId": client, **options}])
        return self

    def listening(self) -> Tab:
        """Waits until the stream stands for this tab, whoever holds it."""
        self.page.wait_for_function("() => window.source.readyState === 1")
        return self

    @property
    def is_leader(self) -> bool:
        return bool(self.page.evaluate("() => window.source.isLeader"))

    @property
    def cursor(self) -> str:
        return str(self.page.evaluate("() => window.source.lastEventId"))

    def heard(self, name: str) -> list[Any]:
        found: list[Any] = self.page.evaluate("(name) => window.heard[name]", name)
        return found

    def events(self) -> list[Any]:
        """The JSON of what came; `[DONE]` as it is."""
        return [data if data == "[DONE]" else json.loads(data) for data, _ in self.heard("messages")]

    def data(self, kind: str = "message") -> list[Any]:
        return [event["data"] for event in self.events() if event != "[DONE]" and event["type"] == kind]

    def until_told(self, data: Sequence[Any]) -> None:
        """Waits until as many messages came, and holds them against what should have come."""
        self.page.wait_for_function(
            """(count) => {
                const isOne = ([data]) => data.startsWith('{"type":"message"');
                return heard.messages.filter(isOne).length >= count;
            }""",
            arg=len(data),
        )
        assert self.data() == list(data)


class Tabs:
    """`tabs.open(client)`: one more tab; `tabs.leader`."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._context, self._url = context, url
        self.all: list[Tab] = []

    def blank(self) -> Tab:
        """A tab in which nothing was opened yet."""
        page = self._context.new_page()
        page.set_default_timeout(15_000)
        page.goto(f"{self._url}/healthz")
        self.all.append(Tab(page))
        return self.all[-1]

    def open(self, client: str, **options: Any) -> Tab:
        return self.blank().open(client, **options).listening()

    def close(self, tab: Tab) -> None:
        self.all.remove(tab)
        tab.page.close()

    @property
    def leader(self) -> Tab:
        leaders = [tab for tab in self.all if tab.is_leader]
        assert len(leaders) == 1, f"{len(leaders)} of {len(self.all)} tabs lead"
        return leaders[0]

    def led(self) -> Tab:
        """The leader, once there is exactly one."""
        eventually(lambda: sum(tab.is_leader for tab in self.all) == 1)
        return self.leader


class Sender:
    """What another server would do: `sender.send(1, 2, 3)` to the client."""

    def __init__(self, server: Server, client: str) -> None:
        self._url, self.client = server.url, client

    def send(self, *data: Any) -> None:
        for item in data:
            self.post("/sse/send", {"clientId": self.client, "data": item})

    def dismiss(self) -> None:
        self.post("/sse/close", {"clientId": self.client})

    def connections(self) -> int:
        """Of the client; none where the server does not know it yet."""
        try:
            with urllib.request.urlopen(f"{self._url}/sse/clients/{self.client}") as response:
                return int(json.load(response)["connections"])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return 0
            raise

    def until_connections(self, count: int) -> None:
        eventually(lambda: self.connections() == count)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self._url}{path}",
            json.dumps(body, ensure_ascii=False).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            return json.load(response)
