"""Settings: every validator and the sentence it says; no secret ever shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.errors import SettingsError
from app.settings import Settings, is_loopback

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "an-admin-token-that-is-long-enough"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def refused(**given: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**given)
    return str(caught.value)


# --- where they come from -----------------------------------------------------------------------------


def test_with_nothing_set_it_is_loopback_without_admin_or_upstream() -> None:
    settings = Settings.load()
    assert (settings.host, settings.port, settings.auth) == ("127.0.0.1", 8000, "")
    assert (settings.upstream_url, settings.upstream_key.get_secret_value()) == ("", "")
    assert settings.admin_token.get_secret_value() == ""


def test_they_come_from_the_environment_and_what_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("HEARTBEAT", "20.5")
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, https://b.example ,,")
    settings = Settings.load(port=9001)
    assert (settings.port, settings.heartbeat) == (9001, 20.5)
    assert settings.cors_origins == ("https://a.example", "https://b.example")


def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose files and CI do it: `PORT=`."""
    for name, field in Settings.model_fields.items():
        monkeypatch.setenv(name.upper(), "")
        assert getattr(Settings.load(), name) == field.default, name
        monkeypatch.delenv(name.upper())


def test_a_setting_that_does_not_exist_is_not_given_silently() -> None:
    assert "heartbeats" in refused(heartbeats=20).lower()


def test_they_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings.load().port = 1


# --- what each may be ---------------------------------------------------------------------------------

WRONG = [
    ("PORT", "x", ".*integer"),
    ("PORT", "0", ".*greater than or equal to 1"),
    ("PORT", "65536", ".*less than or equal to 65535"),
    ("AUTH", "token", ".*'open'"),
    ("WEB_CONCURRENCY", "0", ".*greater than or equal to 1"),
    (
        "ADMIN_TOKEN",
        "x" * 31,
        "needs at least 32 characters, or none at all to keep /admin closed",
    ),
    ("URL_PREFIX", "hub", "starts with / and does not end with one"),
    ("URL_PREFIX", "/hub/", "starts with / and does not end with one"),
    ("URL_PREFIX", "/", "starts with / and does not end with one"),
    ("UPSTREAM_URL", "api.example.com/v1", "is an http:// or https:// address, like https://"),
    ("UPSTREAM_URL", "ftp://api.example.com/v1", "is an http:// or https:// address"),
    ("UPSTREAM_URL", "http://", ""),
    ("UPSTREAM_URL", "http://[::1/v1", ""),
    ("UPSTREAM_CONTEXT", "-1", ".*greater than or equal to 0"),
    ("ANSWERS_WORKER", "0", ".*greater than or equal to 1"),
    ("HEARTBEAT", "0.5", ".*greater than or equal to 1"),
    ("DRAIN_GRACE", "0", ".*greater than 0"),
    ("CONNECT_TIMEOUT", "-1", ".*greater than 0"),
    ("CONNECT_TIMEOUT", "ten", ".*number"),
    ("LIFETIME", "0", ".*greater than 0"),
    ("CONNECTIONS_ADDRESS", "0", ".*greater than or equal to 1"),
    ("MEMORY_BYTES", "0", ".*greater than or equal to 1"),
    ("OUTLET", "pipe", ".*'auto', 'socket' or 'generator'"),
    ("LOG_LEVEL", "INFO!", ".*'debug', 'info', 'warning' or 'error'"),
    ("TRUSTED_PROXIES", "nginx", "'nginx' does not appear to be an IPv4 or IPv6 network"),
    ("TRUSTED_PROXIES", "10.0.0.0/33", "'10.0.0.0/33' does not appear to be"),
    ("TRUSTED_PROXIES", "none, 10.0.0.1", "are either networks or `none`, not both"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG)
def test_what_cannot_be_is_said_by_the_name_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    said = refused()
    assert re.match(f"{name}:? {sentence}", said), said
    assert "\n" not in said
    assert "pydantic" not in said


def test_all_that_is_wrong_is_said_at_once() -> None:
    said = refused(port=0, url_prefix="hub")
    assert "PORT" in said
    assert "; URL_PREFIX" in said


@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "1e300"])
def test_no_time_is_longer_than_a_clock_can_hold(value: str) -> None:
    """A socket's time-out of 1e300 s is an OverflowError, and `connected` would carry a heartbeat of null."""
    for name, field in Settings.model_fields.items():
        if field.annotation is float:
            assert name.upper() in refused(**{name: value})


def test_a_trailing_slash_of_the_upstream_does_not_matter() -> None:
    assert Settings.load(upstream_url="http://127.0.0.1:1/v1/").upstream_url == "http://127.0.0.1:1/v1"


