"""keyless: names that give a key away, and names that only sound like it."""

from __future__ import annotations

import pytest

from app.keyless import bears, check_address, says_secret, texts

SECRETS = [
    "Authorization",
    "X-Api-Key",
    "apiKey",
    "api_key_2",
    "access_token",
    "Cookie",
    "client-secret",
    "sig",
]
HARMLESS = ["max_tokens", "stop_token", "token_budget", "prompt_cache_key", "key_id", "X-Author", "tokenizer"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_name_says_that_what_it_holds_is_a_secret(name: str) -> None:
    assert says_secret(name)


@pytest.mark.parametrize("name", HARMLESS)
def test_a_name_that_only_sounds_like_it_says_nothing(name: str) -> None:
    assert not says_secret(name)


@pytest.mark.parametrize("address", ["/a?key=x", "/a?b=1&api_key=x", "/a;token=x", "/a?%6Bey=x", "/{key}/a"])
def test_an_address_holds_no_key_and_no_place_of_one(address: str) -> None:
    with pytest.raises(ValueError, match="holds a key"):
        check_address(address)


@pytest.mark.parametrize("address", ["/a", "/a?api-version=1", "/keys/a", "/a?max_tokens=5"])
def test_an_address_may_hold_anything_else(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    ("text", "found"), [("Bearer abc", True), (" bearer  x", True), ("Bearer {key}", False), ("bear", False)]
)
def test_a_bearer_is_known_under_any_name(text: str, found: bool) -> None:
    assert bears(text) is found


def test_texts_are_found_at_any_depth_with_the_name_they_stand_under() -> None:
    body = {"a": "1", "b": {"c": ["2", {"d": "3"}], "e": 4}, "f": None}
    assert sorted(texts(body)) == [("a", "1"), ("c", "2"), ("d", "3")]
