"""upstreams: what the file may hold, every sentence it is refused with, and that no key ever shows."""

from __future__ import annotations

import json
import re
import traceback
from pathlib import Path
from typing import Any

import pytest

from app.errors import SettingsError
from app.upstreams import Entry, address, load

KEY = "sk-0123456789abcdef"
ENV = {"A_KEY": KEY, "EMPTY": " \n"}
PLAIN = {"name": "a", "url": "https://a.example/v1"}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "upstreams.json"


def written(file: Path, *items: Any) -> list[Entry]:
    """The entries of a file that holds these."""
    file.write_text(json.dumps(items))
    return load(str(file), ENV)


def one(file: Path, **fields: Any) -> Entry:
    (entry,) = written(file, {**PLAIN, **fields})
    return entry


def sentence(file: Path, text: str) -> str:
    """What a file of this text is refused with, without what all of them begin with."""
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(str(file), ENV)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    said = str(caught.value)
    start = f"UPSTREAMS={file}: "
    assert said.startswith(start)
    assert "\n" not in said
    return said.removeprefix(start)


def refused(file: Path, **fields: Any) -> str:
    said = sentence(file, json.dumps([{**PLAIN, **fields}]))
    start, _, rest = said.partition(": ")
    assert re.fullmatch(r"entry 1( \('.*'\))?", start)
    return rest


# --- what it holds ----------------------------------------------------------------------------------------


def test_an_entry_needs_a_name_and_an_address_and_nothing_else(file: Path) -> None:
    assert one(file).arguments() == {
        "name": "a",
        "url": "https://a.example/v1",
        "path": "/chat/completions",
        "headers": {},
        "body": {},
        "ca": "",
        "model": "",
        "context": 0,
        "key": "",
    }


def test_every_field_arrives_as_it_was_written(file: Path) -> None:
    (file.parent / "ours.pem").write_text(CERTIFICATE)
    fields = {
        "path": "/deployments/x/chat/completions?api-version=2024-10-21",
        "headers": {"api-key": "{key}", "X-Team": "a b"},
        "key_env": "A_KEY",
        "model": "m",
        "body": {"temperature": 0.5, "stream_options": None},
        "ca": "ours.pem",
        "context": 8192,
        "order": -1,
    }
    entry = one(file, **fields)
    made = {**PLAIN, **fields, "key": KEY, "ca": str(file.parent / "ours.pem")}
    assert entry.arguments() == {k: v for k, v in made.items() if k not in ("key_env", "order")}
    assert entry.order == -1


def test_lower_orders_come_first_and_equal_ones_as_they_stand(file: Path) -> None:
    orders = {"a": 1, "b": 0, "c": 1, "d": -5, "e": 0}
    entries = written(file, *({**PLAIN, "name": name, "order": order} for name, order in orders.items()))
    assert [entry.name for entry in entries] == ["d", "b", "e", "a", "c"]


def test_a_certificate_is_looked_for_beside_the_file_not_where_the_server_was_started(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file.parent / "ours.pem").write_text(CERTIFICATE)
    (file.parent / "elsewhere").mkdir()
    monkeypatch.chdir(file.parent / "elsewhere")
    assert one(file, ca="ours.pem").ca == str(file.parent / "ours.pem")
    assert one(file, ca=str(file.parent / "ours.pem")).ca == str(file.parent / "ours.pem")


def test_a_file_that_begins_with_a_byte_order_mark_is_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps([PLAIN]).encode())
    assert [entry.name for entry in load(str(file), {})] == ["a"]


@pytest.mark.parametrize(
    "url", ["https://a.example/v1/", "http://[::1]:8080/v1", "http://localhost:11434", "https://ä.example/v1"]
)
def test_an_address_is_taken_without_its_last_slash(file: Path, url: str) -> None:
    assert one(file, url=url).url == url.rstrip("/") == address(url)


# --- its keys ---------------------------------------------------------------------------------------------


def test_a_key_comes_from_the_environment_without_a_files_last_line_break(file: Path) -> None:
    file.write_text(json.dumps([{**PLAIN, "key_env": "KEY"}]))
    (entry,) = load(str(file), {"KEY": f"{KEY}\n"})
    assert entry.key.get_secret_value() == KEY


def test_no_key_and_no_header_shows_where_an_entry_is_printed(file: Path) -> None:
    entry = one(file, key_env="A_KEY", headers={"X-Door": "open-sesame"}, body={"user": "somebody"})
    shown = f"{entry!r} {entry} {entry.key!r}"
    assert not [secret for secret in (KEY, "open-sesame", "somebody") if secret in shown]
    assert "https://a.example/v1" in shown


@pytest.mark.parametrize("field", ["key", "api_key", "token", "secret", "Authorization"])
def test_a_key_in_the_file_is_refused_and_not_repeated(file: Path, field: str) -> None:
    said = refused(file, **{field: KEY})
    assert said == (
        f"{field}: may not stand in the file: put it into an environment variable, and its name into key_env"
    )


