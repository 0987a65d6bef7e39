"""The bodies of the calls: what each takes, by which names, and that nothing is guessed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from app.web import shapes

CHAT = {"clientId": "a", "message": "hi"}


def test_members_are_in_camel_case_on_the_wire() -> None:
    chat = shapes.Chat.model_validate(
        {**CHAT, "generationId": "2f1c0e9a-5b7d-4c3e-8a6f-0d9b8c7a6e5f", "onCut": "keep"}
    )
    assert (chat.client_id, chat.on_cut) == ("a", "keep")
    assert chat.generation_id == "2f1c0e9a-5b7d-4c3e-8a6f-0d9b8c7a6e5f"


def test_what_is_left_out_has_its_default() -> None:
    chat = shapes.Chat.model_validate(CHAT)
    assert (chat.model, chat.upstream, chat.options) == ("", "", {})
    assert (chat.on_leave, chat.on_cut, chat.on_busy) == ("continue", "keep", "reject")
    assert shapes.Send.model_validate({"clientId": "a", "data": None}).id == ""
    assert shapes.Broadcast.model_validate({"data": 1}).level == "info"


@pytest.mark.parametrize("words", [{"onLeave": "cancel"}, {"onCut": "restart"}, {"onBusy": "interrupt"}])
def test_every_word_of_the_contract_that_is_built_is_taken(words: dict[str, str]) -> None:
    assert shapes.Chat.model_validate({**CHAT, **words})


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
def test_every_role_is_taken(role: str) -> None:
    assert shapes.Message.model_validate({"role": role, "content": "x"}).role == role


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (shapes.Send, {"clientId": "a", "data": 1, "client_id": "b"}),
        (shapes.Send, {"client_id": "a", "data": 1}),
        (shapes.Close, {"clientId": b"a"}),
        (shapes.Broadcast, {"data": 1, "level": "INFO"}),
        (shapes.Chat, {**CHAT, "stream": True}),
        (shapes.Message, {"role": "user", "content": "x", "toolCalls": []}),
        (shapes.Message, {"role": "user", "content": "x", "generationId": "g"}),
    ],
)
def test_nothing_is_guessed_and_nothing_is_ignored(shape: type[BaseModel], value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        shape.model_validate(value)


def test_a_body_does_not_change_and_shows_no_input_in_its_errors() -> None:
    close = shapes.Close.model_validate({"clientId": "a"})
    with pytest.raises(ValidationError):
        close.client_id = "b"
    with pytest.raises(ValidationError) as caught:
        shapes.Close.model_validate({"clientId": "not this one"})
    assert "not this one" not in str(caught.value)


def test_two_bodies_share_no_options() -> None:
    one, two = shapes.Chat.model_validate(CHAT), shapes.Chat.model_validate(CHAT)
    assert one.options is not two.options
