"""The bodies of the calls, as pydantic models: strict types, no unknown fields.

The contract is docs/protocol.md §3.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from app.hub.events import CLIENT_ID

# What the hub sets itself: a caller that says it too can only contradict it.
REFUSED_OPTIONS = ("stream", "stream_options", "messages", "model")

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _id(value: str) -> str:
    if not CLIENT_ID.fullmatch(value):
        raise ValueError("1 to 128 of A-Z a-z 0-9 . _ ~ -, the first a letter or digit")
    return value


def _uuid(value: str) -> str:
    if not _UUID.fullmatch(value):
        raise ValueError("a UUID, like 2f1c0e9a-5b7d-4c3e-8a6f-0d9b8c7a6e5f")
    return value


def _name(value: str) -> str:
    if not value.isprintable():
        raise ValueError("printable characters only")
    return value


def _one_of(kinds: str) -> WrapValidator:
    """One sentence, and one field at fault, where pydantic would name each type it has tried."""

    def check(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(value)
        except ValidationError:
            raise ValueError(kinds) from None

    return WrapValidator(check)


Id = Annotated[str, AfterValidator(_id)]
Uuid = Annotated[str, AfterValidator(_uuid)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_name)]
Text = Annotated[str, StringConstraints(min_length=1)]
# fail_fast: an error for each of half a million messages would take seconds to gather.
Content = Annotated[
    str | Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None, _one_of("text, or a list of parts")
]
Params = Annotated[dict[str, Any] | list[Any] | None, _one_of("an object, or a list")]


class Body(BaseModel):
    """What all bodies share: camelCase on the wire, nothing guessed, nothing ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, frozen=True, hide_input_in_errors=True
    )


class Send(Body):
    """POST /sse/send. `data`: any JSON; `id`: the idempotency key."""

    client_id: Id
    data: Any
    id: Id = ""


class Close(Body):
    """POST /sse/close."""

    client_id: Id


class Broadcast(Body):
    """POST /admin/broadcast."""

    data: Any
    level: Literal["info", "warning", "critical"] = "info"
    id: Id = ""


class Message(Body):
    """One message as OpenAI has it; parts and tool calls are passed through as they are."""

    model_config = ConfigDict(alias_generator=None)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None
    name: Name | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: Name | None = None


class Chat(Body):
    """POST /chat: one of `message`, `messages`, `prompt` with `params`; the rest is optional."""

    client_id: Id
    message: Text | None = None
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)] | None = None
    prompt: Text | None = None
    params: Params = None
    generation_id: Uuid | None = None
    conversation_id: Id | None = None
    model: Name = ""
    upstream: Name = ""
    options: dict[str, Any] = {}
    on_leave: Literal["continue", "cancel"] = "continue"  # where it isn't said, ON_LEAVE decides
    on_cut: Literal["keep", "restart"] = "keep"
    on_busy: Literal["reject", "queue", "interrupt"] = "reject"

    @field_validator("params")
    @classmethod
    def _of_a_prompt(cls, value: Params, info: ValidationInfo) -> Params:
        if value is not None and info.data.get("prompt") is None:
            raise ValueError("these belong to a prompt")
        return value

    @model_validator(mode="after")
    def _one_question(self) -> Chat:
        asked = [n for n in ("message", "messages", "prompt") if getattr(self, n) is not None]
        if len(asked) != 1:
            raise ValueError("one of message, messages and prompt is needed, and only one")
        return self
