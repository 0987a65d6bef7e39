"""The main job on a real language model: a question in, its answer delta by delta, through the whole path."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from app.local_model import LocalModel
from tests.rig.reading import Reader, eventually
from tests.rig.serving import Server

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def house(model: LocalModel) -> Iterator[Server]:
    """A gunicorn that asks the model as it would its own, but the test has the key to look into it."""
    settings = {
        "UPSTREAM_KEY": model.key,
        "UPSTREAM_MODEL": model.name,
        "UPSTREAM_CONTEXT": str(model.context),
    }
    with Server(settings, upstream_url=model.url) as server:
        yield server


def ask(house: Server, client_id: str, message: str, **more: Any) -> dict[str, str]:
    body = {"clientId": client_id, "message": message, **more}
    answer = requests.post(f"{house.url}/chat", json=body, timeout=10)
    assert answer.status_code == 201, answer.text
    ids: dict[str, str] = answer.json()
    return ids


def busy_slots(model: LocalModel) -> int:
    url = model.url.removesuffix("/v1") + "/slots"
    slots = requests.get(url, headers={"Authorization": f"Bearer {model.key}"}, timeout=5).json()
    return sum(slot["is_processing"] for slot in slots)


def test_an_answer_comes_in_at_least_20_deltas_spread_over_at_least_a_fifth_of_a_second(
    house: Server, fresh_client: str
) -> None:
    with Reader(house.url, fresh_client) as reader:
        generation = ask(house, fresh_client, "Tell me about rivers.", options={"max_tokens": 100})[
            "generationId"
        ]
        times = []
        while generation not in reader.terminals:
            event = reader.follow("delta", "done", "error")
            if event and event.type == "delta":
                times.append(time.monotonic())
    end = reader.terminals[generation]
    assert len(times) >= 20
    assert times[-1] - times[0] >= 0.2
    assert (end.type, end["model"]) == ("done", "smollm2-135m-instruct")
    assert end["usage"]["completion_tokens"] >= 20
    assert "estimated" not in end["usage"]
    stored = requests.get(f"{house.url}/chat/{generation}", timeout=5).json()
    assert stored["data"]["content"] == reader.texts[generation]


def test_stop_frees_the_models_slot_within_a_second(
    house: Server, model: LocalModel, fresh_client: str
) -> None:
    with Reader(house.url, fresh_client) as reader:
        generation = ask(house, fresh_client, "Write a very long story about the sea.")["generationId"]
        reader.follow("delta")
        eventually(lambda: busy_slots(model) == 1, within=2.0)
        requests.post(f"{house.url}/chat/{generation}/stop", timeout=5)
        eventually(lambda: busy_slots(model) == 0, within=1.0)
        reader.follow()
    assert reader.terminals[generation]["reason"] == "stopped"


def test_the_fourth_turn_of_a_chat_still_gets_a_whole_answer(house: Server, fresh_client: str) -> None:
    """Each turn is long, so that together they are more than the model holds."""
    ids: dict[str, str] = {}
    question = "Here is what I saw on my way today. " + "A boat went by, slowly, under a grey sky. " * 36
    with Reader(house.url, fresh_client, closeOnDone="false") as reader:
        for turn in range(4):
            more = {"conversationId": ids["conversationId"]} if ids else {}
            ids = ask(house, fresh_client, f"{turn}. {question}", options={"max_tokens": 60}, **more)
            while ids["generationId"] not in reader.terminals:
                reader.follow("done", "error", timeout=60)
            end = reader.terminals[ids["generationId"]]
            assert (end.type, end.json.get("reason")) in (("done", "stop"), ("done", "length")), end.json
            assert reader.texts[ids["generationId"]]
    whole = requests.get(
        f"{house.url}/conversations/{ids['conversationId']}", params={"clientId": fresh_client}, timeout=5
    ).json()
    assert [m["role"] for m in whole["messages"]] == ["user", "assistant"] * 4
