"""The lines of the README for other pages, in one of another origin: the tag, and the stream alone."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.rig.serving import Server

pytestmark = pytest.mark.browser
README = Path(__file__).parents[2] / "README.md"


def snippet(about: str, base: str) -> str:
    """The piece of HTML in the README that holds `about`, asking the server at `base`."""
    found = re.findall(r"```html\n(.*?)```", README.read_text(), re.DOTALL)
    [html] = [piece for piece in found if about in piece]
    return str(html).replace("http://127.0.0.1:8000", base)


class OtherSite:
    """A site of one page, on another port and so of another origin."""

    def __init__(self) -> None:
        self.html = ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(f"<!doctype html><title>Other</title>{site.html}".encode())

            def log_message(self, *args: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def other_site() -> Iterator[OtherSite]:
    site = OtherSite()
    thread = threading.Thread(target=site.server.serve_forever)
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join()


def test_the_readmes_lines_open_a_stream_from_a_page_of_another_origin(
    page: Page, serve: Callable[..., Server], other_site: OtherSite
) -> None:
    server = serve(CORS_ORIGINS=other_site.origin)
    other_site.html = snippet("newEventSource", server.url)
    with page.expect_console_message(lambda message: "connected" in message.text, timeout=10_000):
        page.goto(other_site.origin)


def test_the_readmes_tag_brings_the_chat_to_a_page_of_another_origin(
    page: Page, serve: Callable[..., Server], other_site: OtherSite
) -> None:
    server = serve(CORS_ORIGINS=other_site.origin)
    other_site.html = snippet("widget.js", server.url)
    page.goto(other_site.origin)
    page.get_by_role("button", name="Open the chat").click()
    expect(page.get_by_role("heading", name="Help")).to_be_visible()
    expect(page.get_by_role("textbox", name="Your message")).to_be_focused()
