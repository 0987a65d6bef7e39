"""The blueprint `sse`: open a stream, send to one client, close one, ask about one.

The contract is docs/protocol.md §2 and §3.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from flask import Blueprint, Response, g, request

from app.errors import Overloaded, TooLarge
from app.hub.hub import Opened
from app.hub.reading import named_by
from app.web import body, shapes
from app.web.parts import Parts, parts
from app.web.streams import HEADERS, LastResponse, StreamResponse

bp = Blueprint("sse", __name__, url_prefix="/sse")

_TRUTH = {"true": True, "false": False, "1": True, "0": False}


class Wanted(NamedTuple):
    """What a GET of a stream asks for. `named`: by the asker; `by_status`: a refusal is to be a status."""

    client_id: str
    cursor: str
    named: bool
    close_on_done: bool
    beat_as_event: bool
    by_status: bool


def wanted(args: Mapping[str, str], environ: Mapping[str, Any]) -> Wanted:
    """Out of the query, the first of each name, and the headers. Raises Invalid."""
    cursor = environ.get("HTTP_LAST_EVENT_ID") or args.get("lastEventId", "")
    asked = args.get("clientId", "")
    return Wanted(
        body.ident(asked or named_by(cursor) or secrets.token_hex(16)),
        cursor,
        bool(asked),
        body.choice(args.get("closeOnDone"), _TRUTH, "closeOnDone", True),
        body.choice(args.get("heartbeat"), {"event": True}, "heartbeat", False),
        body.choice(args.get("overload"), {"status": True}, "overload", False),
    )


def open_stream(part: Parts, asked: Wanted, environ: Mapping[str, Any]) -> Opened | None:
    """A new stream; None where the answer is 204. Raises Overloaded, and then nothing was taken."""
    part.sweep.ensure()  # first: where no thread can be had, no stream takes a place
    part.files.check_room(environ.get("gunicorn.socket"))
    return part.hub.open(
        asked.client_id,
        asked.cursor,
        close_on_done=asked.close_on_done,
        beat_as_event=asked.beat_as_event,
        named=asked.named,
        address=part.addresses.of(environ.get("REMOTE_ADDR") or "", environ.get("HTTP_X_FORWARDED_FOR", "")),
    )


@bp.get("/createConnect")
def create_connect() -> Response:
    """One event stream of a client. 200, 204 "don't come back", 422, 503 (by request)."""
    environ = request.environ
    asked = wanted(request.args.to_dict(), environ)
    if request.method == "HEAD":  # a probe: it listens to nothing, so nothing is registered
        return Response(headers=HEADERS)
    part = parts()
    try:
        opened = open_stream(part, asked, environ)
    except Overloaded as error:
        if asked.by_status:
            raise
        return LastResponse(part.hub.overloaded(asked.client_id, error.retry_after or 10.0))
    if opened is None:
        return Response(status=204)
    g.stream = part.streams.begin(opened, environ)
    return StreamResponse(part.streams, g.stream)


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


def check_size(data: Any) -> None:
    """Raises TooLarge where one message's data is larger than a mailbox should carry."""
    limit = parts().settings.message_bytes
    if len(orjson.dumps(data)) > limit:
        raise TooLarge(f"data is larger than {limit} bytes", field="data")
