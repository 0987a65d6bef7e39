"""What the documents say is so: their commands run, their links lead somewhere, their tables are complete."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from app.hub.connection import ENDINGS
from tests.rig.script import counted
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")]
)


def code(page: str, first_words: str) -> str:
    """The one command line of a page that begins so."""
    lines = [line for line in (ROOT / page).read_text().splitlines() if line.startswith(first_words)]
    assert len(lines) == 1, (page, first_words, lines)
    return lines[0]


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


def test_the_readmes_curl_commands_show_a_stream(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(counted(5, gap=0.01))
    listen = code("README.md", "curl -N ").replace("http://127.0.0.1:8000", server.url)
    ask = (
        code("README.md", "curl http")
        .replace("http://127.0.0.1:8000", server.url)
        .replace("curl", "curl -s", 1)
    )
    with subprocess.Popen(["bash", "-c", f"exec {listen} -s"], stdout=subprocess.PIPE, text=True) as stream:
        assert "generationId" in json.loads(subprocess.check_output(["bash", "-c", ask]))
        shown, _ = stream.communicate(timeout=20)  # it ends by itself after [DONE]
    kinds = re.findall(r'"type":"(\w+)"', shown)
    assert kinds[0] == "connected"
    assert kinds[-1] == "done"
    assert shown.rstrip().endswith("data: [DONE]")


def test_the_readme_names_both_commands_on_its_first_screen() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:20]
    commands = [line.split("#")[0].strip() for line in first_screen if line.startswith("make ")]
    assert commands == ["make run", "make test"]


def test_every_reason_to_close_a_stream_is_in_the_contract() -> None:
    contract = (ROOT / "docs/protocol.md").read_text()
    row = next(line for line in contract.splitlines() if line.startswith("| `closing` |"))
    assert [reason for reason, end in ENDINGS.items() if end.said and f"`{reason}`" not in row] == []


def test_every_code_an_answer_can_fail_with_is_in_the_contract() -> None:
    contract = (ROOT / "docs/protocol.md").read_text()
    row = next(line for line in contract.splitlines() if line.startswith("| `error` |"))
    source = "".join(path.read_text() for path in (ROOT / "app/relay").glob("*.py"))
    raised = set(re.findall(r'UpstreamError\(\s*"(\w+)"', source)) | set(
        re.findall(r'return "(timeout_\w+)"', source)
    )
    assert len(raised) > 10
    assert sorted(code for code in raised if f"`{code}`" not in row) == []


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs/decisions"
    listed = (folder / "README.md").read_text()
    assert [page.name for page in sorted(folder.glob("0*.md")) if f"({page.name})" not in listed] == []
