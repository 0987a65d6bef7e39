"""A request's body or query to checked values: what gets past here can be stored, sent and encoded.

JSON is read by the standard library, which sees what others let pass: lone surrogates, integers beyond
64 bits. Shapes are pydantic's, in shapes.py.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from app.errors import Invalid, NotJSON, TooLarge, Unsupported
from app.hub.events import CLIENT_ID

Shape = TypeVar("Shape", bound=BaseModel)

MAX_DEPTH = 100
_LEAST, _MOST = -(2**63), 2**64 - 1
# The last quote may lack: starting over at each one before it would be quadratic.
_TOKENS = re.compile(rb'"((?:[^"\\]+|\\.)*)"?|([\[{])|([\]}])', re.DOTALL)
# The digits of the longest integer that can fit, and its sign.
_DIGITS = 20


def read(request: Request, shape: type[Shape]) -> Shape:
    """The body as `shape`. Raises Unsupported, TooLarge, NotJSON, Invalid with its field."""
    if request.mimetype != "application/json":
        raise Unsupported("Send the body as Content-Type: application/json")
    body = _parse(_bytes(request))
    if not isinstance(body, dict):
        raise Invalid("The body is an object, like {…}")
    for name, value in body.items():
        _check([name, value], _printable(name))
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(_printable(str(part)) for part in first["loc"])
        raise Invalid(
            f"{field or 'The body'}: {first['msg'].removeprefix('Value error, ')}", field=field
        ) from None


def ident(value: str, field: str = "clientId") -> str:
    """`value`, if it is in the alphabet of [protocol §1]. Raises Invalid."""
    if not CLIENT_ID.fullmatch(value):
        raise Invalid(f"{field}: 1 to 128 of A-Z a-z 0-9 . _ ~ -, the first a letter or digit", field=field)
    return value


def choice(value: str | None, allowed: dict[str, bool], field: str, default: bool) -> bool:
    """A word of the query as a truth value. Raises Invalid."""
    if value is None:
        return default
    if value not in allowed:
        raise Invalid(f"{field} is one of {', '.join(allowed)}", field=field)
    return allowed[value]


def _bytes(request: Request) -> bytes:
    try:
        raw = request.get_data()
    except HTTPException:
        raise
    except Exception as error:  # each server has its own for chunks that are none
        raise NotJSON("The body broke off, or its chunks are malformed") from error
    if request.content_length is None and len(raw) == request.max_content_length:
        # A chunked one is cut there without a word.
        raise TooLarge(f"The body is larger than {len(raw)} bytes")
    return raw


def _parse(raw: bytes) -> Any:
    field = _too_deep(raw)
    if field is not None:
        raise Invalid(f"Nested more than {MAX_DEPTH} deep", code="too_deep", field=field)
    try:
        # Decoded here: left to itself it would take UTF-16 too, whose strings _TOKENS can't tell.
        return json.loads(raw.decode(), parse_constant=_no_number, parse_int=_integer)
    except UnicodeDecodeError:
        raise NotJSON("The body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise NotJSON(f"Not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None


def _integer(digits: str) -> float:
    """What is too long to fit is not read: each digit would cost more than the one before."""
    return int(digits) if len(digits) <= _DIGITS else math.inf


def _no_number(name: str) -> None:
    raise NotJSON(f"{name} is not JSON")


def _too_deep(raw: bytes) -> str | None:
    """The member of the body that nests too deep, before any parser follows it down; None for none."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return None
    depth, field = 0, b""
    for token in _TOKENS.finditer(raw):
        text, opens, closes = token.groups()
        depth += bool(opens) - bool(closes)
        if depth > MAX_DEPTH:
            return _printable(field.decode("utf-8", "replace"))
        if depth == 1 and not (opens or closes):
            field = text
    return None


def _check(value: Any, field: str) -> None:
    """Raises Invalid for what JSON can say and UTF-8 or 64 bits can't. Walks without recursion."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            _check_text(item, field)
        elif isinstance(item, dict):
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, int | float) and not _fits(item):
            raise Invalid(f"{field}: a number is beyond 64 bits", field=field)


def _fits(number: float) -> bool:
    return _LEAST <= number <= _MOST if isinstance(number, int) else math.isfinite(number)


def _check_text(text: str, field: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{field}: half of a surrogate pair is not text", field=field) from None


def _printable(name: str) -> str:
    """A member's name as it may be repeated to the caller: short, and UTF-8 whatever was sent."""
    return name[:64].encode("utf-8", "replace").decode()