@pytest.mark.parametrize("value", [KEY, "0f2b6a", "abcdef0123456789abcdef0123456789", "KEY=1", "{key}"])
def test_a_key_in_the_place_of_its_variables_name_is_not_repeated_either(file: Path, value: str) -> None:
    said = refused(file, key_env=value)
    assert said == "key_env: is the name of an environment variable, in capitals, not the key itself"


@pytest.mark.parametrize("name", ["B_KEY", "EMPTY"])
def test_a_variable_that_is_not_set_is_named(file: Path, name: str) -> None:
    assert (
        refused(file, key_env=name)
        == f"key_env: names {name}, which is not set: export it, or leave key_env out"
    )


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel", "a\x7fb"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(file: Path, key: str) -> None:
    file.write_text(json.dumps([{**PLAIN, "key_env": "KEY"}]))
    with pytest.raises(SettingsError, match="KEY holds what no header can carry") as caught:
        load(str(file), {"KEY": key})
    assert key not in str(caught.value)


SECRETS = [
    *("key", "api_key", "apiKey", "APIKEY", "X-Auth-Token", "Ocp-Apim-Subscription-Key", "X-Api-Key-Prod"),
    *("key2", "accessToken", "client_secret", "password", "passwd", "X-Auth", "authorization", "cookie"),
    *("credentials", "sig", "x-signature", "refresh_token", "max_tokens_key"),
]
HARMLESS = [
    *("max_tokens", "max_completion_tokens", "maxTokens", "X-Max-Tokens", "min_tokens", "stop_token_ids"),
    *("thinking_token_budget", "X-Token-Limit", "prompt_cache_key", "key_id", "eos_token", "tokenizer"),
    *("keywords", "X-Author", "X-Keycloak-Realm", "keep_alive", "bypass", "design", "api-version"),
]


@pytest.mark.parametrize("name", SECRETS)
def test_what_a_name_calls_a_secret_is_taken_as_the_place_of_one_in_a_header_only(
    file: Path, name: str
) -> None:
    said = refused(file, headers={name: KEY})
    assert said.startswith(f"headers: {name} is a secret: write {{key}} in its place")
    assert one(file, headers={name: "Key {key}"}, key_env="A_KEY").headers == {name: "Key {key}"}
    assert refused(file, path=f"/chat?a=1&{name}={KEY}").startswith("path: holds a key")
    assert refused(file, url=f"https://a.example/v1?{name}={KEY}").startswith("url: holds a key")
    for body in ({name: KEY}, {name: "{key}"}, {"a": {"b": [{name: [KEY]}]}}):
        assert refused(file, body=body).startswith(f"body: {name!r} is a secret: send it in headers")


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_sounds_like_a_secret_may_stand_in_the_file(file: Path, name: str) -> None:
    entry = one(file, headers={name: "9"}, body={name: "x"}, path=f"/chat?{name}=9")
    assert (entry.headers, entry.body, entry.path) == ({name: "9"}, {name: "x"}, f"/chat?{name}=9")


@pytest.mark.parametrize("value", [None, True, 1, [1, 2], {"type": "string"}, ""])
def test_a_field_that_holds_no_text_holds_no_key(file: Path, value: Any) -> None:
    assert one(file, body={"token": value}).body == {"token": value}


@pytest.mark.parametrize(
    "value", [f"Bearer {KEY}", f"bearer  {KEY}", f"Bearer {KEY} {{key}}", "Bearer {key}x"]
)
def test_bearer_is_followed_by_the_place_of_the_key_whatever_the_name(file: Path, value: str) -> None:
    assert refused(file, headers={"X-A": value}).startswith("headers: X-A is a secret: write {key}")
    assert refused(file, body={"a": [value]}).startswith("body: 'a' is a secret: send it in headers")
    assert one(file, headers={"X-A": "Bearer {key}"}, key_env="A_KEY").headers == {"X-A": "Bearer {key}"}


@pytest.mark.parametrize("path", [f"/chat?%6Bey={KEY}", f"/chat;token={KEY}", f"/c?a&api_key[]={KEY}"])
def test_a_key_in_a_path_is_found_however_it_is_written(file: Path, path: str) -> None:
    assert refused(file, path=path).startswith("path: holds a key: addresses end up in logs")


def test_a_place_for_a_key_needs_a_key(file: Path) -> None:
    said = refused(file, headers={"api-key": "{key}"})
    assert said == "headers hold {key}, and there is no key_env to say where it is"


# --- what is refused --------------------------------------------------------------------------------------

