"""Which file stands for a part of the front end, with a build and without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.web.built import SOURCES, STATIC, Assets

MANIFEST = {
    "page.js": {"file": "page-AAAAAAAA.js", "imports": ["chunk-BBBBBBBB.js", "chunk-CCCCCCCC.js"]},
    "page.css": {"file": "page-DDDDDDDD.css", "imports": []},
    "client.global.js": {"file": "client.global-EEEEEEEE.js", "imports": []},
}


@pytest.fixture
def static(tmp_path: Path) -> Path:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "manifest.json").write_text(json.dumps(MANIFEST))
    return tmp_path


def test_what_was_built_is_found_under_its_hashed_name(static: Path) -> None:
    assets = Assets("", static)
    assert assets.url("page.js") == "/static/dist/page-AAAAAAAA.js"
    assert assets.file("client.global.js") == "client.global-EEEEEEEE.js"


def test_addresses_stand_under_the_prefix(static: Path) -> None:
    assets = Assets("/hub", static)
    assert assets.url("page.css") == "/hub/static/dist/page-DDDDDDDD.css"
    assert assets.url("icon.svg") == "/hub/static/src/icon.svg"
    assert assets.preloads("page.js")[0] == "/hub/static/dist/chunk-BBBBBBBB.js"


def test_a_script_needs_what_it_imports_and_a_source_finds_it_by_itself(static: Path, tmp_path: Path) -> None:
    assert Assets("", static).preloads("page.js") == [
        "/static/dist/chunk-BBBBBBBB.js",
        "/static/dist/chunk-CCCCCCCC.js",
    ]
    assert Assets("", static).preloads("page.css") == []
    assert Assets("", tmp_path / "nothing").preloads("page.js") == []


def test_without_a_build_the_source_stands_for_its_part(tmp_path: Path) -> None:
    assets = Assets("", tmp_path)
    assert assets.url("page.js") == "/static/src/page/main.js"
    assert assets.file("page.js") == ""


def test_a_part_that_was_not_built_is_its_source_even_beside_others_that_were(static: Path) -> None:
    assert Assets("", static).url("client.js") == "/static/src/client/index.js"


def test_what_nobody_knows_is_a_fault_of_the_caller(static: Path) -> None:
    with pytest.raises(KeyError):
        Assets("", static).url("nothing.js")


def test_every_source_that_can_stand_for_a_part_is_there() -> None:
    for name, path in SOURCES.items():
        assert (STATIC / "src" / path).is_file(), f"{name}: static/src/{path} is missing"


@pytest.mark.parametrize(
    "written", ["", '{"page.js": {"file": "pa', "null", "[]", '{"page.js": 5}', '{"page.js": {}}', "\udcff"]
)
def test_a_manifest_that_is_broken_is_none_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, written: str
) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "manifest.json").write_bytes(written.encode(errors="surrogateescape"))
    assert Assets("", tmp_path).url("page.js") == "/static/src/page/main.js"
    assert "make front" in caplog.text
