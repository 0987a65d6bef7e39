"""The composition root: what `create_app` makes, what it does not start, and where everything stands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.errors import SettingsError
from app.settings import Settings
from app.web.parts import NAME, Parts

ROOT = Path(__file__).resolve().parents[1]
HOST = {"Host": "localhost"}
PATHS = {
    "GET /",
    "GET /embed",
    "GET /healthz",
    "GET /sse/createConnect",
    "POST /sse/send",
    "POST /sse/close",
    "GET /sse/clients/<client_id>",
    "POST /chat",
    "GET /chat/<generation_id>",
    "POST /chat/<generation_id>/stop",
    "GET /conversations",
    "GET /conversations/<conversation_id>",
    "DELETE /conversations/<conversation_id>",
    "POST /admin/broadcast",
    "GET /static/dist/<name>",
    "GET /static/src/<path:name>",
    "GET /<any(widget.js, client.js, client.shared.js, client.global.js):name>",
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def make(**settings: Any) -> tuple[Flask, Parts]:
    app = create_app(Settings.load(**settings))
    return app, app.extensions[NAME]


def paths(app: Flask) -> set[str]:
    rules = app.url_map.iter_rules()
    return {
        f"{method} {rule.rule}" for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_every_call_of_the_contract_is_there_and_no_other() -> None:
    assert paths(make()[0]) == PATHS


@pytest.mark.parametrize("prefix", ["/hub", "/a/b-c"])
def test_a_prefix_moves_every_path(prefix: str) -> None:
    app, _ = make(url_prefix=prefix)
    assert paths(app) == {path.replace(" ", f" {prefix}", 1) for path in PATHS}
    caller = app.test_client()
    assert caller.get(f"{prefix}/healthz", headers=HOST).status_code == 200
    assert caller.get("/healthz", headers=HOST).status_code == 404
    assert caller.get("/", headers=HOST).status_code == 404
    moved = caller.get(prefix, headers=HOST)
    assert (moved.status_code, moved.headers["Location"]) == (308, f"http://localhost{prefix}/")


@pytest.mark.parametrize("prefix", ["/a b", "/<x>", "/a?b", "/a#b", "//evil.example", "/a//b", "/ü"])
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="URL_PREFIX"):
        Settings.load(url_prefix=prefix)


MAKE_THREE = """
import gc, socket, threading
from app import create_app
from app.settings import Settings

def count():
    return threading.active_count(), sum(isinstance(thing, socket.socket) for thing in gc.get_objects())

before = count()
made = [create_app(Settings.load()) for _ in range(3)]
print(len(made), before == count(), before)
"""


def test_making_an_application_starts_no_thread_and_opens_no_socket() -> None:
    """In an interpreter of its own, where no other test's sockets come and go."""
    made = subprocess.run(
        [sys.executable, "-c", MAKE_THREE], cwd=ROOT, env={}, capture_output=True, text=True, check=True
    )
    assert made.stdout.split() == ["3", "True", "(1,", "0)"]


def test_importing_reads_no_setting_and_loads_neither_flask_nor_requests() -> None:
    """gunicorn's master imports app.settings before the worker patches its sockets."""
    code = "import sys, app.settings; print({'flask', 'requests', 'gevent', 'urllib3'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PORT": "no port"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "set()"


def test_settings_come_from_the_environment_where_none_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL_PREFIX", "/here")
    assert "GET /here/healthz" in paths(create_app())


def test_two_applications_share_nothing() -> None:
    (_, one), (_, two) = make(), make()
    assert one.hub is not two.hub
    assert one.relay is not two.relay
    assert one.conversations is not two.conversations


def test_every_limit_comes_from_its_setting() -> None:
    numbers = {
        "mailbox_events": 11,
        "mailbox_bytes": 12,
        "mailbox_age": 13.0,
        "broadcast_events": 14,
        "broadcast_bytes": 15,
        "broadcast_age": 16.0,
        "mailboxes": 17,
        "connections_worker": 18,
        "connections_client": 19,
        "heartbeat": 20.0,
        "retry_ms": 21,
        "client_memory": 22.0,
        "idempotency_keys": 23,
        "connections_address": 24,
        "memory_bytes": 25,
        "lifetime": 26.0,
        "slow_reader": 27.0,
    }
    limits = make(**numbers)[1].hub.limits
    given = (
        *(limits.mailbox.events, limits.mailbox.bytes, limits.mailbox.age),
        *(limits.news.events, limits.news.bytes, limits.news.age),
        *(limits.clients, limits.connections, limits.connections_client),
        *(limits.heartbeat, limits.retry_ms, limits.client_memory, limits.keys),
        *(limits.connections_address, limits.memory, limits.lifetime, limits.slow),
    )
    assert given == tuple(numbers.values())


def test_the_way_out_and_whose_word_is_taken_for_an_address_come_from_their_settings() -> None:
    _, parts = make(outlet="generator", trusted_proxies="192.0.2.1")
    assert repr(parts.streams) == "<Streams by generator: none taken>"
    assert parts.addresses.of("192.0.2.1", "198.51.100.7") == "198.51.100.7"
    assert parts.addresses.of("192.0.2.2", "198.51.100.7") == "192.0.2.2"


def test_several_upstreams_come_from_their_file_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "sk-0123456789abcdef")
    entries = [{"name": "b", "url": "http://b.test/v1", "order": 2, "context": 500}]
    entries += [{"name": "a", "url": "http://a.test/v1", "key_env": "A_KEY", "context": 900}]
    path = tmp_path / "upstreams.json"
    path.write_text(json.dumps(entries))
    _, parts = make(upstreams=str(path))
    assert "to a, b:" in repr(parts.relay)
    assert (parts.relay.context(""), parts.relay.context("a")) == (500, 900)
    assert "sk-0123" not in f"{parts.relay!r} {parts.relay._worker.upstreams!r} {parts.settings!r}"


def test_the_upstream_is_the_one_that_is_set_and_shows_no_secret() -> None:
    url = "http://me:hunter2@127.0.0.1:1234/v1"
    _, parts = make(upstream_url=url, upstream_key="k3y", upstream_model="m-1")
    assert "127.0.0.1:1234" in repr(parts.relay)
    text = f"{parts.relay!r} {parts.relay._worker.upstreams!r} {parts.hub!r}"
    assert "m-1" in text
    assert "hunter2" not in text
    assert "k3y" not in text


def test_a_body_larger_than_is_set_is_refused_before_it_is_read() -> None:
    app, _ = make(body_bytes=100)
    caller = app.test_client()
    for size, status in ((100, 400), (101, 413)):
        response = caller.post("/sse/send", data=b"x" * size, headers=HOST, content_type="application/json")
        assert response.status_code == status


def test_data_larger_than_is_set_is_refused() -> None:
    caller = make(message_bytes=10, admin_token="t" * 32)[0].test_client()
    for size, status in ((8, 404), (9, 413)):
        body = {"clientId": "a", "data": "x" * size}
        assert caller.post("/sse/send", json=body, headers=HOST).status_code == status


def test_a_page_of_another_site_is_told_nothing_about_crossing_where_none_is_named() -> None:
    caller = make()[0].test_client()
    assert "Access-Control-Allow-Origin" not in caller.get("/healthz", headers=HOST).headers
