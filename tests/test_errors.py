"""The tree of errors: what its picture promises, and that a code is a word a program can keep."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from app import errors
from app.errors import DeltahubError, Problem, SettingsError, UpstreamError


def below(kind: type[DeltahubError]) -> Iterator[type[DeltahubError]]:
    for sub in kind.__subclasses__():
        yield sub
        yield from below(sub)


OURS = {kind.__name__: kind for kind in below(DeltahubError) if kind.__module__ == errors.__name__}
PROBLEMS = [kind for kind in OURS.values() if issubclass(kind, Problem)]


def test_the_picture_names_every_error_and_the_status_of_every_problem() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+)(?:\s+(\d{3}))?", errors.__doc__ or ""))
    assert drawn.keys() == OURS.keys()
    for name, status in drawn.items():
        if status:
            assert str(OURS[name].status) == status  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.__name__)
def test_a_problem_has_a_status_a_title_and_a_code_of_its_own(kind: type[Problem]) -> None:
    assert 400 <= kind.status < 600
    assert kind.title
    assert re.fullmatch(r"[a-z0-9_]+", kind.code)
    assert [other.code for other in PROBLEMS].count(kind.code) == 1


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.__name__)
def test_a_problem_says_its_detail_and_may_have_a_closer_code(kind: type[Problem]) -> None:
    plain = kind("Do this")
    assert (str(plain), plain.detail, plain.code, plain.field) == ("Do this", "Do this", kind.code, "")
    assert plain.retry_after is None
    close = kind("Do this", code="closer", field="f", retry_after=2.5)
    assert (close.code, close.field, close.retry_after) == ("closer", "f", 2.5)
    assert kind.code != "closer"


def test_an_upstreams_error_says_whether_asking_again_can_help() -> None:
    error = UpstreamError("cut", "It broke off")
    assert (error.code, error.message, str(error)) == ("cut", "It broke off", "It broke off")
    assert (error.retryable, error.retry_after) == (True, None)
    assert UpstreamError("auth", "No", retryable=False, retry_after=3.0).retry_after == 3.0


def test_the_root_catches_all_that_is_raised_on_purpose_and_nothing_else() -> None:
    for kind in OURS.values():
        assert issubclass(kind, DeltahubError)
    assert not issubclass(SettingsError, Problem)
    assert not issubclass(UpstreamError, Problem)
    assert DeltahubError.__bases__ == (Exception,)
