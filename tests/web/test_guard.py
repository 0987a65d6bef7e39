"""Open mode: who may ask. A row a case: settings, headers -> status and code; nothing is registered."""

from __future__ import annotations

import pytest

from tests.conftest import ADMIN_TOKEN
from tests.web.conftest import STREAM, Edge, MakeEdge

SHOP = "https://shop.example"


def opened(edge: Edge, **headers: str) -> tuple[int, str]:
    """What an event stream is answered, and the code where it is a problem."""
    with edge.listen("clientId=new", **headers) as stream:
        if stream.status == 200:
            stream.take()
            return 200, ""
    problem = edge.get(f"{STREAM}?clientId=new", **headers).get_json()
    assert problem["detail"]
    return stream.status, problem["code"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST:8000",
        "127.0.0.1",
        "127.0.0.1:8000",
        "127.8.9.10:1",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]:8000",
    ],
)
def test_loopback_is_always_served(edge: Edge, host: str) -> None:
    assert opened(edge, Host=host) == (200, "")


FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil-localhost",
    "localhost.",
    "127.0.0.1.",
    "0.0.0.0:8000",
    "192.168.1.5:8000",
    "[2001:db8::1]:8000",
    "127.1",
    "2130706433",
    "0x7f.1",
    "localhost@evil.example",
    "evil.example@localhost",
    "user:password@localhost:8000",
    "localhost/evil",
    "localhost?evil",
    "localhost#evil",
    "localhost, evil.example",
    "localhost evil.example",
    "[::1]evil.example",
    "[::1",
    "::1]",
    "localhost]",
    "[localhost]",
    "[]",
    ":8000",
    "localhost:evil",
    "ünï",
    "xn--lcalhost-n4a",
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_another_name_pointed_at_this_server_is_refused(edge: Edge, host: str) -> None:
    before = edge.numbers()
    assert opened(edge, Host=host) == (403, "foreign_host")
    assert edge.post("/chat", {"clientId": "new", "message": "hi"}, Host=host).status_code == 403
    assert edge.numbers() == before


@pytest.mark.parametrize(
    "target", ["/", "/healthz", "/nothing", "/static/src/page/main.js", "/admin/broadcast"]
)
def test_a_foreign_host_is_shown_nothing_at_all(edge: Edge, target: str) -> None:
    assert edge.get(target, Host="evil.example").get_json()["code"] == "foreign_host"


def test_the_own_host_and_the_allowed_ones_are_served_with_any_port_and_in_any_case(
    make_edge: MakeEdge,
) -> None:
    edge = make_edge(host="Hub.example", auth="open", allowed_hosts="chat.example, 192.168.1.5,[2001:db8::1]")
    for host in ("hub.example", "HUB.example:80", "chat.example:8000", "192.168.1.5", "localhost"):
        assert opened(edge, Host=host) == (200, ""), host
    for host in (
        "evil.example",
        "sub.hub.example",
        "hub.example.",
        "chat.example.evil.example",
        "192.168.1.50",
    ):
        assert opened(edge, Host=host) == (403, "foreign_host"), host


@pytest.mark.parametrize("host", ["2001:db8::1", "[2001:db8::1]"])
def test_an_ipv6_host_is_served_however_the_setting_writes_it(make_edge: MakeEdge, host: str) -> None:
    for edge in (make_edge(host=host, auth="open"), make_edge(allowed_hosts=host)):
        assert opened(edge, Host="[2001:db8::1]:8000") == (200, "")
        assert opened(edge, Host="[2001:db8::2]:8000") == (403, "foreign_host")


@pytest.mark.parametrize(("protocol", "status"), [("HTTP/1.0", 200), ("HTTP/1.1", 403)])
def test_only_what_speaks_http_1_0_may_leave_the_host_out(edge: Edge, protocol: str, status: int) -> None:
    """No browser does; probes may."""
    nameless = {"HTTP_HOST": "", "SERVER_PROTOCOL": protocol}
    assert edge.app.test_client().get("/healthz", environ_overrides=nameless).status_code == status


# --- Origin -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost", "http://localhost"),
        ("localhost:8000", "http://localhost:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("LOCALHOST:8000", "http://localhost:8000"),
        ("localhost", "https://localhost"),  # the server can't know what stands before it
    ],
)
def test_the_own_pages_may_call(edge: Edge, host: str, origin: str) -> None:
    assert opened(edge, Host=host, Origin=origin) == (200, "")


FOREIGN_ORIGINS = [
    "null",
    "",
    "http://evil.example",
    "https://localhost.evil.example",
    "http://localhost:3000",
    "http://127.0.0.1:8000",
    "http://[::1]:8000",
    "http://[::1",
    "http://localhost:8000.evil.example",
    "http://localhost:8000@evil.example",
    "http://evil.example@localhost:8000",
    "http://evil.example/localhost:8000",
    "http://evil.example?http://localhost:8000",
    "localhost:8000",
    "//localhost:8000",
    "http://localhost:8000 http://evil.example",
    "http://localhost:8000, http://evil.example",
    "chrome-extension://abcdef",
    "file://",
]


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_another_sites_page_may_not_call(edge: Edge, origin: str) -> None:
    before = edge.numbers()
    headers = {"Host": "localhost:8000", "Origin": origin}
    assert opened(edge, **headers) == (403, "foreign_origin")
    for method in ("POST", "OPTIONS", "HEAD", "DELETE"):
        response = edge.call(method, "/chat", b"{}", headers)
        assert response.status_code == 403
        assert "Access-Control-Allow-Origin" not in response.headers
    assert edge.numbers() == before


