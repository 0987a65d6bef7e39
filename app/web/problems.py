"""Errors on the wire: application/problem+json (RFC 9457), with a stable `code` and the `field` at fault."""

from __future__ import annotations

import logging
import math

import orjson
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from app.errors import Problem

log = logging.getLogger(__name__)

# Codes for what Flask itself answers; any other status is told by its name.
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def register(app: Flask) -> None:
    """Makes every error of `app` a problem document."""
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def problem(status: int, code: str, title: str, detail: str, field: str = "") -> Response:
    """The document: `type`, `title`, `status`, `detail`, `code`, and `field` where one is at fault."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    if field:
        body["field"] = field
    return Response(orjson.dumps(body), status, content_type="application/problem+json")


def _problem(error: Problem) -> Response:
    response = problem(error.status, error.code, error.title, error.detail, error.field)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _http(error: HTTPException) -> Response:
    status, name = error.code or 500, error.name
    code = _CODES.get(status, name.lower().replace(" ", "_"))
    response = problem(status, code, name, error.description or name)
    for header, value in error.get_headers():
        if header == "Allow":  # [RFC 9110 §15.5.6] a 405 says what is allowed
            response.headers[header] = value
    return response


def _unforeseen(error: Exception) -> Response:
    log.error("an unforeseen error", exc_info=error)
    return problem(500, "internal", "Internal error", "The server failed; its log says where")
