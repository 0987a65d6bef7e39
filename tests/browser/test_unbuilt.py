"""Where nothing was built, page and widget run from their sources, and answers are plain text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.chat_page import ChatPage
from tests.browser.widget_page import Widget
from tests.conftest import SETTINGS
from tests.rig import script
from tests.rig.host import Host
from tests.rig.serving import ROOT, Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser

TEXT = "**a** <b>c</b>\n\n- d\n"


@pytest.fixture(scope="module")
def unbuilt(
    tmp_path_factory: pytest.TempPathFactory, site: Host, upstream_process: ScriptedUpstream
) -> Iterator[Server]:
    """A server from a checkout in which static/dist never came to be."""
    root: Path = tmp_path_factory.mktemp("checkout")
    for name in ("app", "templates", "wsgi.py", "gunicorn.conf.py"):
        (root / name).symlink_to(ROOT / name)
    (root / "static").mkdir()
    (root / "static" / "src").symlink_to(ROOT / "static" / "src")
    settings = {**SETTINGS, "CORS_ORIGINS": site.url}
    with Server(settings, upstream_url=upstream_process.url, root=root) as server:
        yield server


def test_the_page_works_from_its_sources_in_plain_text(
    page: Page, unbuilt: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas([TEXT], gap=0.01))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    chat = ChatPage(page).open(unbuilt.url).ask().answers(1)
    assert chat.text == TEXT
    assert chat.reload().answers(1).text == TEXT
    assert not [url for url in asked if "/dist/" in url]


def test_the_widget_works_from_its_sources_in_plain_text(
    page: Page, site: Host, unbuilt: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas([TEXT], gap=0.01))
    widget = Widget(page, site, unbuilt.url).visit(name="Sources", lang="zh-CN").open_panel()
    widget.until_says("新对话").ask().answers(1)
    assert widget.text == TEXT
    assert [text for text in widget.complaints if "Deltahub" in text] == []