@pytest.mark.parametrize("name", ["upstream_key", "admin_token"])
def test_a_secret_read_from_a_file_may_end_with_a_line_break(name: str) -> None:
    """`UPSTREAM_KEY="$(cat file)\\n"`: as part of a header it would end every call in an error."""
    settings = Settings.load(**{name: f" {TOKEN}\r\n"})
    assert getattr(settings, name).get_secret_value() == TOKEN


@pytest.mark.parametrize("name", ["upstream_key", "admin_token"])
@pytest.mark.parametrize("value", ["two\nlines", "a\0b", "tab\tbed", "ключ"])
def test_a_secret_that_no_header_can_carry_is_refused(name: str, value: str) -> None:
    said = refused(**{name: value * 10})
    assert said.startswith(name.upper())
    assert value not in said


@pytest.mark.parametrize(
    "origin",
    ["*", "shop.example", "https://shop.example/", "https://shop.example/page", "HTTPS://Shop.example"],
)
def test_an_origin_that_could_never_match_is_refused_or_mended(origin: str) -> None:
    """What a browser sends as Origin: scheme and host in lower case, and nothing after them."""
    try:
        (taken,) = Settings.load(cors_origins=origin).cors_origins
    except SettingsError as error:
        assert str(error).startswith("CORS_ORIGINS")  # noqa: PT017  # either will do
    else:
        assert taken == "https://shop.example"


@pytest.mark.parametrize("host", ["chat.example:8000", "https://chat.example", "*.example"])
def test_an_allowed_host_that_could_never_match_is_refused(host: str) -> None:
    assert refused(allowed_hosts=host).startswith("ALLOWED_HOSTS")


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("", ()),
        ("none", ("none",)),
        ("10.0.0.1", ("10.0.0.1",)),
        ("10.1.2.3/8, ::1 ,2001:db8::/32", ("10.1.2.3/8", "::1", "2001:db8::/32")),
    ],
)
def test_trusted_proxies_are_addresses_networks_or_none(value: str, taken: tuple[str, ...]) -> None:
    assert Settings.load(trusted_proxies=value).trusted_proxies == taken


# --- what no single one can say -----------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "hub.example", "127.0.0.1.nip.io", ""])
def test_anything_but_loopback_needs_auth_open_in_so_many_words(host: str) -> None:
    if host:
        said = refused(host=host)
        assert f"HOST={host} " in said
        assert "AUTH=open" in said
        assert "127.0.0.1" in said
        assert Settings.load(host=host, auth="open").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_loopback_needs_nothing(host: str) -> None:
    assert Settings.load(host=host).host == host


def test_two_workers_are_refused_with_the_reason() -> None:
    said = refused(web_concurrency=2)
    assert "WEB_CONCURRENCY=2" in said
    assert "use 1" in said


@pytest.mark.parametrize(
    ("name", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost.", False),
        ("128.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::2", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_what_only_looks_like_it(name: str, loopback: bool) -> None:
    assert is_loopback(name) is loopback


# --- secrets ------------------------------------------------------------------------------------------


def test_no_secret_is_in_the_text_of_the_settings() -> None:
    settings = Settings.load(
        admin_token=TOKEN, upstream_key="k3y-of-the-upstream", upstream_url="http://me:hunter2@127.0.0.1/v1"
    )
    for secret in (TOKEN, "k3y-of-the-upstream", "hunter2"):
        assert secret not in f"{settings!r} {settings}"
    assert TOKEN not in f"{settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    "given",
    [
        {"admin_token": "hunter2"},
        {"upstream_url": "ftp://me:hunter2@example.com"},
        {"admin_token": "hunter2", "port": "x"},
        {"upstream_key": "hunter2", "web_concurrency": 2},
        {"upstream_key": "hunter2", "host": "0.0.0.0"},
    ],
)
def test_no_secret_is_in_a_complaint(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**given)
    assert "hunter2" not in f"{caught.value!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "the trace would show it"


# --- the table itself ---------------------------------------------------------------------------------


def test_every_setting_has_a_reason_and_a_default() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert not field.is_required(), name


def test_every_setting_is_read_by_something() -> None:
    sources = [*ROOT.glob("app/**/*.py"), ROOT / "gunicorn.conf.py"]
    code = "\n".join(
        p.read_text(encoding="utf-8") for p in sources if p.name not in ("settings.py", "cli.py")
    )
    assert [name for name in Settings.model_fields if not re.search(rf"settings\.{name}\b", code)] == ["auth"]
