"""Prompt templates: text with places, filled from parameters that are checked by name.

Pure. [protocol §3] `{name}` is a place, `{}` takes the next of a list, `{{` and `}}` are braces; what is
filled in is text, never a place.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from app.errors import Invalid

_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)?\}|[{}]")


def fill(template: str, params: dict[str, Any] | list[Any]) -> str:
    """The template with every place filled. Raises Invalid naming a missing or surplus parameter."""
    used: set[str] = set()

    def part(match: re.Match[str]) -> str:
        whole = match[0]
        if whole in ("{{", "}}"):
            return whole[0]
        if whole in ("{", "}"):
            raise Invalid(
                f"A single {whole} at {match.start()}: write {whole * 2} for a brace", field="prompt"
            )
        return _value(params, match[1], used)

    text = _PART.sub(part, template)
    names = set(params) if isinstance(params, dict) else {str(i) for i in range(len(params))}
    surplus = sorted(names - used)
    if surplus:
        raise Invalid(f"The prompt has no place for {surplus[0]}", field=f"params.{surplus[0]}")
    return text


def _value(params: dict[str, Any] | list[Any], name: str | None, used: set[str]) -> str:
    if name is None and isinstance(params, dict):
        raise Invalid("{} takes from a list: name the place, or give params as a list", field="prompt")
    if name is not None and isinstance(params, list):
        raise Invalid(f"{{{name}}} takes from an object: give params as an object", field="prompt")
    key = str(len(used)) if name is None else name
    used.add(key)
    try:
        value = params[int(key)] if isinstance(params, list) else params[key]
    except (KeyError, IndexError):
        raise Invalid(f"The prompt needs the parameter {key}", field=f"params.{key}") from None
    return value if isinstance(value, str) else orjson.dumps(value).decode()
