"""The blueprint `admin`: what only who holds ADMIN_TOKEN may do."""

from __future__ import annotations

import hmac
from typing import Any

from flask import Blueprint, request

from app.errors import Forbidden, Unauthorized
from app.web import body, shapes
from app.web.parts import parts
from app.web.sse import check_size

bp = Blueprint("admin", __name__, url_prefix="/admin")


@bp.before_request
def check_token() -> None:
    """Before anything is read: 403 where no token is configured, 401 without the right one."""
    if request.method == "OPTIONS":  # a preflight never has one
        return
    token = parts().settings.admin_token.get_secret_value()
    if not token:
        raise Forbidden("/admin is closed: set ADMIN_TOKEN to open it", code="admin_closed")
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Unauthorized("Send the admin token as Authorization: Bearer …")


@bp.post("/broadcast")
def broadcast() -> dict[str, Any]:
    """One message to all."""
    asked = body.read(request, shapes.Broadcast)
    check_size(asked.data)
    return parts().hub.broadcast(asked.data, asked.level, asked.id)._asdict()
