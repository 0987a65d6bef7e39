"""Errors on the wire: each is a problem document, and says no more than it should."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import MethodNotAllowed, Unauthorized

from app import errors
from app.web import problems

SECRET = "what only the log may know"


@pytest.fixture
def caller() -> FlaskClient:
    """A page that raises whatever `raises` was told to."""
    app = Flask("raising")
    problems.register(app)

    @app.get("/")
    def raising() -> str:
        raise app.config["RAISES"]

    @app.get("/aborts/<int:status>")
    def aborting(status: int) -> str:
        abort(status)

    return app.test_client()


def answer(caller: FlaskClient, error: Exception) -> Any:
    caller.application.config["RAISES"] = error
    return caller.get("/")


def test_a_problem_has_its_status_code_title_detail_and_type(caller: FlaskClient) -> None:
    response = answer(caller, errors.Invalid("temperature: is no number", field="temperature"))
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.get_json() == {
        "type": "about:blank",
        "title": "A field is wrong",
        "status": 422,
        "detail": "temperature: is no number",
        "code": "invalid",
        "field": "temperature",
    }


def test_where_no_field_is_at_fault_none_is_named(caller: FlaskClient) -> None:
    response = answer(caller, errors.Forbidden("No", code="foreign_host"))
    assert "field" not in response.get_json()
    assert response.get_json()["code"] == "foreign_host"


@pytest.mark.parametrize(("seconds", "header"), [(5, "5"), (0.2, "1"), (1.0, "1"), (10.01, "11"), (0, "0")])
def test_when_to_come_again_is_told_in_whole_seconds_and_never_too_early(
    caller: FlaskClient, seconds: float, header: str
) -> None:
    response = answer(caller, errors.Overloaded("Full", retry_after=seconds))
    assert response.headers["Retry-After"] == header


def test_where_nothing_is_known_about_it_no_time_is_told(caller: FlaskClient) -> None:
    assert "Retry-After" not in answer(caller, errors.NotFound("None")).headers


def test_who_lacks_credentials_is_told_which_kind(caller: FlaskClient) -> None:
    response = answer(caller, errors.Unauthorized("Send the token"))
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "too_large"),
        (408, "request_timeout"),
        (503, "service_unavailable"),
    ],
)
def test_what_flask_answers_itself_is_a_problem_too(caller: FlaskClient, status: int, code: str) -> None:
    problem = caller.get(f"/aborts/{status}").get_json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"]


def test_a_405_says_what_is_allowed(caller: FlaskClient) -> None:
    response = answer(caller, MethodNotAllowed(valid_methods=["GET", "HEAD"]))
    assert response.headers["Allow"] == "GET, HEAD"


def test_no_other_header_of_flasks_own_pages_comes_through(caller: FlaskClient) -> None:
    response = answer(caller, Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "x"})))
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "html" not in response.text


def test_a_redirect_is_a_redirect(caller: FlaskClient) -> None:
    caller.application.add_url_rule("/folder/", "folder", lambda: "in")
    response = caller.get("/folder")
    assert (response.status_code, response.headers["Location"]) == (308, "http://localhost/folder/")


def test_the_unforeseen_is_a_500_whose_cause_only_the_log_knows(
    caller: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    response = answer(caller, ZeroDivisionError(SECRET))
    assert (response.status_code, response.get_json()["code"]) == (500, "internal")
    assert SECRET not in response.text
    assert SECRET in caplog.text


def test_an_error_of_the_settings_or_the_upstream_is_not_the_callers(caller: FlaskClient) -> None:
    for error in (errors.SettingsError(SECRET), errors.UpstreamError("connect", SECRET)):
        response = answer(caller, error)
        assert response.status_code == 500
        assert SECRET not in response.text


def test_a_document_is_utf8_and_one_line_whatever_the_detail_holds(caller: FlaskClient) -> None:
    response = answer(caller, errors.Invalid("a\r\nb\0ü🦊\u2028", field="a\r\nX-Evil: 1"))
    assert response.get_json()["detail"] == "a\r\nb\0ü🦊\u2028"
    assert b"\n" not in response.data
    assert "X-Evil" not in response.headers
