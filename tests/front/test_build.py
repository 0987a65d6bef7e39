"""What static/build.mjs makes: all parts, small enough, named by their content, compressed faithfully."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
from typing import Any

import pytest

from tests.rig.front import DIST, ROOT, build_front, node

NAMES = {
    *("page.js", "page.css", "panel.js", "widget.js", "embed.js", "embed.css", "icon.svg"),
    *("markdown.js", "highlight.js", "math.js", "selfcheck.js", "words.zh.js"),
    *("client.js", "client.shared.js", "client.global.js"),
}
KB = 1024
# As terser writes it, at the start of a statement or in a call; the words alone stand in many a highlighter.
AT_ONCE = re.compile(r"""(?:^|[;}])import(?:[\w$*{][^"';]*from)?["']([^"']+)["']""")
LATER = re.compile(r"""\bimport\(["']([^"']+)["']\)""")
Manifest = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    build_front()
    found: Manifest = json.loads((DIST / "manifest.json").read_text())
    return found


def weight(manifest: Manifest, *names: str) -> int:
    """Bytes as sent by gzip, of these and of all that they ask for at once; each file counts once."""
    sizes = {entry["file"]: entry["gzip"] for entry in manifest.values()}
    files = {file for name in names for file in (manifest[name]["file"], *manifest[name]["imports"])}
    return sum(sizes[file] for file in files)


def text_of(manifest: Manifest, name: str) -> str:
    return (DIST / manifest[name]["file"]).read_text()


def test_every_part_is_there(manifest: Manifest) -> None:
    assert manifest.keys() >= NAMES


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("client.js", 4 * KB),
        ("client.global.js", 4 * KB),
        ("widget.js", 3 * KB),
        # With Markdown. The goal is 45 KB, and it is missed: see docs/decisions/0016. The gap may not grow.
        ("panel.js", 50 * KB),
        ("markdown.js", 22 * KB),
        ("highlight.js", 25 * KB),
        ("math.js", 57 * KB),
    ],
)
def test_it_is_small_enough(manifest: Manifest, name: str, limit: int) -> None:
    assert weight(manifest, name) <= limit


def test_the_first_look_at_the_page_is_small_enough(manifest: Manifest) -> None:
    page = len(gzip.compress((ROOT / "templates" / "index.html").read_bytes()))
    assert page + weight(manifest, "page.js", "page.css", "icon.svg") <= 50 * KB


def test_markdown_is_asked_for_at_once_and_what_few_need_is_not(manifest: Manifest) -> None:
    few = {"highlight.js", "math.js", "words.zh.js"}
    for name, more in (("page.js", set()), ("panel.js", {"selfcheck.js"})):
        assert manifest[name]["imports"] == [manifest["markdown.js"]["file"]]
        text = text_of(manifest, name)
        assert {f"./{manifest[late]['file']}" for late in few | more} <= set(LATER.findall(text))
        assert not AT_ONCE.findall(text)


def test_a_page_of_one_file_needs_no_other(manifest: Manifest) -> None:
    for name in ("client.js", "client.shared.js", "client.global.js", "widget.js"):
        assert manifest[name]["imports"] == []
        assert not AT_ONCE.findall(text_of(manifest, name))


def test_what_is_compressed_is_the_file(manifest: Manifest) -> None:
    unpack = """process.stdout.write(
        require('zlib').brotliDecompressSync(require('fs').readFileSync(process.argv[1])))"""
    for entry in manifest.values():
        path = DIST / entry["file"]
        assert gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == path.read_bytes()
        small = path.with_name(f"{path.name}.br")
        assert subprocess.run([node(), "-e", unpack, small], capture_output=True).stdout == path.read_bytes()
        assert path.with_name(f"{path.name}.gz").stat().st_size == entry["gzip"]


def test_the_same_sources_are_built_to_the_same_names(manifest: Manifest) -> None:
    subprocess.run([node(), "static/build.mjs"], cwd=ROOT, check=True, capture_output=True, timeout=240)
    assert json.loads((DIST / "manifest.json").read_text()) == manifest


def test_files_that_were_replaced_stay_for_a_day(manifest: Manifest) -> None:
    """A page that is open over an update still asks for them."""
    old, older = DIST / "page-OLD00000.js", DIST / "page-OLD00001.js"
    for path in (old, older):
        path.write_text("")
        os.utime(path, (0, 0))
    earlier = {**manifest, "page.js": {**manifest["page.js"], "file": old.name}}
    (DIST / "manifest.json").write_text(json.dumps(earlier))
    subprocess.run([node(), "static/build.mjs"], cwd=ROOT, check=True, capture_output=True, timeout=240)
    assert old.exists()
    assert not older.exists()
    old.unlink()


def test_nothing_that_was_built_names_this_machine_or_leaves_a_name_unresolved(manifest: Manifest) -> None:
    for entry in manifest.values():
        text = (DIST / entry["file"]).read_text()
        assert str(ROOT) not in text
        assert "PANEL_FILES" not in text
        for name in AT_ONCE.findall(text) + LATER.findall(text):
            assert name.startswith("./"), f"{entry['file']} imports {name}"
            assert (DIST / name).is_file()


def test_the_plain_global_has_what_the_module_has(manifest: Manifest) -> None:
    script = """
        const text = require('fs').readFileSync(process.argv[1], 'utf8');
        const global = new Function(`${text};return Deltahub`)();
        import(require('url').pathToFileURL(process.argv[2])).then((module) => {
            process.stdout.write(JSON.stringify([Object.keys(global).sort(), Object.keys(module).sort()]));
        });"""
    files = [str(DIST / manifest[name]["file"]) for name in ("client.global.js", "client.js")]
    done = subprocess.run([node(), "-e", script, *files], capture_output=True, text=True, check=True)
    of_global, of_module = json.loads(done.stdout)
    assert of_global == of_module
    assert {"newEventSource", "EventSource", "createParser"} <= set(of_global)


def test_no_source_of_others_is_in_the_repository() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert not [path for path in tracked if path.startswith(("node_modules/", "static/dist/"))]


def test_the_lock_file_names_no_registry() -> None:
    lock = (ROOT / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert "://" not in re.sub(r'"(url|funding)": "[^"]*"', "", lock)
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
