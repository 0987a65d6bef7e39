"""The blueprint `pages`: the chat page, and the chat for frames; their policy lets in what is served here."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template

from app.web.parts import parts

bp = Blueprint("pages", __name__)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {framed_by}; "
    "require-trusted-types-for 'script'"
)


@bp.get("/")
def index() -> Response:
    """The chat page."""
    return _page("index.html")


@bp.get("/embed")
def embed() -> Response:
    """The chat for a frame in a page of those sites that may call this server."""
    return _page("embed.html", framed_by=" ".join(["'self'", *parts().settings.cors_origins]))


def _page(template: str, framed_by: str = "'none'") -> Response:
    settings, assets = parts().settings, parts().assets
    page = render_template(
        template,
        base=settings.url_prefix,
        model=settings.upstream_model,
        limit=settings.body_bytes,
        asset=assets.url,
        preloads=assets.preloads,
    )
    response = make_response(page)
    response.headers["Content-Security-Policy"] = _POLICY.format(framed_by=framed_by)
    response.headers["Cache-Control"] = "no-cache"
    return response
