"""The blueprint `chat`: ask, stop, look at an answer; a client's own conversations.

The contract is docs/protocol.md §3.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import orjson
from flask import Blueprint, Response, request

from app.chat.conversations import Conversations
from app.chat.fit import fit
from app.chat.prompt import fill
from app.errors import Invalid, NotFound
from app.relay.generation import Generation, Question
from app.web import body, shapes
from app.web.parts import Parts, parts

bp = Blueprint("chat", __name__)

# Of how an answer ended this much is stored with it.
_KEPT = ("reason", "code", "message", "retryable", "usage", "timing", "model")
# Of a stored message a model is told this much; how an answer ended is none of its business.
_TOLD = ("role", "content", "name", "tool_calls", "tool_call_id")


@bp.post("/chat")
def ask() -> tuple[dict[str, Any], int]:
    """Starts an answer: 201, or 200 with the same one where the same id asks the same again."""
    asked = body.read(request, shapes.Chat)
    part = parts()
    part.sweep.ensure()  # a server that is only asked and looked at has things to let go of, too
    said = _said(asked, part.settings.message_bytes)
    _check_options(asked)
    question = Question(
        generation_id=asked.generation_id or str(uuid.uuid4()),
        client_id=asked.client_id,
        conversation_id=asked.conversation_id or uuid.uuid4().hex,
        said=said[-1],
        model=asked.model,
        upstream=asked.upstream,
        options=asked.options,
        fingerprint=_fingerprint(asked),
        on_cut=asked.on_cut,
        on_leave=asked.on_leave if "on_leave" in asked.model_fields_set else part.settings.on_leave,
        on_busy=asked.on_busy,
    )
    generation, new = part.relay.start(question, lambda: _prepare(part, asked, question, said))
    ids = {"generationId": generation.id, "conversationId": generation.question.conversation_id}
    return ids, 201 if new else 200


@bp.post("/chat/<generation_id>/stop")
def stop(generation_id: str) -> dict[str, Any]:
    """Ends an answer and freezes its text; idempotent. Whatever the body is, a stop is a stop."""
    generation = parts().relay.stop(body.ident(generation_id, "generationId"))
    return {"generationId": generation.id, "state": generation.state, "seq": generation.seq}


@bp.get("/chat/<generation_id>")
def look(generation_id: str) -> dict[str, Any]:
    """An answer as it stands: its text, and the `lastEventId` to connect from, taken at one instant."""
    part = parts()
    generation = part.relay.get(body.ident(generation_id, "generationId"))
    if "clientId" in request.args and _asker() != generation.question.client_id:
        raise NotFound("No such answer of this client", field="generationId")
    return _view(part, generation)


@bp.get("/conversations")
def list_conversations() -> dict[str, Any]:
    """`{conversations: [{id, title, created, updated, messages}]}`, the most recent first."""
    return {"conversations": parts().conversations.list(_asker())}


@bp.get("/conversations/<conversation_id>")
def conversation(conversation_id: str) -> dict[str, Any]:
    """`{id, created, updated, messages, generations}`; `generations` are those that run or wait."""
    part = parts()
    body.ident(conversation_id, "conversationId")
    running = part.relay.running(
        _asker(), conversation_id
    )  # first: what ends meanwhile is then among the messages
    whole = part.conversations.get(conversation_id, _asker())
    stored = {message.get("generationId") for message in whole["messages"]}
    return {**whole, "generations": [g for g in running if g not in stored]}


@bp.delete("/conversations/<conversation_id>")
def delete_conversation(conversation_id: str) -> Response:
    """204; 404 where it is not the client's."""
    parts().conversations.delete(body.ident(conversation_id, "conversationId"), _asker())
    return Response(status=204)


def keep(conversations: Conversations, generation: Generation) -> None:
    """Stores an answer that has ended, also a part of one: what people have read stays."""
    data = generation.message.data()
    if not generation.size:
        return  # nothing was said, and some upstreams refuse an empty answer among what they are told
    end = {name: generation.end[name] for name in _KEPT if name in generation.end}
    message = {"role": "assistant", **data, "generationId": generation.id, "state": generation.state, **end}
    conversations.add(generation.question.conversation_id, message)


def _asker() -> str:
    return body.ident(request.args.get("clientId", ""))


def _said(asked: shapes.Chat, longest: int) -> list[dict[str, Any]]:
    """The messages that this request brings; at least one."""
    if asked.messages is not None:
        return [m.model_dump(exclude_unset=True) for m in asked.messages]
    text = asked.message
    if asked.prompt is not None:
        text = fill(asked.prompt, {} if asked.params is None else asked.params, longest)
    return [{"role": "user", "content": text}]


def _check_options(asked: shapes.Chat) -> None:
    for name in shapes.REFUSED_OPTIONS:
        if name in asked.options:
            raise Invalid(f"options.{name} is not passed through", field=f"options.{name}")


def _prepare(
    part: Parts, asked: shapes.Chat, question: Question, said: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Stores what is asked and gives what the model is told: of the conversation what it can hold."""
    # First: where there is no room for another client, nothing is stored.
    part.hub.check_room(question.client_id)
    if not asked.conversation_id:
        part.conversations.create(question.conversation_id, question.client_id)
    anew = asked.messages is not None
    stored = part.conversations.ask(question.conversation_id, question.client_id, said, anew)
    told = [{k: v for k, v in m.items() if k in _TOLD} for m in stored]
    context = part.relay.context(asked.upstream)
    longest = asked.options.get("max_completion_tokens", asked.options.get("max_tokens"))
    answer = longest if type(longest) is int and 0 < longest < context else context // 4
    return fit(told, context, answer)


def _fingerprint(asked: shapes.Chat) -> str:
    """What makes two requests the same: all their fields."""
    canonical = orjson.dumps(asked.model_dump(), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def _view(part: Parts, generation: Generation) -> dict[str, Any]:
    """The mailbox is asked first: it has text and cursor of one instant. Until the terminal event is in
    there, the answer counts as running, for whoever connects from that cursor will be told of its end."""
    text = part.hub.text(generation.question.client_id, generation.id)
    if text is None:
        return generation.view(ended=True)
    now = {"data": text.data, "seq": text.seq, "lastEventId": text.cursor}
    return {**generation.view(ended=text.ended), **now}