WRONG = {
    "a name of nothing": ({"name": ""}, "name: has to have at least 1 character"),
    "a name too long": ({"name": "a" * 201}, "name: has to have at most 200 characters"),
    "a name with a line break": ({"name": "a\nb"}, "name: is of printable characters"),
    "a name that is a number": ({"name": 3}, "name: has to be a valid string"),
    "an address without http": ({"url": "a.example/v1"}, "url: is an http:// or https:// address"),
    "an address of a file": ({"url": "file:///etc/passwd"}, "url: is an http:// or https:// address"),
    "an address with a space": ({"url": "https://a.example/v 1"}, "url: is an http:// or https:// address"),
    "an address with a query": (
        {"url": "https://a.example/v1?x=1"},
        "url: has a query: that belongs into path",
    ),
    "an address with a password": ({"url": f"https://me:{KEY}@a.example"}, "url: holds a user or a password"),
    "a path without a slash": ({"path": "chat"}, "path: begins with / and follows the url"),
    "a path with a line break": ({"path": "/a\r\nX: 1"}, "path: begins with / and follows the url"),
    "a path with a place for a key": ({"path": "/chat/{key}"}, "path: holds a key: addresses end up in logs"),
    "an address with one": ({"url": "https://a.example/{key}"}, "url: holds a key: addresses end up in logs"),
    "headers in a list": ({"headers": ["X-A: 1"]}, "headers: has to be a valid dictionary"),
    "a header that is a number": ({"headers": {"X-A": 1}}, "headers.X-A: has to be a valid string"),
    "a header's name with a space": ({"headers": {"X A": "1"}}, "headers: 'X A' is no header's name"),
    "a header with a line break": ({"headers": {"X-A": "1\r\nX-B: 2"}}, "headers: X-A holds what no header"),
    "a header with an umlaut": ({"headers": {"X-A": "ä"}}, "headers: X-A holds what no header can carry"),
    "a header of the relay's": (
        {"headers": {"content-type": "x"}},
        "headers: content-type is set by the relay",
    ),
    "a header between machines": (
        {"headers": {"Host": "x"}},
        "headers: Host is set by the relay: leave it out",
    ),
    "a body with a stream": ({"body": {"stream": False}}, "body: stream is set by the relay: leave it out"),
    "a body with messages": ({"body": {"messages": []}}, "body: messages is set by the relay: leave it out"),
    "a body with a model": ({"body": {"model": "m"}}, "body: model is a field of its own, beside body"),
    "other stream options": (
        {"body": {"stream_options": {}}},
        "body: stream_options is set by the relay: null",
    ),
    "a certificate that is not there": ({"ca": "none.pem"}, "ca: "),
    "a certificate that is none": ({"ca": "upstreams.json"}, "ca: "),
    "tokens below nothing": ({"context": -1}, "context: has to be greater than or equal to 0"),
    "an order in words": ({"order": "1"}, "order: has to be a valid integer"),
    "an order that is yes or no": ({"order": True}, "order: has to be a valid integer"),
    "a field that does not exist": (
        {"modell": "m"},
        "modell: is no field of an upstream: there are name, url",
    ),
}


@pytest.mark.parametrize(("fields", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_with_its_field(file: Path, fields: dict[str, Any], said: str) -> None:
    assert refused(file, **fields).startswith(said)


def test_all_that_is_wrong_with_an_entry_is_said_at_once(file: Path) -> None:
    said = sentence(file, json.dumps([PLAIN, {"order": "x"}]))
    assert said == "entry 2: name: is missing; url: is missing; order: has to be a valid integer"


TEXTS = {
    "": "it is not JSON: ",
    "[{": "it is not JSON: ",
    '[{"name": "a", "url": "\\ud800"}]': "it is not JSON: ",
    '[{"name": "a", "url": "http://a", "context": NaN}]': "it is not JSON: ",
    '[{"name": "a", "url": "http://a", "body": {"x": '
    + "[" * 300
    + "]" * 300
    + "}}]": "it is nested too deeply",
    "[" * 1010 + "]" * 1010: "it is nested too deeply",
    "{}": "it is not a list of upstreams, like [{",
    "[]": "it is not a list of upstreams, like [{",
    '["http://a/v1"]': "entry 1: is not an object with name and url",
    '[{"name": "a", "url": "http://a", "body": {"x": 1, "x": 2}}]': "'x' stands twice in one object",
    '[{"name": "a", "url": "http://a"}, {"name": "a", "url": "http://b"}]': "'a' is the name of two entries",
}


@pytest.mark.parametrize(("text", "said"), TEXTS.items(), ids=lambda text: text[:60])
def test_a_file_that_is_no_list_of_upstreams_is_refused(file: Path, text: str, said: str) -> None:
    assert sentence(file, text).startswith(said)


@pytest.mark.parametrize("path", ["none.json", "."])
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(SettingsError, match=r"can't be read .*: give the path of a JSON file"):
        load(str(tmp_path / path), {})
