"""known: an id is one answer, while it runs and for ten minutes after it."""

from __future__ import annotations

import pytest

from app.errors import Conflict, NotFound, Overloaded
from app.relay.generation import Generation
from app.relay.known import MEMORY, Known
from tests.relay import make_generation, make_question


def known(most: int = 10, **question: str) -> tuple[Known, Generation]:
    ids, generation = Known(most), make_generation(0.0, **question)
    ids.claim(generation)
    return ids, generation


def test_the_same_question_is_the_same_answer_and_another_one_a_conflict() -> None:
    ids, generation = known(fingerprint="f")
    assert ids.same(make_question(fingerprint="f")) is generation
    assert ids.same(make_question("h")) is None
    with pytest.raises(Conflict) as error:
        ids.same(make_question(fingerprint="other"))
    assert error.value.field == "generationId"


def test_who_never_was_is_not_found() -> None:
    ids, generation = known()
    assert ids.get("g") is generation
    ids.drop(generation)
    with pytest.raises(NotFound):
        ids.get("g")
    ids.drop(generation)


def test_there_is_room_for_so_many() -> None:
    ids, _ = known(most=2)
    ids.check_room()
    ids.claim(make_generation(0.0, generation_id="h"))
    with pytest.raises(Overloaded):
        ids.check_room()


def test_who_ended_is_remembered_for_ten_minutes_with_its_text_counted() -> None:
    ids, generation = known()
    generation.size, generation.ended_at = 7, 100.0
    ids.ended(generation)
    ids.forget(100.0 + MEMORY)
    assert (ids.get("g"), ids.texts) == (generation, 7)
    ids.forget(100.1 + MEMORY)
    assert (len(ids), ids.texts) == (0, 0)


def test_who_runs_is_not_forgotten() -> None:
    ids, generation = known()
    ids.forget(1e9)
    assert ids.get("g") is generation
