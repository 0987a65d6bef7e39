"""The blueprint `pages`: the two pages, their policy, and that all they name is there under that policy."""

from __future__ import annotations

import re

import pytest

from tests.web.conftest import Edge, MakeEdge

LINK = re.compile(r'(?:href|src)="([^"#]+)"')


def policy(edge: Edge, path: str = "/") -> dict[str, str]:
    found = edge.get(path).headers["Content-Security-Policy"]
    return {name: rest for name, _, rest in (part.strip().partition(" ") for part in found.split(";"))}


def test_the_page_comes_with_a_policy_that_lets_in_only_what_is_served_here(edge: Edge) -> None:
    rules = policy(edge)
    assert rules["default-src"] == "'none'"
    assert {rules[f"{kind}-src"] for kind in ("script", "style", "img", "connect")} == {"'self'"}
    assert {rules[rule] for rule in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert "unsafe" not in str(rules)


def test_the_page_is_asked_for_anew_each_time_and_is_html(edge: Edge) -> None:
    response = edge.get("/")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "target", ["/", "/healthz", "/nothing", "/static/src/page/main.js", "/sse/clients/x"]
)
def test_every_answer_forbids_guessing_its_type_and_telling_others_where_one_came_from(
    edge: Edge, target: str
) -> None:
    with edge.get(target) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "same-origin"


def test_only_the_page_for_frames_may_be_framed_and_only_by_sites_that_may_call(make_edge: MakeEdge) -> None:
    edge = make_edge(cors_origins=("https://a.example", "https://b.example:8443"))
    assert policy(edge)["frame-ancestors"] == "'none'"
    rules = policy(edge, "/embed")
    assert rules.pop("frame-ancestors") == "'self' https://a.example https://b.example:8443"
    assert rules == {name: rest for name, rest in policy(edge).items() if name != "frame-ancestors"}


def test_a_page_of_another_site_may_ask_for_the_page_for_frames_and_for_no_other(edge: Edge) -> None:
    framing = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert [edge.get(path, **framing).status_code for path in ("/embed", "/")] == [200, 403]


@pytest.mark.parametrize("page", ["/", "/embed"])
@pytest.mark.parametrize("prefix", ["", "/hub"])
def test_everything_a_page_names_is_there(make_edge: MakeEdge, prefix: str, page: str) -> None:
    edge = make_edge(url_prefix=prefix)
    links = LINK.findall(edge.get(f"{prefix}{page}").text)
    assert len(links) >= 4  # the icon, the style, scripts
    for link in links:
        assert link.startswith((f"{prefix}/static/", f"{prefix}/widget.js")), link
        with edge.get(link) as response:
            assert response.status_code == 200, link
            kind = response.headers["Content-Type"].partition(";")[0]
            assert kind in {"text/javascript", "text/css", "image/svg+xml"}, f"nosniff would refuse {link}"


@pytest.mark.parametrize("path", ["/", "/embed"])
def test_nothing_on_a_page_needs_what_the_policy_forbids(edge: Edge, path: str) -> None:
    page = edge.get(path).text
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://(?!www\.w3\.org)", page)


def test_the_page_knows_where_it_stands_and_which_model_answers(make_edge: MakeEdge) -> None:
    page = make_edge(url_prefix="/hub", upstream_model="m-1").get("/hub/").text
    assert '<meta name="deltahub-base" content="/hub">' in page
    assert '<meta name="deltahub-model" content="m-1">' in page


def test_a_models_name_is_text_and_not_markup(make_edge: MakeEdge) -> None:
    page = make_edge(upstream_model='"><script>alert(1)</script>').get("/").text
    assert "<script>alert" not in page


def test_a_key_does_not_get_into_the_page(make_edge: MakeEdge) -> None:
    page = make_edge(upstream_key="key-of-the-upstream", admin_token="t" * 40).get("/").text
    assert "key-of-the-upstream" not in page
    assert "t" * 40 not in page


@pytest.mark.parametrize(
    "target",
    ["/static/../wsgi.py", "/static/%2e%2e/wsgi.py", "/static/..%2f..%2fetc/passwd"],
)
def test_nothing_beside_the_static_files_is_served(edge: Edge, target: str) -> None:
    with edge.get(target) as response:
        assert response.status_code == 404
        assert response.headers["Content-Type"] == "application/problem+json"


def test_a_static_file_that_is_unchanged_is_not_sent_again(edge: Edge) -> None:
    with edge.get("/static/src/icon.svg") as first:
        tag = first.headers["ETag"]
    with edge.get("/static/src/icon.svg", **{"If-None-Match": tag}) as again:
        assert (again.status_code, again.data) == (304, b"")
