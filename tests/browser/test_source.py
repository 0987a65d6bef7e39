"""source.js against a network of its own: when it comes back, when it gives up, what it asks for."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

# A stream over a scripted fetch. `answers`, in order, the last one for ever: {status, headers, body: [chunk],
# then: 'end' | 'break' | 'hang' | 'flood'}. Over once the source is closed, or `until` says so of `seen`.
RUN = """async ([answers, options, until]) => {
    const { newEventSource } = await import('/static/src/client/index.js');
    const seen = { messages: [], errors: [], opens: 0, statuses: [], requests: [] };
    const stream = ({ body = [], then = 'end' }, signal) => new ReadableStream({
        start(controller) {
            signal.addEventListener('abort', () => { try { controller.error(signal.reason); } catch {} });
            for (const chunk of body) controller.enqueue(new TextEncoder().encode(chunk));
            const megabyte = new Uint8Array(1 << 20).fill(120);
            for (let i = 0; then === 'flood' && i < 17; i += 1) controller.enqueue(megabyte);
            if (then === 'end') controller.close();
            if (then === 'break') setTimeout(() => controller.error(new TypeError('network error')));
        },
    });
    const fetch = async (url, { headers, signal, method = 'GET' }) => {
        seen.requests.push({ url, method, id: headers.get('Last-Event-ID'), key: headers.get('X-Key') });
        const answer = answers[Math.min(seen.requests.length, answers.length) - 1];
        if (answer.status === 0) throw new TypeError('Failed to fetch');
        const status = answer.status ?? 200;
        const head = { status, headers: { 'Content-Type': 'text/event-stream', ...answer.headers } };
        return new Response(status === 204 ? null : stream(answer, signal), head);
    };
    const isOver = until ? new Function('seen', `return ${until}`) : () => false;
    await new Promise((resolve) => {
        const look = () => { if (isOver(seen) || source.readyState === 2) resolve(); };
        const source = newEventSource({
            url: '/sse', fetch, retry: { min: 1, max: 5 }, ...options,
            onMessage: ({ data, lastEventId }) => { seen.messages.push([data, lastEventId]); look(); },
            onError: ({ status, fatal, willRetry, retryInMs }) => {
                seen.errors.push({ status, fatal, willRetry, retryInMs });
                look();
            },
            onOpen: () => { seen.opens += 1; look(); },
            onStatus: ({ state, reason }) => {
                seen.statuses.push(reason ? `${state}: ${reason}` : state);
                setTimeout(look);
            },
        });
        window.source = source;
    });
    seen.state = source.readyState;
    seen.lastEventId = source.lastEventId;
    source.close();
    return seen;
}"""
GOOD = {"body": ["id: 1\ndata: a\n\n"], "then": "hang"}
DONE = {"body": ["data: [DONE]\n\n"], "then": "hang"}


def run(lab: Page, *answers: dict[str, Any], until: str = "", **options: Any) -> dict[str, Any]:
    seen: dict[str, Any] = lab.evaluate(RUN, [list(answers), options, until])
    return seen


@pytest.mark.parametrize("status", [0, 408, 425, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again(lab: Page, status: int) -> None:
    seen = run(lab, {"status": status}, DONE)
    assert seen["messages"] == [["[DONE]", ""]]
    assert seen["errors"][0]["status"] == status
    assert seen["errors"][0]["willRetry"] is True


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_what_will_not_change_is_final(lab: Page, status: int) -> None:
    seen = run(lab, {"status": status})
    assert len(seen["requests"]) == 1
    assert seen["errors"] == [{"status": status, "fatal": True, "willRetry": False, "retryInMs": None}]
    assert seen["statuses"][-1] == "closed: fatal"


def test_a_page_in_the_place_of_a_stream_is_final(lab: Page) -> None:
    seen = run(lab, {"headers": {"Content-Type": "text/html"}, "body": ["data: no\n\n"]})
    assert (seen["messages"], seen["errors"][0]["fatal"], seen["opens"]) == ([], True, 0)


def test_no_content_means_stop_coming_back(lab: Page) -> None:
    seen = run(lab, {"status": 204})
    assert (seen["errors"], seen["statuses"][-1], len(seen["requests"])) == ([], "closed: stopped", 1)


@pytest.mark.parametrize("then", ["end", "break"])
def test_a_lost_stream_is_resumed_after_the_last_whole_event(lab: Page, then: str) -> None:
    first = {"body": ["id: 1\ndata: a\n\nid: 2\nda", "ta: half"], "then": then}
    seen = run(lab, first, {"body": ["id: 2\ndata: b\n\ndata: [DONE]\n\n"], "then": "hang"})
    assert seen["messages"] == [["a", "1"], ["b", "2"], ["[DONE]", "2"]]
    assert [request["id"] for request in seen["requests"]] == [None, "1"]
    assert {request["method"] for request in seen["requests"]} == {"GET"}


def test_the_address_names_client_cursor_and_wish_and_headers_are_sent(lab: Page) -> None:
    options = {"clientId": "me", "lastEventId": "e.5", "closeOnDone": False, "headers": {"X-Key": "k"}}
    request = run(lab, GOOD, until="seen.messages.length", **options)["requests"][0]
    assert request["url"].endswith("/sse?clientId=me&closeOnDone=false&lastEventId=e.5")
    assert (request["id"], request["key"]) == ("e.5", "k")


def test_done_closes_unless_it_is_told_not_to(lab: Page) -> None:
    assert run(lab, DONE)["statuses"][-1] == "closed: done"
    more = {"body": ["data: [DONE]\n\ndata: more\n\n"], "then": "hang"}
    assert run(lab, more)["messages"] == [["[DONE]", ""]]
    seen = run(lab, more, until="seen.messages.length === 2", closeOnDone=False)
    assert [data for data, _ in seen["messages"]] == ["[DONE]", "more"]


def test_a_goodbye_for_good_closes_and_one_until_later_does_not(lab: Page) -> None:
    later = {"body": ['data: {"type":"closing","reason":"lifetime","reconnect":true}\n\n']}
    good = {"body": ['data: {"type":"closing","reason":"closed","reconnect":false}\n\n']}
    seen = run(lab, later, good)
    assert (len(seen["requests"]), seen["statuses"][-1]) == (2, "closed: dismissed")


def test_retry_and_retry_after_are_waited_for(lab: Page) -> None:
    seen = run(lab, {"body": ["retry: 120\ndata: a\n\n"]}, until="seen.errors.length")
    assert seen["errors"][0]["retryInMs"] == 120
    busy = {"status": 503, "headers": {"Retry-After": "7"}}
    assert run(lab, busy, until="seen.errors.length")["errors"][0]["retryInMs"] == 7_000


def test_the_wait_grows_up_to_its_bound_and_is_spread_over_it(lab: Page) -> None:
    waits = lab.evaluate("""async () => {
        const { wait } = await import('/static/src/client/index.js');
        const waits = (failures) => [0, 0.5, 1].map((luck) => wait({ failures, random: () => luck }));
        return [0, 1, 3, 5, 60].map(waits);
    }""")
    assert waits == [[0, 500, 1000], [0, 1000, 2000], [0, 4000, 8000], [0, 15000, 30000], [0, 15000, 30000]]


@pytest.mark.parametrize(
    ("header", "ms"), [("3", 3_000), ("-1", 0), ("soon", 0), ("", 0), ("99999", 600_000)]
)
def test_retry_after_is_read_with_care(lab: Page, header: str, ms: int) -> None:
    read = "async (h) => (await import('/static/src/client/index.js')).retryAfter(h)"
    assert lab.evaluate(read, header) == ms


def test_retry_after_may_be_a_date(lab: Page) -> None:
    read = "async ([h, now]) => (await import('/static/src/client/index.js')).retryAfter(h, now)"
    assert lab.evaluate(read, ["Thu, 01 Jan 1970 00:00:09 GMT", 4_000]) == 5_000


def test_silence_is_noticed_and_any_byte_is_a_sign_of_life(lab: Page) -> None:
    seen = run(lab, {"body": [":\n\n"], "then": "hang"}, DONE, heartbeatTimeout=50)
    assert (seen["errors"][0]["status"], seen["errors"][0]["willRetry"]) == (200, True)
    assert len(seen["requests"]) == 2


def test_silence_proves_nothing_while_the_page_is_hidden(lab: Page) -> None:
    lab.evaluate("Object.defineProperty(document, 'hidden', { get: () => true, configurable: true })")
    # Comes back to `until` every 20 ms, and is content once ten times the timeout went by in silence.
    again = "setTimeout(() => source.dispatchEvent(new Event('open')), 20)"
    waited = f"(window.begun ??= performance.now(), {again}, performance.now() - begun > 300)"
    seen = run(lab, GOOD, until=f"seen.opens && {waited}", heartbeatTimeout=30)
    assert (seen["errors"], len(seen["requests"])) == ([], 1)


@pytest.mark.parametrize("waker", ["window:online", "window:pageshow", "document:visibilitychange"])
def test_whoever_comes_back_does_not_wait_for_the_next_attempt(lab: Page, waker: str) -> None:
    target, event = waker.split(":")
    wake = (
        f"(seen.errors.length === 1 && setTimeout(() => {target}.dispatchEvent(new Event('{event}'))), false)"
    )
    bounds = {"min": 3_600_000, "max": 3_600_000}
    seen = run(lab, {"status": 500, "headers": {"Retry-After": "500"}}, DONE, until=wake, retry=bounds)
    assert (seen["messages"], len(seen["requests"])) == ([["[DONE]", ""]], 2)


def test_an_endless_event_is_final(lab: Page) -> None:
    seen = run(lab, {"body": ["data: "], "then": "flood"})
    assert (seen["errors"][0]["fatal"], len(seen["requests"])) == (True, 1)


def test_a_listener_that_throws_does_not_break_the_stream(lab: Page) -> None:
    heard = lab.evaluate("""async () => {
        const { newEventSource } = await import('/static/src/client/index.js');
        const heard = [];
        addEventListener('error', (event) => event.preventDefault());
        await new Promise((resolve) => {
            const body = 'data: a\\n\\ndata: b\\n\\ndata: [DONE]\\n\\n';
            const headers = { 'Content-Type': 'text/event-stream' };
            const fetch = async () => new Response(body, { headers });
            newEventSource({
                url: '/sse', fetch, onStatus: ({ state }) => state === 'closed' && resolve(),
                onMessage: ({ data }) => { heard.push(data); throw new Error('mine'); },
            });
        });
        return heard;
    }""")
    assert heard == ["a", "b", "[DONE]"]


def test_an_aborted_signal_closes(lab: Page) -> None:
    state = lab.evaluate("""async () => {
        const { newEventSource, CLOSED } = await import('/static/src/client/index.js');
        const abort = new AbortController();
        const fetch = () => new Promise(() => {});
        const source = newEventSource({ url: '/sse', fetch, signal: abort.signal });
        abort.abort();
        return source.readyState === CLOSED;
    }""")
    assert state is True
