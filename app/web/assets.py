"""The blueprint `assets`: the front end, built, each file as small as the browser takes it; or its sources.

What is served here is the same for everyone and holds no secret, so pages of any origin may load it: a widget
must get as far as saying that its site is not allowed here.
"""

from __future__ import annotations

import re
from os.path import isfile
from pathlib import Path

from flask import Blueprint, Response, redirect, request, send_from_directory
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join
from werkzeug.wrappers import Response as AnyResponse

from app.web.built import SOURCES
from app.web.parts import parts

bp = Blueprint("assets", __name__)

# Addresses that other sites write into their pages, so they never change; what they lead to does.
LASTING = ("widget.js", "client.js", "client.shared.js", "client.global.js")
FOREVER = "public, max-age=31536000, immutable"
# What is there for browsers, not what lies beside it.
_BUILT = re.compile(r"[\w.]+-[A-Z0-9]{8}\.[a-z]+")
_CODINGS = (("br", ".br"), ("gzip", ".gz"))
_FOR_ALL = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}


@bp.get("/static/dist/<name>")
def built(name: str) -> Response:
    """A file whose name tells its content, to be kept for ever."""
    if not _BUILT.fullmatch(name):
        raise NotFound
    return _sent(parts().assets.dist, name, FOREVER)


@bp.get("/static/src/<path:name>")
def source(name: str) -> Response:
    """A source, which a browser can run as it is."""
    return _sent(parts().assets.src, name, "no-cache")


@bp.get(f"/<any({', '.join(LASTING)}):name>")
def lasting(name: str) -> AnyResponse:
    """What a site embeds: the latest build of it, at an address that stays."""
    assets = parts().assets
    if file := assets.file(name):
        return _sent(assets.dist, file, "no-cache")
    if name not in SOURCES:
        raise NotFound(f"{name} has to be built first: `make front` in the folder of the server")
    response = redirect(assets.url(name))
    response.headers.update(_FOR_ALL)
    return response


def _sent(folder: Path, name: str, caching: str) -> Response:
    """The file, or the compressed one beside it that the browser would rather have."""
    response = send_from_directory(folder, name + _suffix(folder, name))  # which tells the coding by it
    response.headers.update(_FOR_ALL)
    response.headers["Cache-Control"] = caching
    response.vary.add("Accept-Encoding")
    return response


def _suffix(folder: Path, name: str) -> str:
    """Of the smallest form that the browser takes; the name is checked by who sends it."""
    accepted = request.accept_encodings
    return next((end for coding, end in _CODINGS if accepted[coding] > 0 and _is_in(folder, name + end)), "")


def _is_in(folder: Path, name: str) -> bool:
    path = safe_join(str(folder), name)
    return path is not None and isfile(path)  # also where no file can have such a name
