"""The blueprint `sse`: open a stream, send to one client, close one, ask about one.

The contract is docs/protocol.md §2 and §3.
"""

from __future__ import annotations

import secrets
from typing import Any

import orjson
from flask import Blueprint, Response, request

from app.errors import Overloaded, TooLarge
from app.hub.reading import named_by
from app.web import body, files, shapes
from app.web.parts import Parts, parts
from app.web.streams import HEADERS, LastResponse

bp = Blueprint("sse", __name__, url_prefix="/sse")

_TRUTH = {"true": True, "false": False, "1": True, "0": False}


@bp.get("/createConnect")
def create_connect() -> Response:
    """One event stream of a client. 200, 204 "don't come back", 422, 503 (by request)."""
    cursor = request.headers.get("Last-Event-ID") or request.args.get("lastEventId", "")
    asked = request.args.get("clientId", "")
    client_id = body.ident(asked or named_by(cursor) or secrets.token_hex(16))
    close_on_done = body.choice(request.args.get("closeOnDone"), _TRUTH, "closeOnDone", True)
    beat = body.choice(request.args.get("heartbeat"), {"event": True}, "heartbeat", False)
    by_status = body.choice(request.args.get("overload"), {"status": True}, "overload", False)
    if request.method == "HEAD":  # a probe: it listens to nothing, so nothing is registered
        return Response(headers=HEADERS)
    part = parts()
    part.sweep.ensure()  # first: where no thread can be had, no stream takes a place
    try:
        files.check_room(request.environ.get("gunicorn.socket"))
        opened = part.hub.open(
            client_id,
            cursor,
            close_on_done=close_on_done,
            beat_as_event=beat,
            named=bool(asked),
            address=_address(part),
        )
    except Overloaded as error:
        if by_status:
            raise
        return LastResponse(part.hub.overloaded(client_id, error.retry_after or 10.0))
    if opened is None:
        return Response(status=204)
    return part.streams.answer(opened)


@bp.post("/send")
def send() -> tuple[dict[str, Any], int]:
    """One message to one client: 200 with an open connection, 202 while it waits, 404 where unknown."""
    asked = body.read(request, shapes.Send)
    check_size(asked.data)
    sent = parts().hub.send(asked.client_id, asked.data, asked.id)
    return sent._asdict(), 200 if sent.connections else 202


@bp.post("/close")
def close() -> dict[str, Any]:
    """Ends all streams of a client; its answers go on."""
    return {"closed": parts().hub.close(body.read(request, shapes.Close).client_id)}


@bp.get("/clients/<client_id>")
def client(client_id: str) -> dict[str, Any]:
    """`{clientId, connections, waiting, lastEventId, generations}`; 404 where unknown."""
    return parts().hub.client(body.ident(client_id))


def _address(part: Parts) -> str:
    return part.addresses.of(request.remote_addr or "", request.headers.get("X-Forwarded-For", ""))


def check_size(data: Any) -> None:
    """Raises TooLarge where one message's data is larger than a mailbox should carry."""
    limit = parts().settings.message_bytes
    if len(orjson.dumps(data)) > limit:
        raise TooLarge(f"data is larger than {limit} bytes", field="data")
