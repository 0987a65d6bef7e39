"""An id for each request, the caller's own or one made here: in the head of the answer and in the access log.

Pure but for chance. Used by the composition root, for all answers but streams, which have a `connectionId`.
"""

from __future__ import annotations

import re
import secrets

HEADER = "X-Request-ID"
# What can stand in a header and in a line of a log as it is.
_SANE = re.compile(r"[A-Za-z0-9._~=+/-]{1,128}")


def request_id(given: str) -> str:
    """`given` by the caller, if it is fit to be repeated; else a new one."""
    return given if _SANE.fullmatch(given) else secrets.token_hex(8)
