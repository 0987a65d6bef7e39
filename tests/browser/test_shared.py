"""shared.js in real tabs: one stream for all of them, and each is told everything once, whoever holds it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.line import Line
from tests.browser.tabs import Sender, Tabs
from tests.conftest import Serve
from tests.rig.reading import eventually
from tests.rig.serving import Server

pytestmark = pytest.mark.browser


@pytest.fixture
def tabs(context: BrowserContext, server: Server) -> Tabs:
    return Tabs(context, server.url)


@pytest.fixture
def sender(server: Server, fresh_client: str) -> Sender:
    return Sender(server, fresh_client)


@pytest.fixture
def pouring(sender: Sender) -> Iterator[threading.Thread]:
    """Sends 0 to 299, 5 ms apart, from another thread."""

    def pour() -> None:
        for i in range(300):
            sender.send(i)
            time.sleep(0.005)

    thread = threading.Thread(target=pour)
    yield thread
    thread.join(30)


# As seen from other tabs, this is a page that the system has put to sleep.
SLEEP = "(ms) => { setTimeout(() => { const end = Date.now() + ms; while (Date.now() < end); }); }"
POURED = list(range(300))


def test_two_tabs_hold_one_stream_and_both_are_told_everything_once(tabs: Tabs, sender: Sender) -> None:
    one, other = tabs.open(sender.client), tabs.open(sender.client)
    sender.send(*range(20))
    for tab in (one, other):
        tab.until_told(range(20))
    assert sender.connections() == 1
    assert (one.is_leader, other.is_leader) == (True, False)
    assert one.cursor == other.cursor


def test_both_tabs_have_the_surface_of_a_source_of_their_own(tabs: Tabs, sender: Sender) -> None:
    one, other = tabs.open(sender.client), tabs.open(sender.client)
    for tab in (one, other):
        assert tab.heard("statuses")[-1] == "open"
        assert tab.heard("opens") >= 1
        assert tab.page.evaluate("() => source.url").endswith(f"clientId={sender.client}&closeOnDone=false")
    other.page.evaluate("() => source.close()")
    assert other.heard("statuses")[-1] == "closed: asked"
    assert other.page.evaluate("() => source.readyState") == 2
    sender.send("more")
    one.until_told(["more"])
    assert other.data() == []


def test_a_tab_that_closes_hands_the_stream_to_another_which_goes_on_from_its_cursor(
    tabs: Tabs, sender: Sender
) -> None:
    one, other = tabs.open(sender.client), tabs.open(sender.client)
    sender.send("a")
    other.until_told(["a"])
    tabs.close(one)
    sender.send("b")
    other.until_told(["a", "b"])
    assert tabs.led() is other
    sender.until_connections(1)
    assert [event["type"] for event in other.events()].count("reset") == 0


@pytest.mark.parametrize("how", ["closes", "is closed by its script", "is reloaded"])
def test_while_much_is_told_a_leader_that_goes_takes_nothing_with_it_and_nothing_comes_twice(
    tabs: Tabs, sender: Sender, pouring: threading.Thread, how: str
) -> None:
    stay = [tabs.open(sender.client) for _ in range(3)]
    pouring.start()
    for _ in range(2):
        time.sleep(0.3)
        leader = tabs.led()
        if leader in stay:
            stay.remove(leader)
        if how == "closes":
            tabs.close(leader)
        elif how == "is reloaded":
            leader.page.reload()
            tabs.all.remove(leader)
        else:
            leader.page.evaluate("() => source.close()")
    for tab in stay:
        tab.until_told(POURED)
    assert stay


def test_seven_tabs_at_once_are_all_told_everything_and_calls_still_get_through(
    tabs: Tabs, sender: Sender, pouring: threading.Thread
) -> None:
    """A browser gives a site six connections: with seven streams the last tab would wait for ever."""
    blank = [tabs.blank() for _ in range(7)]
    for tab in blank:
        tab.open(sender.client)
    for tab in blank:
        tab.listening()
    pouring.start()
    for tab in blank:
        assert tab.page.evaluate("async () => (await fetch('/healthz')).status") == 200
    for tab in blank:
        tab.until_told(POURED)
    sender.until_connections(1)
    assert len([tab for tab in blank if tab.is_leader]) == 1


def test_seven_tabs_that_come_while_much_is_told_each_continue_from_their_own_cursor(
    tabs: Tabs, sender: Sender, pouring: threading.Thread
) -> None:
    first = tabs.open(sender.client)
    start = first.cursor
    pouring.start()
    late = []
    for _ in range(6):
        time.sleep(0.15)
        late.append(tabs.blank().open(sender.client, lastEventId=start))
    for tab in [first, *late]:
        tab.until_told(POURED)
    sender.until_connections(1)


def test_a_tab_that_comes_with_an_older_cursor_catches_up_by_itself_and_then_joins(
    tabs: Tabs, sender: Sender
) -> None:
    one = tabs.open(sender.client)
    start = one.cursor
    sender.send(*range(5))
    one.until_told(range(5))
    late = tabs.open(sender.client, lastEventId=start)
    late.until_told(range(5))
    sender.until_connections(1)
    sender.send(5)
    for tab in (one, late):
        tab.until_told(range(6))
    assert (one.is_leader, late.is_leader) == (True, False)


def test_a_tab_that_comes_without_a_cursor_is_told_what_a_stream_without_one_is_told(
    tabs: Tabs, sender: Sender
) -> None:
    one = tabs.open(sender.client)
    sender.send("old")
    one.until_told(["old"])
    late = tabs.open(sender.client)
    sender.until_connections(1)
    sender.send("new")
    late.until_told(["new"])  # what others were handed is not sent again to one who says no cursor


def test_a_leader_that_sleeps_loses_the_stream_and_follows_once_it_wakes(tabs: Tabs, sender: Sender) -> None:
    one, other = tabs.open(sender.client), tabs.open(sender.client)
    one.page.evaluate(SLEEP, 6_000)
    other.page.evaluate("() => dispatchEvent(new Event('online'))")  # asks the leader, as every 20 s
    eventually(lambda: other.is_leader, within=10)
    sender.send("a", "b")
    other.until_told(["a", "b"])
    one.until_told(["a", "b"])
    assert tabs.led() is other
    sender.until_connections(1)


@pytest.mark.parametrize("missing", ["navigator.locks", "BroadcastChannel"])
def test_where_tabs_can_not_talk_to_each_other_each_has_its_own_stream(
    context: BrowserContext, tabs: Tabs, sender: Sender, missing: str
) -> None:
    owner, name = ("Navigator.prototype", "locks") if "." in missing else ("globalThis", missing)
    context.add_init_script(f"Object.defineProperty({owner}, '{name}', {{ value: undefined }})")
    one, other = tabs.open(sender.client), tabs.open(sender.client)
    assert sender.connections() == 2
    sender.send("a")
    for tab in (one, other):
        tab.until_told(["a"])


def test_where_locks_are_forbidden_each_tab_leads_itself(
    context: BrowserContext, tabs: Tabs, sender: Sender
) -> None:
    context.add_init_script(
        """if (globalThis.LockManager) LockManager.prototype.request = async () => {
            throw new DOMException('no', 'SecurityError');
        };"""
    )
    one, other = tabs.open(sender.client), tabs.open(sender.client)
    sender.send("a")
    for tab in (one, other):
        tab.until_told(["a"])


def test_done_ends_the_streams_of_all_tabs(tabs: Tabs, sender: Sender, server: Server) -> None:
    pages = [tabs.open(sender.client, closeOnDone=True) for _ in range(2)]
    sender.post("/chat", {"clientId": sender.client, "message": "hi"})
    for tab in pages:
        tab.page.wait_for_function("() => source.readyState === 2")
        assert tab.events()[-1] == "[DONE]"
        assert [event["type"] for event in tab.events()[:-1]].count("done") == 1
        assert tab.heard("statuses")[-1].startswith("closed: ")
        assert tab.heard("errors") == []


def test_a_server_that_dismisses_a_client_dismisses_all_its_tabs(tabs: Tabs, sender: Sender) -> None:
    pages = [tabs.open(sender.client) for _ in range(3)]
    sender.dismiss()
    for tab in pages:
        tab.page.wait_for_function("() => source.readyState === 2")
    eventually(lambda: sender.connections() == 0)


def test_a_refusal_that_is_final_for_the_leader_need_not_be_for_the_next(
    context: BrowserContext, server: Server, sender: Sender
) -> None:
    """Each has its own token, and one that ran out ends one tab only."""
    with Line(server) as line:
        tabs = Tabs(context, line.url)
        leader, other = tabs.open(sender.client), tabs.open(sender.client)
        leader.page.route("**/sse/createConnect*", lambda route: route.fulfill(status=401))
        line.cut()
        leader.page.wait_for_function("() => source.readyState === 2")
        eventually(lambda: other.is_leader)
        sender.send("a")
        other.until_told(["a"])
        assert leader.heard("errors")[-1] == {"status": 401, "fatal": True, "willRetry": False}
        assert not [error for error in other.heard("errors") if error["fatal"]]


def test_an_error_that_is_final_is_told_to_all_tabs(tabs: Tabs, server: Server) -> None:
    pages = [tabs.blank().open("an impossible name") for _ in range(2)]
    for tab in pages:
        tab.page.wait_for_function("() => source.readyState === 2")
        assert tab.heard("errors")[0] == {"status": 422, "fatal": True, "willRetry": False}
        assert tab.heard("statuses")[-1] == "closed: fatal"


def test_a_lost_link_is_lost_for_all_and_any_tab_may_ask_for_the_next_attempt(
    context: BrowserContext, server: Server, fresh_client: str
) -> None:
    with Line(server) as line:
        tabs = Tabs(context, line.url)
        pages = [tabs.open(fresh_client) for _ in range(2)]
        line.cut(dead=True)
        for tab in pages:
            tab.page.wait_for_function("() => source.readyState === 0 && heard.errors.length")
            assert tab.heard("errors")[0]["willRetry"] is True
        line.mend()
        pages[1].page.evaluate("() => source.reconnect()")
        for tab in pages:
            tab.listening()


def test_after_a_restart_of_the_server_every_tab_is_told_to_begin_anew(
    context: BrowserContext, serve: Serve, fresh_client: str
) -> None:
    first, second = serve(), serve()
    with Line(first) as line:
        tabs = Tabs(context, line.url)
        pages = [tabs.open(fresh_client) for _ in range(2)]
        line.mend(second)
        line.cut()
        sender = Sender(second, fresh_client)
        sender.until_connections(1)
        sender.send("new")
        for tab in pages:
            tab.until_told(["new"])
            assert [event["type"] for event in tab.events()].count("reset") == 1
        assert sender.connections() == 1
