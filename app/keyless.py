"""Whether a key stands where none belongs: told by the names of headers, fields and parameters.

Pure. Used by upstreams.py, whose file may be shown, mailed and committed. A key under a name that says
nothing is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

# Names that say that their value is a secret, in lower case and with their words apart.
_SECRET = re.compile(
    r"secret|passw|passphrase|credential|authori[sz]ation|(key|token|cookie|bearer|signature)s?(?![a-z])"
    r"|(?<![a-z])(o?auth|authentication|jwt|pass|pwd|sig)[\W_\d]*$"
)
# What is in such names, and what models count in or are steered with.
_HARMLESS = re.compile(
    r"tokens(?![a-z])|(key|token)[-_]?(budget|count|ids?|limit)(?![a-z])|cache_key(?![a-z])"
    r"|(bos|end|eos|pad|start|stop)_token(?![a-z])"
)


def check_address(address: str) -> None:
    """ValueError where an address, or a part of one, holds a key or the place of one."""
    names = re.findall(r"[?&;]([^?&;=]*)", address)
    if "{key}" in address or any(says_secret(unquote(name)) for name in names):
        raise ValueError("holds a key: addresses end up in logs, so its place is in headers")


def says_secret(name: str) -> bool:
    """Whether the name of a header, a field or a parameter says that what it holds is a secret."""
    words = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return bool(_SECRET.search(_HARMLESS.sub("", words)))


def texts(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """All texts in it, at any depth, each with its field's name. Numbers are no keys."""
    left: list[tuple[str, Any]] = list(body.items())
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += [(name, item) for item in value]
        elif isinstance(value, str):
            yield name, value


def bears(text: str) -> bool:
    """Whether it is what `Authorization` holds, under whatever name, with a key and not its place."""
    return bool(re.match(r"\s*bearer\s+(?!\{key\}$)\S", text, re.IGNORECASE))
