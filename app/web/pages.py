"""The blueprint `pages`: the chat page, under a policy that lets in nothing but what is served here."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template

from app.web.parts import parts

bp = Blueprint("pages", __name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)


@bp.get("/")
def index() -> Response:
    """The chat page."""
    settings, assets = parts().settings, parts().assets
    page = render_template(
        "index.html",
        base=settings.url_prefix,
        model=settings.upstream_model,
        asset=assets.url,
        preloads=assets.preloads,
    )
    response = make_response(page)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-cache"
    return response
