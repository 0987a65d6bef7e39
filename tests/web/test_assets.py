"""The blueprint `assets`: how the front end is sent, to whom, and for how long it may be kept."""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path

import pytest

from app.web.built import Assets
from tests.web.conftest import Edge, MakeEdge

SCRIPT = b"export const answer = 42;\n" * 50
FILES = {
    "page-AAAAAAAA.js": SCRIPT,
    "page-AAAAAAAA.js.gz": gzip.compress(SCRIPT),
    "page-AAAAAAAA.js.br": b"as if by brotli",
    "page-BBBBBBBB.css": b"a{}",
    "widget-CCCCCCCC.js": b"loader",
    "widget-CCCCCCCC.js.gz": gzip.compress(b"loader"),
}
MANIFEST = {
    "page.js": {"file": "page-AAAAAAAA.js", "imports": []},
    "page.css": {"file": "page-BBBBBBBB.css", "imports": []},
    "widget.js": {"file": "widget-CCCCCCCC.js", "imports": []},
}
PAGE = "/static/dist/page-AAAAAAAA.js"
FOREIGN = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_edge: MakeEdge) -> Edge:
    """An application with a front end of a few files."""
    dist = tmp_path / "dist"
    dist.mkdir()
    for name, content in FILES.items():
        (dist / name).write_bytes(content)
    (dist / "manifest.json").write_text(json.dumps(MANIFEST))
    (dist / ".page-AAAAAAAA.js.1").write_bytes(b"half a file")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "own.js").write_bytes(SCRIPT)
    (tmp_path / "secret").write_bytes(b"secret")
    monkeypatch.setattr("app.assembly.Assets", partial(Assets, static=tmp_path))
    return make_edge()


@pytest.fixture
def unbuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_edge: MakeEdge) -> Edge:
    monkeypatch.setattr("app.assembly.Assets", partial(Assets, static=tmp_path))
    return make_edge(url_prefix="/hub")


def test_a_hashed_file_may_be_kept_for_a_year_and_is_not_asked_for_again(built: Edge) -> None:
    with built.get(PAGE) as response:
        assert response.data == SCRIPT
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0, gzip;q=0", None),
        ("identity", None),
        ("", None),
        ("*", "br"),
        ("nonsense;;q=x", None),
    ],
)
def test_the_smallest_form_is_sent_that_the_browser_takes(
    built: Edge, accepted: str, coding: str | None
) -> None:
    with built.get(PAGE, Accept_Encoding=accepted) as response:
        assert response.headers.get("Content-Encoding") == coding
        ending = {"br": ".br", "gzip": ".gz", None: ""}[coding]
        assert response.data == FILES[f"page-AAAAAAAA.js{ending}"]
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert "Accept-Encoding" in response.headers["Vary"]


def test_what_was_kept_of_one_form_is_not_taken_for_another(built: Edge) -> None:
    tags = {}
    for coding in ("br", "gzip", "identity"):
        with built.get(PAGE, Accept_Encoding=coding) as response:
            tags[coding] = response.headers["ETag"]
    for kept, tag in tags.items():
        for coding in tags:
            with built.get(PAGE, Accept_Encoding=coding, **{"If-None-Match": tag}) as response:
                assert response.status_code == (304 if coding == kept else 200)
                assert "Accept-Encoding" in response.headers["Vary"]


def test_a_part_of_a_file_is_one_of_the_form_that_is_sent(built: Edge) -> None:
    with built.get(PAGE, Accept_Encoding="br", Range="bytes=0-3") as response:
        assert (response.status_code, response.data) == (206, b"as i")
        assert response.headers["Content-Encoding"] == "br"
    with built.get(PAGE, Accept_Encoding="br", Range="bytes=9999-") as response:
        assert response.status_code == 416
        assert "Content-Encoding" not in response.headers


def test_what_was_not_compressed_is_sent_as_it_is(built: Edge) -> None:
    with built.get("/static/dist/page-BBBBBBBB.css", Accept_Encoding="br, gzip") as response:
        assert (response.data, response.headers.get("Content-Encoding")) == (b"a{}", None)


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "page-AAAAAAAA.js.gz",
        "page-AAAAAAAA.js.br",
        ".page-AAAAAAAA.js.1",
        "page-ZZZZZZZZ.js",
        "page.js",
        "..",
        "../secret",
        "..%2fsecret",
        "%2e%2e%2fsecret",
        "a%00-AAAAAAAA.js",
        "a" * 300 + "-AAAAAAAA.js",
        "",
    ],
)
def test_nothing_else_of_the_folder_is_sent(built: Edge, name: str) -> None:
    with built.get(f"/static/dist/{name}", Accept_Encoding="br") as response:
        assert response.status_code == 404
        assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "name", ["../secret", "..%2fsecret", "%2e%2e/secret", "", "..", "a" * 300, "a/" * 3000, "a%00b"]
)
def test_nothing_beside_the_sources_is_sent(built: Edge, name: str) -> None:
    with built.get(f"/static/src/{name}", Accept_Encoding="br") as response:
        assert response.status_code == 404


def test_a_source_is_asked_for_each_time_and_sent_if_it_changed(built: Edge) -> None:
    with built.get("/static/src/own.js") as first:
        assert (first.data, first.headers["Cache-Control"]) == (SCRIPT, "no-cache")
        tag = first.headers["ETag"]
    with built.get("/static/src/own.js", **{"If-None-Match": tag}) as again:
        assert (again.status_code, again.data) == (304, b"")


def test_what_sites_embed_has_one_address_and_is_asked_for_each_time(built: Edge) -> None:
    with built.get("/widget.js", Accept_Encoding="gzip") as response:
        assert gzip.decompress(response.data) == b"loader"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("target", [PAGE, "/widget.js", "/static/src/own.js"])
def test_code_may_be_loaded_by_pages_of_any_origin(built: Edge, target: str) -> None:
    with built.get(target, **FOREIGN) as response:
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_nothing_but_code_may_be(built: Edge) -> None:
    for target in ("/", "/healthz", "/conversations?clientId=a", "/sse/clients/a"):
        with built.get(target, **FOREIGN) as response:
            assert response.status_code == 403
            assert "Access-Control-Allow-Origin" not in response.headers


def test_code_is_not_sent_under_a_foreign_name_either(built: Edge) -> None:
    with built.get(PAGE, Host="evil.example") as response:
        assert response.status_code == 403


def test_an_allowed_origin_is_told_the_same_of_code_as_any_other(
    built: Edge, make_edge: MakeEdge, tmp_path: Path
) -> None:
    """Else a copy that a cache kept for one origin would be refused to the next."""
    edge = make_edge(cors_origins=("https://shop.example",))
    with edge.get(PAGE, Origin="https://shop.example") as response:
        assert response.headers.getlist("Access-Control-Allow-Origin") == ["*"]
        assert "Origin" not in response.headers.get("Vary", "")


def test_without_a_build_an_address_leads_to_the_source(unbuilt: Edge) -> None:
    with unbuilt.get("/hub/client.js") as response:
        assert (response.status_code, response.headers["Location"]) == (
            302,
            "/hub/static/src/client/index.js",
        )
        assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_what_has_to_be_built_says_so(unbuilt: Edge) -> None:
    problem = unbuilt.get("/hub/client.global.js")
    assert problem.status_code == 404
    assert "make front" in problem.get_json()["detail"]


def test_only_reading_is_possible(built: Edge) -> None:
    for target in (PAGE, "/widget.js", "/static/src/own.js"):
        assert built.post(target, {}).status_code == 405
        with built.call("HEAD", target) as response:
            assert (response.status_code, response.data) == (200, b"")
