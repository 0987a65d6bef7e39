"""Idempotency keys: answered the same for as long as they may be asked again, and never forgotten early."""

from __future__ import annotations

import pytest

from app.errors import Overloaded
from app.hub.keys import Keys


def test_a_new_key_has_no_answer() -> None:
    assert Keys[str](limit=9, age=10.0).claim("k", now=0.0) is None


def test_a_key_is_answered_the_same_until_it_is_too_old() -> None:
    keys = Keys[str](limit=9, age=10.0)
    keys.put("k", "first", now=0.0)
    assert keys.claim("k", now=10.0) == "first"
    assert keys.claim("k", now=10.1) is None


def test_claiming_a_key_does_not_make_it_younger() -> None:
    keys = Keys[str](limit=9, age=10.0)
    keys.put("k", "first", now=0.0)
    keys.claim("k", now=9.0)
    assert keys.claim("k", now=11.0) is None


def test_at_the_limit_a_new_key_is_refused_and_no_old_one_forgotten() -> None:
    keys = Keys[str](limit=2, age=10.0)
    keys.put("a", "1", now=0.0)
    keys.put("b", "2", now=5.0)
    with pytest.raises(Overloaded) as refusal:
        keys.claim("c", now=9.0)
    assert refusal.value.retry_after
    assert (keys.claim("a", now=9.0), keys.claim("b", now=9.0)) == ("1", "2")


def test_what_grew_too_old_makes_room() -> None:
    keys = Keys[str](limit=2, age=10.0)
    keys.put("a", "1", now=0.0)
    keys.put("b", "2", now=5.0)
    assert keys.claim("c", now=10.1) is None
    keys.put("c", "3", now=10.1)
    assert keys.claim("b", now=10.1) == "2"


def test_expiry_looks_at_no_more_than_it_forgets() -> None:
    keys = Keys[int](limit=10, age=10.0)
    for n in range(5):
        keys.put(n, n, now=float(n))
    keys.expire(now=12.5)
    assert [keys.claim(n, now=12.5) for n in range(5)] == [None, None, None, 3, 4]
