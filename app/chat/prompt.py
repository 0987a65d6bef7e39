"""Prompt templates: text with places, filled from parameters that are checked by name.

Pure. [protocol §3] `{name}` is a place, `{}` takes the next of a list, `{{` and `}}` are braces; what is
filled in is text, never a place.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from app.errors import Invalid, TooLarge

_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)?\}|[{}]")
# Of a name this much is repeated to the caller.
_SHOWN = 64


def fill(template: str, params: dict[str, Any] | list[Any], longest: int = 1 << 20) -> str:
    """The template with every place filled. Raises Invalid naming a missing or surplus parameter, TooLarge
    where it would come to more than `longest` characters: one value may fill many places."""
    used: set[str] = set()
    pieces: list[str] = []
    room, end = longest, 0
    for match in _PART.finditer(template):
        piece = template[end : match.start()] + _filled(match, params, used)
        room -= len(piece)
        if room < 0:
            raise TooLarge(f"Filled, the prompt is longer than {longest} characters", field="prompt")
        pieces.append(piece)
        end = match.end()
    _check_surplus(params, used)
    return "".join(pieces) + template[end:]


def _filled(match: re.Match[str], params: dict[str, Any] | list[Any], used: set[str]) -> str:
    whole = match[0]
    if whole in ("{{", "}}"):
        return whole[0]
    if whole in ("{", "}"):
        remedy = f"write {whole * 2} for a brace"
        raise Invalid(f"A single {whole} at {match.start()}: {remedy}", field="prompt")
    return _value(params, match[1], used)


def _check_surplus(params: dict[str, Any] | list[Any], used: set[str]) -> None:
    names = set(params) if isinstance(params, dict) else {str(i) for i in range(len(params))}
    surplus = sorted(names - used)
    if surplus:
        name = surplus[0][:_SHOWN]
        raise Invalid(f"The prompt has no place for {name}", field=f"params.{name}")


def _value(params: dict[str, Any] | list[Any], name: str | None, used: set[str]) -> str:
    if name is None and isinstance(params, dict):
        raise Invalid("{} takes from a list: name the place, or give params as a list", field="prompt")
    if name is not None and isinstance(params, list):
        raise Invalid(f"{{{name[:_SHOWN]}}} takes from an object: give params as an object", field="prompt")
    key = str(len(used)) if name is None else name
    used.add(key)
    try:
        value = params[int(key)] if isinstance(params, list) else params[key]
    except (KeyError, IndexError):
        key = key[:_SHOWN]
        raise Invalid(f"The prompt needs the parameter {key}", field=f"params.{key}") from None
    return value if isinstance(value, str) else orjson.dumps(value).decode()
