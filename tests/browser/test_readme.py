"""The README's few lines for a page of one's own, in a page of another origin."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.rig.serving import Server

pytestmark = pytest.mark.browser
README = Path(__file__).parents[2] / "README.md"


def snippet(base: str) -> str:
    """The first piece of HTML in the README, asking the server at `base`."""
    html = re.search(r"```html\n(.*?)```", README.read_text(), re.DOTALL)
    assert html, "the README shows no HTML"
    return html[1].replace("http://127.0.0.1:8000", base)


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
    other_site.html = snippet(server.url)
    with page.expect_console_message(lambda message: "connected" in message.text, timeout=10_000):
        page.goto(other_site.origin)
