"""What the documents say is so: their commands run, their links lead somewhere, their tables are complete."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.hub.endings import ENDINGS
from app.relay.worker import UNKNOWN
from app.settings import Settings
from tests import quirks_table
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


def contract(event: str, field: str) -> set[str]:
    """The values that the contract lists for one field of an event."""
    lines = (ROOT / "docs/protocol.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith(f"| `{event}` |"))
    return set(re.findall(r"`(\w+)`", row.partition(f"`{field}` (")[2].partition(")")[0]))


def first_column(page: str, heading: str) -> list[str]:
    """What stands in the first column of the table under a heading, between backticks."""
    section = (ROOT / page).read_text().partition(f"{heading}\n")[2].partition("\n#")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.M)


def test_every_reason_and_code_of_an_answers_end_is_explained_once() -> None:
    reasons = first_column("docs/upstreams.md", "### `done` and its reasons")
    assert sorted(reasons) == sorted(contract("done", "reason") | {UNKNOWN})
    codes = first_column("docs/upstreams.md", "### `error` and its codes")
    assert sorted(codes) == sorted(contract("error", "code"))


def test_the_settings_that_the_page_of_upstreams_names_have_the_values_it_says() -> None:
    page = (ROOT / "docs/upstreams.md").read_text()
    known = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+|UPSTREAMS)`", page))
    assert len(named) > 10
    assert named <= known.keys()
    units = {"": 1, "s": 1, "min": 60, "MiB": 1 << 20}
    said = re.findall(r"`([A-Z_]+)` \(([\d.]+) ?(s|min|MiB|)\)", page)
    assert len(said) > 10
    wrong = [(name, number) for name, number, unit in said if float(number) * units[unit] != known[name]]
    assert not wrong


def test_the_table_of_quirks_is_what_the_streams_say_of_themselves() -> None:
    assert quirks_table.quirks()
    assert quirks_table.written() == quirks_table.table(), "run python -m tests.quirks_table"


def test_every_quirk_of_the_table_has_a_test_that_reads_its_stream() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", quirks_table.TEST]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    reading = "".join(line for line in ran.stdout.splitlines() if "is_read" in line or "comes" in line)
    assert [name for name in quirks_table.quirks() if f"[{name}]" not in reading] == []