@pytest.mark.parametrize(
    "origin", [SHOP, "http://shop.example:8080", "http://[::1]:3000", "http://localhost:3000", "null"]
)
def test_a_named_origin_may_call_and_read_the_answer(make_edge: MakeEdge, origin: str) -> None:
    edge = make_edge(
        cors_origins=f"{SHOP}, http://shop.example:8080,http://[::1]:3000,http://localhost:3000,null"
    )
    crossing = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    with edge.listen("clientId=new", **crossing) as stream:
        assert stream.status == 200
        assert stream.headers["Access-Control-Allow-Origin"] == origin
    for response in (
        edge.post("/chat", {"clientId": "new"}, **crossing),
        edge.get("/nothing", **crossing),
        edge.get("/sse/clients/nobody", **crossing),
    ):
        assert response.status_code in (404, 422)
        assert response.headers["Access-Control-Allow-Origin"] == origin, "a page can't read its problem"
        assert response.headers["Vary"] == "Origin"


NOT_QUITE = [
    f"{SHOP}.evil.example",
    f"{SHOP}:8443",
    "http://shop.example",
    "https://shopXexample",
    "https://example",
]


@pytest.mark.parametrize("origin", NOT_QUITE)
def test_a_named_origin_is_that_and_no_other(make_edge: MakeEdge, origin: str) -> None:
    edge = make_edge(cors_origins=SHOP)
    assert opened(edge, Origin=origin) == (403, "foreign_origin")


def test_a_named_origin_does_not_open_another_host(make_edge: MakeEdge) -> None:
    edge = make_edge(cors_origins=SHOP)
    assert opened(edge, Host="evil.example", Origin=SHOP) == (403, "foreign_host")


CALLS = [
    ("POST", "/chat", "content-type"),
    ("POST", "/sse/send", "content-type"),
    ("GET", STREAM, "last-event-id,cache-control"),
    ("DELETE", "/conversations/x", ""),
    ("POST", "/admin/broadcast", "authorization,content-type"),
]


@pytest.mark.parametrize(("method", "target", "wanted"), CALLS)
def test_a_preflight_of_a_named_origin_is_told_what_it_may(
    make_edge: MakeEdge, method: str, target: str, wanted: str
) -> None:
    edge = make_edge(cors_origins=SHOP, admin_token=ADMIN_TOKEN)
    before = edge.numbers()
    asked = {
        "Origin": SHOP,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": wanted,
    }
    response = edge.call("OPTIONS", target, headers={k: v for k, v in asked.items() if v})
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert method in response.headers["Access-Control-Allow-Methods"]
    allowed = response.headers.get("Access-Control-Allow-Headers", "").lower().replace(" ", "").split(",")
    assert set(wanted.split(",")) <= set(allowed)
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert int(response.headers["Access-Control-Max-Age"]) >= 600
    assert edge.numbers() == before


def test_who_sends_no_origin_is_told_none(make_edge: MakeEdge) -> None:
    response = make_edge(cors_origins=f"{SHOP},https://other.example").get("/healthz")
    assert response.headers.getlist("Access-Control-Allow-Origin") == []


# --- Sec-Fetch-Site -----------------------------------------------------------------------------------

# A browser sends no Origin with these.
IMAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FRAME = {**LINK, "Sec-Fetch-Dest": "iframe"}


@pytest.mark.parametrize("headers", [IMAGE, LINK, FRAME], ids=["image", "link", "frame"])
def test_another_sites_page_opens_no_stream_by_a_tag_of_its_own(edge: Edge, headers: dict[str, str]) -> None:
    before = edge.numbers()
    assert opened(edge, **headers) == (403, "cross_site")
    assert edge.numbers() == before


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
def test_own_pages_and_typed_addresses_pass(edge: Edge, site: str) -> None:
    assert opened(edge, Sec_Fetch_Site=site) == (200, "")


def test_who_follows_another_sites_link_is_shown_the_page_and_nothing_else(edge: Edge) -> None:
    assert edge.get("/", **LINK).status_code == 200
    assert edge.get("/", **FRAME).get_json()["code"] == "cross_site"
    assert edge.get("/conversations?clientId=a", **LINK).get_json()["code"] == "cross_site"
    assert edge.call("POST", "/", headers=LINK).status_code == 403


def test_a_link_to_the_page_under_a_prefix_may_lack_the_last_slash(make_edge: MakeEdge) -> None:
    response = make_edge(url_prefix="/hub").get("/hub", **LINK)
    assert response.status_code == 308
    assert response.headers["Location"].endswith("/hub/")
