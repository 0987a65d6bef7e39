"""The chat in a frame of another site: it works, its address gives its options, it obeys nobody else."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.rig import script
from tests.rig.host import Host
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser


def framed(page: Page, site: Host, server: str, **options: str) -> FrameLocator:
    frame = (
        f'<iframe title="Help" width="400" height="600" src="{server}/embed?{urlencode(options)}"></iframe>'
    )
    page.goto(site.page(f"<!doctype html><title>A shop</title>{frame}"))
    return page.frame_locator("iframe")


def test_a_question_in_the_frame_is_answered(
    page: Page, site: Host, serve: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["It is **the air**."]))
    chat = framed(page, site, serve(CORS_ORIGINS=site.url).url, name="Tea", greeting="Which tea?", lang="en")
    expect(chat.get_by_role("heading", name="Which tea?")).to_be_visible()
    expect(chat.get_by_role("heading", name="Tea", exact=True)).to_be_visible()
    box = chat.get_by_role("textbox", name="Your message")
    box.fill("Why is the sky blue?")
    box.press("Enter")
    expect(chat.locator("strong", has_text="the air")).to_be_visible()
    assert page.evaluate("() => [localStorage.length, document.querySelectorAll('delta-chat').length]") == [
        0,
        0,
    ]


def test_it_fills_its_frame(page: Page, site: Host, serve: Callable[..., Server]) -> None:
    chat = framed(page, site, serve(CORS_ORIGINS=site.url).url)
    expect(chat.get_by_role("textbox")).to_be_visible()
    size = chat.locator(".panel").evaluate("(panel) => [panel.offsetWidth, panel.offsetHeight]")
    assert size == [400, 600]


def test_a_site_that_is_not_allowed_gets_no_frame(
    browser: Browser, site: Host, serve: Callable[..., Server]
) -> None:
    hub = serve(CORS_ORIGINS="https://another.example").url
    with browser.new_context() as context:
        page = context.new_page()
        with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
            framed(page, site, hub)
        assert not [frame.url for frame in page.frames if frame.url.startswith(hub)]


def test_an_address_can_not_say_whom_it_asks_or_run_anything(
    page: Page, site: Host, serve: Callable[..., Server]
) -> None:
    hostile = {
        "hub": "https://evil.example",
        "get-token": "alert",
        "floating": "",
        "onclick": "alert(1)",
        "a b": "",
    }
    chat = framed(page, site, serve(CORS_ORIGINS=site.url).url, **hostile, name="<b>Tea</b>")
    expect(chat.get_by_role("heading", name="<b>Tea</b>")).to_be_visible()
    assert chat.locator("delta-chat").evaluate("(chat) => chat.getAttributeNames()") == ["name"]


def test_opened_by_itself_it_says_nothing_that_a_link_has_put_into_its_mouth(
    page: Page, serve: Callable[..., Server]
) -> None:
    page.goto(f"{serve().url}/embed?greeting=Call+this+number&lang=en")
    expect(page.get_by_role("textbox")).to_be_visible()
    assert "Call this number" not in page.content()
    assert page.locator("delta-chat").evaluate("(chat) => chat.getAttributeNames()") == []
